//! What AWS says about a stack and its resources. The checks compare it with the stack's template.

use std::collections::{BTreeMap, btree_map::Entry};

use futures_util::{StreamExt as _, join, stream};
use serde_json::Value;
use shared::{
    doctor::DoctorReport,
    platform::{parse::Timestamp, secret::Secret},
};

use crate::{
    aws::{
        AccountSettings, Alarms, Answer, Aws, Function, FunctionUrl, LogGroups, Metric, MetricValues,
        Permission, Routes, Schedule, StackSummary, Unanswered,
    },
    secrets::SecretReference,
    template::{Resource, StackIdentity, Template},
};

/// The program whose function checks the deployment from the inside.
const DOCTOR: &str = "doctor";

/// Functions that are read at the same time. Lambda accepts 15 of most requests a second.
const CONCURRENT_READS: usize = 3;

/// The time for which metrics are read: a day, for schedules that run daily, and an hour.
pub const METRIC_SECONDS: i64 = 25 * 60 * 60;

/// A stack, by the logical ids of its resources.
pub struct Deployment {
    pub now: Timestamp,
    pub status: String,
    pub template: Template,
    /// The last deployment that changed each resource.
    pub updated: BTreeMap<String, Timestamp>,
    pub functions: BTreeMap<String, FunctionState>,
    pub apis: BTreeMap<String, Answer<Routes>>,
    pub schedules: BTreeMap<String, Answer<Schedule>>,
    /// The number of messages.
    pub queues: BTreeMap<String, Answer<u64>>,
    pub alarms: Answer<Alarms>,
    pub log_groups: Answer<LogGroups>,
    pub account: Answer<AccountSettings>,
    /// By the ids in the template, which are names or ARNs.
    pub secrets: BTreeMap<String, Answer<Secret>>,
    /// The invocations of scheduled functions and the ages of dead letters.
    pub metrics: Answer<BTreeMap<String, MetricValues>>,
    /// The report of the function `doctor`. `None` if it does not return one.
    pub report: Answer<Option<DoctorReport>>,
}

/// A function, its URL and the permissions of others.
pub struct FunctionState {
    pub function: Answer<Function>,
    /// `None` if the template does not have a URL for it.
    pub url: Option<Answer<FunctionUrl>>,
    pub permissions: Answer<Vec<Permission>>,
}

impl Deployment {
    /// Reads a stack.
    ///
    /// # Errors
    /// Fails if CloudFormation does not describe the stack. Other requests may fail alone.
    pub async fn read(aws: &Aws, name: &str) -> Answer<Self> {
        let StackSummary { arn, status, parameters } = aws.describe_stack(name).await?;
        let unreadable = || Unanswered::unreadable("cloudformation:DescribeStacks");
        let stack = StackIdentity::from_arn(&arn).ok_or_else(unreadable)?;
        let resources = aws.stack_resources(name).await?;
        let updated = resources.iter().filter_map(|one| Some((one.id.clone(), one.updated?))).collect();
        let physical_ids = resources.into_iter().map(|one| (one.id, one.physical_id)).collect();
        let template = Template { body: aws.template(name).await?, stack, parameters, physical_ids };
        let (functions, apis, schedules, queues, alarms, log_groups, account, secrets, metrics, report) = join!(
            read_functions(aws, &template),
            read_all(&template, "AWS::ApiGatewayV2::Api", |api| aws.routes(api)),
            read_all(&template, "AWS::Scheduler::Schedule", |name| aws.schedule(name)),
            read_all(&template, "AWS::SQS::Queue", |url| aws.waiting_messages(url)),
            read_alarms(aws, &template),
            read_log_groups(aws, &template),
            aws.account_settings(),
            read_secrets(aws, &template),
            read_metrics(aws, &template),
            read_report(aws, &template),
        );
        let now = Timestamp::now();
        Ok(Self {
            now,
            status,
            template,
            updated,
            functions,
            apis,
            schedules,
            queues,
            alarms,
            log_groups,
            account,
            secrets,
            metrics,
            report,
        })
    }

    /// Returns the function of a resource, if AWS has answered.
    pub fn function(&self, id: &str) -> Option<&Function> {
        self.functions.get(id)?.function.as_ref().ok()
    }
}

/// Reads the resources of a type, by their physical ids.
async fn read_all<'a, T, Read: Future<Output = Answer<T>>>(
    template: &'a Template,
    kind: &str,
    read: impl Fn(&'a str) -> Read,
) -> BTreeMap<String, Answer<T>> {
    let mut answers = BTreeMap::new();
    for resource in template.resources(kind) {
        answers.insert(resource.id.to_owned(), read(resource.physical_id).await);
    }
    answers
}

