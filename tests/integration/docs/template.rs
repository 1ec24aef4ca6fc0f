//! `template.yaml`: every function is deployed, each in the same way, each with no more than it needs.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::routes::Routes;
use crate::support::project_files::{same, yaml};

/// The template, its tags passed over.
pub struct Template(pub Value);

/// A function of it.
pub struct Deployed<'a> {
    /// Its name in the template.
    pub id: &'a str,
    /// Its package.
    pub package: &'a str,
    pub properties: &'a Value,
}

impl Deployed<'_> {
    /// Whether its events come from a schedule.
    fn is_scheduled(&self) -> bool {
        let events = self.properties["Events"].as_object();
        events.is_some_and(|events| events.values().all(|event| event["Type"] == "ScheduleV2"))
    }

    /// Whether it is the door by which a webhook wakes what a schedule starts, too: the same program, with a URL and a secret.
    fn is_woken(&self) -> bool {
        self.properties["Events"].is_null()
            && !self.properties["FunctionUrlConfig"].is_null()
            && !self.properties["Environment"]["Variables"]["DATABASE_WEBHOOK_SECRET"].is_null()
    }

    /// Whether it has no events, and does what an operator invokes it with.
    fn is_operated(&self) -> bool {
        self.properties["Events"].is_null() && !self.is_woken()
    }
}

impl Template {
    pub fn read() -> Result<Self> {
        Ok(Self(yaml("template.yaml")?))
    }

    pub fn functions(&self) -> Result<Vec<Deployed<'_>>> {
        let resources = self.0["Resources"].as_object().context("no resources")?.iter();
        let functions = resources.filter(|(_, resource)| resource["Type"] == "AWS::Serverless::Function");
        let deployed = functions.map(|(id, resource)| {
            let binary = resource["Metadata"]["BuildProperties"]["Binary"].as_str();
            let package = binary.with_context(|| format!("{id} says nothing of its binary"))?;
            Ok(Deployed { id, package, properties: &resource["Properties"] })
        });
        deployed.collect()
    }

    pub fn routes(&self) -> Result<Routes> {
        let mut routes = Routes::new();
        for function in self.functions()? {
            for (name, event) in function.properties["Events"].as_object().into_iter().flatten() {
                if event["Type"] == "ScheduleV2" {
                    continue;
                }
                let route = &event["Properties"];
                let (Some(method), Some(path)) = (route["Method"].as_str(), route["Path"].as_str()) else {
                    anyhow::bail!("{name} of {} is no route", function.id)
                };
                ensure!(
                    event["Type"] == "HttpApi" && route["ApiId"] == "HttpApi",
                    "{name} of {}",
                    function.id
                );
                let new = routes.insert((method.to_owned(), path.to_owned(), function.package.to_owned()));
                ensure!(new, "{} has {method} {path} twice", function.id);
            }
        }
        Ok(routes)
    }

    /// The functions that no request reaches, but a schedule or an operator's order.
    pub fn unrouted(&self) -> Result<BTreeSet<String>> {
        let unrouted = |function: &Deployed<'_>| function.is_scheduled() || function.is_operated();
        let functions = self.functions()?.into_iter().filter(unrouted);
        Ok(functions.map(|function| function.package.to_owned()).collect())
    }

    /// The variables that a function is given, and what each is set to.
    pub fn environment(&self, function: &Deployed<'_>) -> BTreeMap<String, Value> {
        let globals = &self.0["Globals"]["Function"];
        let of = |properties: &Value| properties["Environment"]["Variables"].as_object().cloned();
        let mut variables: BTreeMap<String, Value> = of(globals).into_iter().flatten().collect();
        variables.extend(of(function.properties).into_iter().flatten());
        // What is set for all functions, and taken away from this one.
        variables.retain(|_, value| value != "AWS::NoValue");
        // Lambda sets this one from the logging configuration.
        let level = &globals["LoggingConfig"]["ApplicationLogLevel"];
        variables.insert("AWS_LAMBDA_LOG_LEVEL".to_owned(), level.clone());
        variables
    }
}

