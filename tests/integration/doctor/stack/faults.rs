//! Faults in AWS's answers: each is found with its cause, and nothing else.

use anyhow::{Result, ensure};
use local_stack::aws::FakeAws;
use serde_json::{Value, json};

use super::{run, settings};

/// AWS's models require a message of this length.
const LIST_TAGS_DENIED: &str = "User: arn:aws:iam::111122223333:user/operator is not authorized to perform: \
     lambda:ListTags on resource: arn:aws:lambda:eu-central-1:111122223333:function:chat";

/// A fault, and the only finding of it: its check, code, subject and a part of its detail.
struct Case {
    fault: Value,
    finding: [&'static str; 4],
}

impl Case {
    fn is_found(&self, report: &Value, exit_code: Option<i32>) -> bool {
        let [check, code, subject, detail] = self.finding;
        let findings = report["findings"].as_array().into_iter().flatten();
        let found: Vec<&Value> = findings
            .filter(|finding| finding["status"] == "fault" || finding["status"] == "warning")
            .collect();
        let [finding] = found[..] else { return false };
        let has_texts = ["cause", "remedy"].iter().all(|name| finding[name].is_string());
        finding["check"] == check
            && finding["code"] == code
            && finding["about"] == subject
            && finding["detail"].as_str().is_some_and(|text| text.contains(detail))
            && has_texts
            && exit_code == Some(i32::from(finding["status"] == "fault"))
    }
}

/// A request to AWS, which a fault applies to.
struct Request {
    service: &'static str,
    operation: &'static str,
    when: Value,
}

impl Request {
    fn new(service: &'static str, operation: &'static str, when: Value) -> Self {
        Self { service, operation, when }
    }