async fn read_functions(aws: &Aws, template: &Template) -> BTreeMap<String, FunctionState> {
    let with_url: Vec<Value> = template
        .resources("AWS::Lambda::Url")
        .into_iter()
        .map(|url| url.properties["TargetFunctionArn"].clone())
        .collect();
    let read = async |resource: Resource<'_>| {
        let name = resource.physical_id;
        let function = aws.function(name).await;
        let (url, permissions) = match &function {
            // The other requests would fail in the same way.
            Err(unanswered) => (None, Err(unanswered.clone())),
            Ok(_) => {
                let has_url = with_url.iter().any(|target| target == name);
                let url = if has_url { Some(aws.function_url(name).await) } else { None };
                (url, aws.permissions(name).await)
            }
        };
        (resource.id.to_owned(), FunctionState { function, url, permissions })
    };
    stream::iter(template.resources("AWS::Lambda::Function"))
        .map(read)
        .buffer_unordered(CONCURRENT_READS)
        .collect()
        .await
}

async fn read_alarms(aws: &Aws, template: &Template) -> Answer<Alarms> {
    let alarms = template.resources("AWS::CloudWatch::Alarm");
    aws.alarms(&alarms.iter().map(|alarm| alarm.physical_id).collect::<Vec<_>>()).await
}

/// Reads all log groups whose names begin like those of the stack.
async fn read_log_groups(aws: &Aws, template: &Template) -> Answer<LogGroups> {
    let groups = template.resources("AWS::Logs::LogGroup");
    let names: Vec<&str> = groups.iter().map(|group| group.physical_id).collect();
    aws.log_groups(&common_prefix(&names)).await
}

async fn read_secrets(aws: &Aws, template: &Template) -> BTreeMap<String, Answer<Secret>> {
    let mut secrets = BTreeMap::new();
    for function in template.resources("AWS::Lambda::Function") {
        let variables = function.properties["Environment"]["Variables"].as_object().into_iter().flatten();
        for reference in variables.filter_map(|(_, value)| SecretReference::parse(value.as_str()?)) {
            if let Entry::Vacant(entry) = secrets.entry(reference.secret_id) {
                let secret = aws.secret(entry.key()).await;
                entry.insert(secret);
            }
        }
    }
    secrets
}

async fn read_metrics(aws: &Aws, template: &Template) -> Answer<BTreeMap<String, MetricValues>> {
    let mut ids = Vec::new();
    let mut metrics = Vec::new();
    for schedule in template.resources("AWS::Scheduler::Schedule") {
        let arn = schedule.properties["Target"]["Arn"].as_str().unwrap_or_default();
        ids.push(schedule.id.to_owned());
        metrics.push(Metric {
            namespace: "AWS/Lambda",
            name: "Invocations",
            statistic: "Sum",
            dimension: "FunctionName",
            resource: arn.rsplit(':').next().unwrap_or_default().to_owned(),
        });
    }
    for queue in template.resources("AWS::SQS::Queue") {
        ids.push(queue.id.to_owned());
        metrics.push(Metric {
            namespace: "AWS/SQS",
            name: "ApproximateAgeOfOldestMessage",
            statistic: "Maximum",
            dimension: "QueueName",
            resource: queue.physical_id.rsplit('/').next().unwrap_or_default().to_owned(),
        });
    }
    let since = Timestamp::from_second(Timestamp::now().as_second() - METRIC_SECONDS);
    let values = aws.metric_values(&metrics, since.unwrap_or(Timestamp::UNIX_EPOCH)).await?;
    Ok(ids.into_iter().zip(values).collect())
}

async fn read_report(aws: &Aws, template: &Template) -> Answer<Option<DoctorReport>> {
    let functions = template.resources("AWS::Lambda::Function");
    let Some(doctor) = functions.iter().find(|function| function.program == Some(DOCTOR)) else {
        return Ok(None);
    };
    let invocation = aws.invoke(doctor.physical_id).await?;
    let report = DoctorReport::from_json(&invocation.payload).ok();
    Ok(report.filter(|_| !invocation.has_failed))
}

fn common_prefix(names: &[&str]) -> String {
    let Some((first, others)) = names.split_first() else { return String::new() };
    let same = |(index, character): &(usize, char)| {
        let end = index + character.len_utf8();
        others.iter().all(|name| name.get(..end) == first.get(..end))
    };
    first.char_indices().take_while(same).map(|(_, character)| character).collect()
}