// NAME: described: every function is deployed alike, and may only write its own log
#[tokio::test]
async fn alike() -> Result<()> {
    let template = Template::read()?;
    let resources = &template.0["Resources"];
    let mut expected = BTreeSet::from(["HttpApi".to_owned()]);
    let mut outputs = BTreeSet::from(["ApiUrl".to_owned(), "DashboardUrl".to_owned()]);
    for Deployed { id, package, properties } in template.functions()? {
        let name = match (Deployed { id, package, properties }).is_woken() {
            true => format!("{package}-webhook"),
            false => package.to_owned(),
        };
        ensure!(id == pascal(&name), "{name} is called {id}");
        let (role, logs) = (format!("{id}Role"), format!("{id}Logs"));
        ensure!(properties["Role"] == format!("{role}.Arn"), "{id} has another role: {}", properties["Role"]);
        ensure!(properties["LoggingConfig"] == json!({ "LogGroup": logs }), "{id} logs elsewhere");
        let log_name = format!("/aws/lambda/${{AWS::StackName}}-{name}");
        ensure!(resources[&logs]["Properties"]["LogGroupName"] == log_name, "{logs} is named otherwise");
        ensure!(resources[&logs]["Properties"]["RetentionInDays"] == "LogRetentionDays", "{logs} is kept");
        if (Deployed { id, package, properties }).is_scheduled() {
            let queue = format!("{id}DeadLetters");
            let rights = rights(&logs, Some(&queue));
            ensure!(resources[&role]["Properties"] == rights, "{role} may do something else");
            // A URL shares the function's concurrency with whoever knows it: a webhook has a door of its own.
            ensure!(properties["FunctionUrlConfig"].is_null(), "{id} can be held up by anybody");
            let door = template.functions()?.into_iter().find(|one| one.package == package && one.is_woken());
            let reads_secret = !properties["Environment"]["Variables"]["DATABASE_WEBHOOK_SECRET"].is_null();
            ensure!(
                door.is_some() == reads_secret,
                "{id} has a webhook's secret and no door, or the other way"
            );
            if let Some(door) = door {
                // One program, with the same configuration and time.
                ensure!(
                    template.environment(&door)
                        == template.environment(&Deployed { id, package, properties })
                );
                ensure!(door.properties["Timeout"] == properties["Timeout"], "{} ends earlier", door.id);
            }
            expected.extend([id.to_owned(), role, logs, queue, format!("{id}TickRole")]);
            outputs.insert(format!("{id}DeadLettersUrl"));
            continue;
        }
        ensure!(resources[&role]["Properties"] == rights(&logs, None), "{role} may do something else");
        if (Deployed { id, package, properties }).is_operated() {
            // Who may invoke it is nobody's affair but IAM's.
            ensure!(properties["FunctionUrlConfig"].is_null(), "{id} can be asked by anybody");
            expected.extend([id.to_owned(), role, logs]);
            continue;
        }
        ensure!(
            properties["FunctionUrlConfig"] == json!({ "AuthType": "NONE" }),
            "{id} has no URL of its own"
        );
        let output = format!("{id}Url");
        let url = &template.0["Outputs"][&output];
        ensure!(url["Value"] == format!("{output}.FunctionUrl"), "{output} is not put out");
        ensure!(url["Description"].as_str().is_some_and(|said| said.contains(package)), "{output}: {url}");
        expected.extend([id.to_owned(), role, logs]);
        outputs.insert(output);
    }
    let names = |of: &Value| -> BTreeSet<String> {
        // What watches the functions is looked at elsewhere.
        let all = of.as_object().into_iter().flatten();
        let others =
            all.filter(|(_, of)| !of["Type"].as_str().unwrap_or_default().contains("::CloudWatch::"));
        others.map(|(name, _)| name.clone()).collect()
    };
    same(("template.yaml's resources", &names(resources)), ("its functions", &expected))?;
    same(("template.yaml's outputs", &names(&template.0["Outputs"])), ("its functions", &outputs))
}

// NAME: described: what runs by itself has its own concurrency, and can do without
#[tokio::test]
async fn reserved() -> Result<()> {
    let template = Template::read()?;
    let mut taken = 0;
    for function in template.functions()? {
        let reserved = &function.properties["ReservedConcurrentExecutions"];
        if function.is_scheduled() || function.is_woken() {
            let number = reserved[1].as_u64().with_context(|| format!("{} has none", function.id))?;
            ensure!(*reserved == json!(["ReservesConcurrency", number, "AWS::NoValue"]), "{reserved}");
            taken += number;
        } else {
            ensure!(reserved.is_null(), "{} takes from what all share", function.id);
        }
    }
    let said = template.0["Parameters"]["ReserveConcurrency"]["Description"].as_str().unwrap_or_default();
    ensure!(said.contains(&format!(" takes {taken},")), "it takes {taken}: {said}");
    Ok(())
}

/// The least that a function may do: write its log, and report failures where nobody waits for the answer.
fn rights(logs: &str, queue: Option<&str>) -> Value {
    let mut rights = json!({
        "AssumeRolePolicyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                { "Effect": "Allow", "Principal": { "Service": "lambda.amazonaws.com" }, "Action": "sts:AssumeRole" }
            ],
        },
        "Policies": [{
            "PolicyName": "write-its-own-log",
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{
                    "Effect": "Allow",
                    "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                    "Resource": format!("{logs}.Arn"),
                }],
            },
        }],
    });
    if let (Some(queue), Some(policies)) = (queue, rights["Policies"].as_array_mut()) {
        policies.push(json!({
            "PolicyName": "report-rounds-that-failed",
            "PolicyDocument": {
                "Version": "2012-10-17",
                "Statement": [{ "Effect": "Allow", "Action": "sqs:SendMessage", "Resource": format!("{queue}.Arn") }],
            },
        }));
    }
    rights
}

/// `create-session` is `CreateSession` there.
fn pascal(package: &str) -> String {
    let words = package.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_uppercase().chain(letters).collect::<String>())
    });
    words.flatten().collect()
}