    fn fault(self, effect: (&str, Value), finding: [&'static str; 4]) -> Case {
        let Self { service, operation, when } = self;
        let (kind, effect) = effect;
        let fault = json!({ "service": service, "operation": operation, "when": when, kind: effect });
        Case { fault, finding }
    }

    /// A value of the answer is another.
    fn set(self, path: Value, value: Value, finding: [&'static str; 4]) -> Case {
        self.fault(("changes", json!([{ "path": path, "value": value }])), finding)
    }

    /// A part of the answer is missing.
    fn delete(self, path: Value, finding: [&'static str; 4]) -> Case {
        self.fault(("changes", json!([{ "path": path }])), finding)
    }

    /// AWS answers with an error.
    fn fail(self, code: &str, status: u16, finding: [&'static str; 4]) -> Case {
        self.fault(("error", json!([code, status])), finding)
    }
}

fn lambda(aws: &FakeAws, operation: &'static str, id: &str) -> Result<Request> {
    Ok(Request::new("lambda", operation, json!({ "FunctionName": aws.physical_id(id)? })))
}

fn function_cases(aws: &FakeAws) -> Result<Vec<Case>> {
    let function = |id: &str| lambda(aws, "GetFunction", id);
    let open = "CreateSession";
    let setting = |names: &[&str]| json!([&["Configuration"], names].concat());
    Ok(vec![
        function("ExpireSessions")?.fail(
            "ResourceNotFoundException",
            404,
            ["lambda", "lambda_missing", "ExpireSessions", ""],
        ),
        function(open)?.set(
            setting(&["LastUpdateStatus"]),
            json!("Failed"),
            ["lambda", "lambda_not_active", open, "LastUpdateStatus is Failed"],
        ),
        function(open)?.set(
            json!(["Tags", "Version"]),
            json!("0.0.9"),
            ["lambda", "lambda_version_differs", open, "version 0.0.9"],
        ),
        Request::new("lambda", "GetFunction", json!({})).set(
            json!(["TagsError"]),
            json!({ "ErrorCode": "AccessDeniedException", "Message": LIST_TAGS_DENIED }),
            ["lambda", "aws_access_denied", "lambda:ListTags", ""],
        ),
        function("RouteEvents")?.set(
            setting(&["LastModified"]),
            json!("2099-01-01T00:00:00.000+0000"),
            ["lambda", "lambda_code_replaced", "RouteEvents", "2099-01-01"],
        ),
        function(open)?.set(
            setting(&["Architectures"]),
            json!(["x86_64"]),
            ["lambda", "lambda_architecture_differs", open, "x86_64"],
        ),
        function(open)?.set(
            setting(&["MemorySize"]),
            json!(128),
            ["lambda", "lambda_memory_differs", open, "128"],
        ),
        function("ServeChatkit")?.set(
            setting(&["Timeout"]),
            json!(30),
            ["lambda", "lambda_timeout_differs", "ServeChatkit", "900"],
        ),
        function(open)?.set(
            setting(&["LoggingConfig", "LogFormat"]),
            json!("Text"),
            ["lambda", "lambda_setting_differs", open, "LogFormat is Text"],
        ),
        function(open)?.set(
            setting(&["Environment", "Variables", "SUPABASE_URL"]),
            json!("https://c4n4ry.supabase.co"),
            ["lambda_environment", "lambda_variable_differs", open, "SUPABASE_URL has another value"],
        ),
        function(open)?.set(
            setting(&["Environment"]),
            json!({ "Error": { "ErrorCode": "AccessDeniedException", "Message": "kms" } }),
            ["lambda_environment", "lambda_environment_unreadable", open, ""],
        ),
        function("ExpireSessions")?.set(
            json!(["Concurrency", "ReservedConcurrentExecutions"]),
            json!(0),
            ["concurrency", "reserved_concurrency_differs", "ExpireSessions", "0, the template has 2"],
        ),
        function("RecordEvents")?.set(
            setting(&["Environment", "Variables", "SUPABASE_SECRET_KEY"]),
            json!("sb_secret_c4n4ry-of-yesterday"),
            ["secret", "secret_outdated", "chatkit-sessions/supabase-secret-key", "in RecordEvents"],
        ),
        Request::new("lambda", "GetFunction", json!({})).fail(
            "AccessDeniedException",
            403,
            ["lambda", "aws_access_denied", "lambda:GetFunction", ""],
        ),
        Request::new("lambda", "GetAccountSettings", json!({})).set(
            json!(["AccountLimit"]),
            json!({ "ConcurrentExecutions": 10, "UnreservedConcurrentExecutions": 10 }),
            ["concurrency", "account_concurrency_low", "account", "10 of 10"],
        ),
    ])
}

fn url_cases(aws: &FakeAws) -> Result<Vec<Case>> {
    let policy = |id: &str| lambda(aws, "GetPolicy", id);
    let url = |id: &str| lambda(aws, "GetFunctionUrlConfig", id);
    let stream = "ServeChatkit";
    let statement = |member: &str, value: Value| json!(["Policy", "Statement", { member: value }]);
    let via_url = json!({ "Bool": { "lambda:InvokedViaFunctionUrl": "true" } });
    let from_api = json!({ "Service": "apigateway.amazonaws.com" });
    let added = json!({ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::999999999999:root" },
        "Action": "lambda:InvokeFunction" });
    Ok(vec![
        url("GetSession")?.fail(
            "ResourceNotFoundException",
            404,
            ["function_url", "function_url_missing", "GetSession", ""],
        ),
        url(stream)?.set(
            json!(["InvokeMode"]),
            json!("BUFFERED"),
            ["function_url", "invoke_mode_differs", stream, "BUFFERED, the template has RESPONSE_STREAM"],
        ),
        url(stream)?.set(
            json!(["AuthType"]),
            json!("AWS_IAM"),
            ["function_url", "function_url_auth_differs", stream, "AWS_IAM"],
        ),
        policy("ListEvents")?.delete(
            statement("Action", json!("lambda:InvokeFunctionUrl")),
            ["function_url", "url_permission_missing", "ListEvents", "lambda:InvokeFunctionUrl for *"],
        ),
        policy("ReceiveWebhook")?.delete(
            statement("Condition", via_url),
            [
                "function_url",
                "url_invoke_permission_missing",
                "ReceiveWebhook",
                "lambda:InvokeFunction for *",
            ],
        ),
        policy("CreateSession")?.delete(
            statement("Principal", from_api),
            ["function_url", "route_permission_missing", "CreateSession", "POST/chatkit/sessions"],
        ),
        policy("ServeChatkit")?.set(
            json!(["Policy", "Statement", "+"]),
            added,
            ["function_url", "lambda_permission_added", stream, "arn:aws:iam::999999999999:root"],
        ),
    ])
}

fn api_and_schedule_cases(aws: &FakeAws) -> Result<Vec<Case>> {
    let api = json!({ "ApiId": aws.physical_id("HttpApi")? });
    let routes = || Request::new("apigatewayv2", "GetRoutes", api.clone());
    let tick = || Ok::<_, anyhow::Error>(json!({ "Name": aws.physical_id("RouteEventsTick")? }));
    let schedule = || Ok::<_, anyhow::Error>(Request::new("scheduler", "GetSchedule", tick()?));
    let queue = json!({ "QueueUrl": aws.physical_id("ExpireSessionsDeadLetters")? });
    let messages = || Request::new("sqs", "GetQueueAttributes", queue.clone());
    let route = "GET /chatkit/agents";
    Ok(vec![
        routes().delete(json!(["Items", { "RouteKey": route }]), ["http_api", "route_missing", route, ""]),
        routes().set(
            json!(["Items", { "RouteKey": route }, "Target"]),
            json!("integrations/none"),
            ["http_api", "route_target_differs", route, "expected chat-ListAgents"],
        ),
        routes().set(
            json!(["Items", "+"]),
            json!({ "RouteKey": "$default", "Target": "integrations/i0" }),
            ["http_api", "route_added", "$default", ""],
        ),
        routes().fail("NotFoundException", 404, ["http_api", "http_api_missing", "HttpApi", ""]),
        schedule()?.set(
            json!(["State"]),
            json!("DISABLED"),
            ["schedule", "schedule_disabled", "RouteEventsTick", "DISABLED"],
        ),
        schedule()?.set(
            json!(["ScheduleExpression"]),
            json!("rate(1 hour)"),
            ["schedule", "schedule_differs", "RouteEventsTick", "rate(1 hour)"],
        ),
        schedule()?.fail(
            "ResourceNotFoundException",
            404,
            ["schedule", "schedule_missing", "RouteEventsTick", ""],
        ),
        Request::new("cloudwatch", "GetMetricData", json!({})).set(
            json!(["MetricDataResults", { "Id": "m1" }, "Values"]),
            json!([0.0, 0.0]),
            ["schedule", "schedule_not_running", "RouteEventsTick", "no invocation in 15 minutes"],
        ),
        messages().set(
            json!(["Attributes", "ApproximateNumberOfMessages"]),
            json!("2"),
            ["dead_letter_queue", "dead_letters_waiting", "ExpireSessionsDeadLetters", "2 messages"],
        ),
        messages().fail(
            "QueueDoesNotExist",
            400,
            ["dead_letter_queue", "queue_missing", "ExpireSessionsDeadLetters", ""],
        ),
    ])
}

fn other_cases(aws: &FakeAws) -> Result<Vec<Case>> {
    let alarm = json!({ "AlarmName": aws.physical_id("LatencyAlarm")? });
    let alarms = || Request::new("cloudwatch", "DescribeAlarms", json!({}));
    let of_alarm = |name: &str| json!(["MetricAlarms", alarm, name]);
    let group = json!({ "logGroupName": "/aws/lambda/chat-get-session" });
    let groups = || Request::new("logs", "DescribeLogGroups", json!({}));
    let secret = |id: &str| Request::new("secretsmanager", "GetSecretValue", json!({ "SecretId": id }));
    let webhook = "chatkit-sessions/webhook-secret";
    let migration = "migrations/20990101000000_x.sql";
    let report = json!({ "healthy": false, "faults": 1, "warnings": 0, "findings": [
        { "check": "migrations", "status": "fault", "code": "migration_missing", "about": migration,
            "cause": "A migration was not applied.", "detail": "", "remedy": "x" } ] });
    let described = || Request::new("cloudformation", "DescribeStacks", json!({}));
    Ok(vec![
        alarms().delete(json!(["MetricAlarms", alarm]), ["alarm", "alarm_missing", "LatencyAlarm", ""]),
        alarms().set(
            of_alarm("StateValue"),
            json!("ALARM"),
            ["alarm", "alarm_active", "LatencyAlarm", "docs/operations/runbook.md#latency"],
        ),
        alarms().set(
            of_alarm("ActionsEnabled"),
            json!(false),
            ["alarm", "alarm_actions_disabled", "LatencyAlarm", ""],
        ),
        alarms().set(
            of_alarm("Threshold"),
            json!(60000.0),
            ["alarm", "alarm_differs", "LatencyAlarm", "60000"],
        ),
        groups()
            .delete(json!(["logGroups", group]), ["log_group", "log_group_missing", "GetSessionLogs", ""]),
        groups().delete(
            json!(["logGroups", group, "retentionInDays"]),
            ["log_group", "log_retention_differs", "GetSessionLogs", "for ever"],
        ),
        secret(webhook).fail("ResourceNotFoundException", 400, ["secret", "secret_missing", webhook, ""]),
        secret(webhook).fail("InvalidRequestException", 400, ["secret", "secret_deleted", webhook, ""]),
        secret(webhook).set(
            json!(["SecretString"]),
            json!("c4n4ry"),
            ["secret", "secret_invalid", webhook, "DATABASE_WEBHOOK_SECRET "],
        ),
        secret(webhook).fail(
            "AccessDeniedException",
            400,
            ["secret", "aws_access_denied", "secretsmanager:GetSecretValue", ""],
        ),
        described().set(
            json!(["Stacks", 0, "StackStatus"]),
            json!("UPDATE_ROLLBACK_COMPLETE"),
            ["stack", "stack_failed", "chat", "UPDATE_ROLLBACK_COMPLETE"],
        ),
        lambda(aws, "Invoke", "Doctor")?.set(
            json!(["FunctionError"]),
            json!("Unhandled"),
            ["deployed_doctor", "deployed_doctor_failed", "Doctor", ""],
        ),
        lambda(aws, "Invoke", "Doctor")?.set(
            json!(["Payload"]),
            report,
            ["migrations", "migration_missing", migration, ""],
        ),
    ])
}

#[tokio::test]
async fn each_fault_of_a_stack_is_the_only_finding() -> Result<()> {
    let aws = FakeAws::start(&settings()).await?;
    let cases = [function_cases(&aws)?, url_cases(&aws)?, api_and_schedule_cases(&aws)?, other_cases(&aws)?];
    let mut failures = Vec::new();
    for case in cases.iter().flatten() {
        aws.inject(std::slice::from_ref(&case.fault)).await?;
        let (report, exit_code) = run(&aws, &[]).await?;
        if !case.is_found(&report, exit_code) {
            failures.push(format!("{}: expected {:?}, found {report:#}", case.fault, case.finding));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}
