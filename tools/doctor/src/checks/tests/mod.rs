//! Each fault of a stack is found with its cause, and nothing else.

mod fixture;

use serde_json::{Value, json};
use shared::{
    doctor::{CheckStatus, FaultCode as Code},
    platform::secret::Secret,
};

use super::{check, without_stack};
use crate::{
    aws::{Function, Permission, Reason, Unanswered},
    deployment::{Deployment, FunctionState},
};
use fixture::{EXPIRE, OPEN, STREAM, time};

/// What happens to a stack, and the only finding of it: its check, code, subject and a part of its
/// detail.
type Case = (fn(&mut Deployment), &'static str, Code, &'static str, &'static str);

fn state<'a>(deployment: &'a mut Deployment, id: &str) -> &'a mut FunctionState {
    deployment.functions.get_mut(id).unwrap()
}

fn function<'a>(deployment: &'a mut Deployment, id: &str) -> &'a mut Function {
    state(deployment, id).function.as_mut().ok().unwrap()
}

fn set(deployment: &mut Deployment, id: &str, pointer: &str, value: Value) {
    *function(deployment, id).configuration.pointer_mut(pointer).unwrap() = value;
}

fn permissions<'a>(deployment: &'a mut Deployment, id: &str) -> &'a mut Vec<Permission> {
    state(deployment, id).permissions.as_mut().ok().unwrap()
}

fn unanswered(action: &'static str, reason: Reason) -> Unanswered {
    Unanswered { action, reason }
}

fn missing() -> Unanswered {
    unanswered("lambda:GetFunction", Reason::Missing)
}

fn denied(action: &'static str) -> Unanswered {
    unanswered(action, Reason::Denied)
}

const VARIABLES: &str = "/Environment/Variables";

const STACK: [Case; 5] = [
    (
        |d| d.status = "UPDATE_ROLLBACK_COMPLETE".to_owned(),
        "stack",
        Code::StackFailed,
        "chat",
        "UPDATE_ROLLBACK",
    ),
    (|d| d.status = "UPDATE_IN_PROGRESS".to_owned(), "stack", Code::StackInProgress, "chat", "IN_PROGRESS"),
    (|d| d.report = Ok(None), "deployed_doctor", Code::DeployedDoctorFailed, "Doctor", ""),
    (
        |d| d.report = Err(denied("lambda:InvokeFunction")),
        "deployed_doctor",
        Code::AwsAccessDenied,
        "lambda:InvokeFunction",
        "",
    ),
    (
        |d| {
            for resource in d.template.body["Resources"].as_object_mut().unwrap().values_mut() {
                if let Some(version) = resource.pointer_mut("/Properties/Tags/0/Value") {
                    *version = json!("0.0.1");
                }
            }
            for id in [OPEN, STREAM, EXPIRE, "Doctor"] {
                function(d, id).tags.insert("Version".to_owned(), "0.0.1".to_owned());
            }
        },
        "stack",
        Code::StackVersionDiffers,
        "chat",
        "0.0.1",
    ),
];

const FUNCTIONS: [Case; 19] = [
    (|d| state(d, EXPIRE).function = Err(missing()), "lambda", Code::LambdaMissing, EXPIRE, ""),
    (
        |d| function(d, OPEN).configuration["LastUpdateStatus"] = json!("Failed"),
        "lambda",
        Code::LambdaNotActive,
        OPEN,
        "LastUpdateStatus",
    ),
    (|d| set(d, OPEN, "/State", json!("Failed")), "lambda", Code::LambdaNotActive, OPEN, "State is Failed"),
    (
        |d| drop(function(d, STREAM).tags.insert("Version".to_owned(), "0.0.9".to_owned())),
        "lambda",
        Code::LambdaVersionDiffers,
        STREAM,
        "0.0.9",
    ),
    (
        |d| {
            for id in [OPEN, STREAM, EXPIRE, "Doctor"] {
                function(d, id).tags.clear();
                function(d, id).tags_error = Some(json!({ "ErrorCode": "AccessDeniedException" }));
            }
        },
        "lambda",
        Code::AwsAccessDenied,
        "lambda:ListTags",
        "",
    ),
    (|d| function(d, STREAM).tags.clear(), "lambda", Code::LambdaVersionDiffers, STREAM, "no version"),
    (
        |d| set(d, OPEN, "/LastModified", json!("2026-11-27T19:00:00.000+0000")),
        "lambda",
        Code::LambdaCodeReplaced,
        OPEN,
        "2026-11-27T19:00:00",
    ),
    (
        |d| set(d, OPEN, "/Architectures/0", json!("x86_64")),
        "lambda",
        Code::LambdaArchitectureDiffers,
        OPEN,
        "x86_64",
    ),
    (
        // The update that changed the memory is not a finding of its own.
        |d| {
            set(d, OPEN, "/MemorySize", json!(128));
            set(d, OPEN, "/LastModified", json!("2026-11-27T19:00:00.000+0000"));
        },
        "lambda",
        Code::LambdaMemoryDiffers,
        OPEN,
        "128",
    ),
    (|d| set(d, STREAM, "/Timeout", json!(3)), "lambda", Code::LambdaTimeoutDiffers, STREAM, "900"),
    (
        |d| set(d, OPEN, "/Runtime", json!("provided.al2")),
        "lambda",
        Code::LambdaSettingDiffers,
        OPEN,
        "Runtime",
    ),
    (
        |d| set(d, OPEN, "/LoggingConfig/LogGroup", json!("/aws/lambda/other")),
        "lambda",
        Code::LambdaSettingDiffers,
        OPEN,
        "LogGroup",
    ),
    (
        |d| {
            permissions(d, "Doctor").push(Permission {
                principal: "*".to_owned(),
                action: "lambda:InvokeFunction".to_owned(),
                ..Permission::default()
            })
        },
        "function_url",
        Code::LambdaPermissionAdded,
        "Doctor",
        "lambda:InvokeFunction for *",
    ),
    (
        |d| {
            set(d, OPEN, &format!("{VARIABLES}/SUPABASE_URL"), json!("https://other.example"));
            set(d, OPEN, "/LastModified", json!("2026-11-27T19:00:00.000+0000"));
        },
        "lambda_environment",
        Code::LambdaVariableDiffers,
        OPEN,
        "SUPABASE_URL has another value",
    ),
    (
        |d| function(d, OPEN).configuration["Environment"]["Variables"]["RUST_LOG"] = json!("trace"),
        "lambda_environment",
        Code::LambdaVariableDiffers,
        OPEN,
        "RUST_LOG is set",
    ),
    (
        |d| set(d, EXPIRE, &format!("{VARIABLES}/SUPABASE_SECRET_KEY"), json!("")),
        "lambda_environment",
        Code::LambdaVariableDiffers,
        EXPIRE,
        "SUPABASE_SECRET_KEY is not set",
    ),
    (
        |d| set(d, OPEN, "/Environment", json!({ "Error": { "ErrorCode": "AccessDeniedException" } })),
        "lambda_environment",
        Code::LambdaEnvironmentUnreadable,
        OPEN,
        "",
    ),
    (
        |d| {
            let long = "x".repeat(3700);
            d.template.parameters.insert("Issuer".to_owned(), long.clone());
            for id in [OPEN, STREAM, EXPIRE] {
                set(
                    d,
                    id,
                    &format!("{VARIABLES}/SUPABASE_JWT_ISSUER"),
                    json!(if id == OPEN { long.as_str() } else { "" }),
                );
            }
            for id in [STREAM, EXPIRE] {
                d.template.body["Resources"][id]["Properties"]["Environment"]["Variables"]["SUPABASE_JWT_ISSUER"] =
                    json!("");
            }
        },
        "lambda_environment",
        Code::LambdaEnvironmentNearLimit,
        OPEN,
        "of 4096 bytes",
    ),
    (
        |d| {
            for state in d.functions.values_mut() {
                state.permissions = Err(denied("lambda:GetPolicy"));
            }
        },
        "function_url",
        Code::AwsAccessDenied,
        "lambda:GetPolicy",
        "",
    ),
];

const URLS_AND_ROUTES: [Case; 10] = [
    (|d| state(d, OPEN).url = Some(Err(missing())), "function_url", Code::FunctionUrlMissing, OPEN, ""),
    (
        |d| state(d, STREAM).url.as_mut().unwrap().as_mut().unwrap().auth_type = "AWS_IAM".to_owned(),
        "function_url",
        Code::FunctionUrlAuthDiffers,
        STREAM,
        "AWS_IAM",
    ),
    (
        |d| state(d, STREAM).url.as_mut().unwrap().as_mut().unwrap().invoke_mode = "BUFFERED".to_owned(),
        "function_url",
        Code::InvokeModeDiffers,
        STREAM,
        "RESPONSE_STREAM",
    ),
    (
        |d| permissions(d, OPEN).retain(|one| one.action != "lambda:InvokeFunctionUrl"),
        "function_url",
        Code::UrlPermissionMissing,
        OPEN,
        "lambda:InvokeFunctionUrl for *",
    ),
    (
        |d| permissions(d, STREAM).retain(|one| !one.via_url_only),
        "function_url",
        Code::UrlInvokePermissionMissing,
        STREAM,
        "lambda:InvokeFunction for *",
    ),
    (
        |d| permissions(d, OPEN).retain(|one| one.source_arn.is_none()),
        "function_url",
        Code::RoutePermissionMissing,
        OPEN,
        "POST/chatkit/sessions",
    ),
    (
        |d| drop(d.apis.insert("HttpApi".to_owned(), Err(missing()))),
        "http_api",
        Code::HttpApiMissing,
        "HttpApi",
        "",
    ),
    (
        |d| d.apis.get_mut("HttpApi").unwrap().as_mut().unwrap().clear(),
        "http_api",
        Code::RouteMissing,
        "POST /chatkit/sessions",
        "",
    ),
    (
        |d| {
            drop(
                d.apis
                    .get_mut("HttpApi")
                    .unwrap()
                    .as_mut()
                    .unwrap()
                    .insert("$default".to_owned(), String::new()),
            )
        },
        "http_api",
        Code::RouteAdded,
        "$default",
        "",
    ),
    (
        |d| {
            let other = "arn:aws:lambda:eu-central-1:111122223333:function:chat-Doctor-1".to_owned();
            d.apis
                .get_mut("HttpApi")
                .unwrap()
                .as_mut()
                .unwrap()
                .insert("POST /chatkit/sessions".to_owned(), other);
        },
        "http_api",
        Code::RouteTargetDiffers,
        "POST /chatkit/sessions",
        "chat-CreateSession-1",
    ),
];

const SCHEDULES_AND_QUEUES: [Case; 8] = [
    (
        |d| drop(d.schedules.insert("Tick".to_owned(), Err(missing()))),
        "schedule",
        Code::ScheduleMissing,
        "Tick",
        "",
    ),
    (
        |d| d.schedules.get_mut("Tick").unwrap().as_mut().unwrap().state = "DISABLED".to_owned(),
        "schedule",
        Code::ScheduleDisabled,
        "Tick",
        "DISABLED",
    ),
    (
        |d| {
            d.schedules.get_mut("Tick").unwrap().as_mut().unwrap().schedule_expression =
                "rate(7 days)".to_owned()
        },
        "schedule",
        Code::ScheduleDiffers,
        "Tick",
        "rate(7 days)",
    ),
    (
        |d| d.schedules.get_mut("Tick").unwrap().as_mut().unwrap().target["Arn"] = json!("arn:aws:lambda:x"),
        "schedule",
        Code::ScheduleDiffers,
        "Tick",
        "Target.Arn",
    ),
    (
        // The last period with an invocation ended 16 minutes before.
        |d| {
            let runs = [
                (time("2026-11-27T19:39:00Z").as_second(), 1.0),
                (time("2026-11-27T19:55:00Z").as_second(), 0.0),
            ];
            d.metrics.as_mut().unwrap().insert("Tick".to_owned(), runs.into());
        },
        "schedule",
        Code::ScheduleNotRunning,
        "Tick",
        "no invocation in 15 minutes",
    ),
    (
        |d| d.metrics = Err(denied("cloudwatch:GetMetricData")),
        "schedule",
        Code::AwsAccessDenied,
        "cloudwatch:GetMetricData",
        "",
    ),
    (
        |d| drop(d.queues.insert("DeadLetters".to_owned(), Err(missing()))),
        "dead_letter_queue",
        Code::QueueMissing,
        "DeadLetters",
        "",
    ),
    (
        |d| {
            d.queues.insert("DeadLetters".to_owned(), Ok(3));
            d.metrics.as_mut().unwrap().insert("DeadLetters".to_owned(), [(1, 60.0), (2, 7260.0)].into());
        },
        "dead_letter_queue",
        Code::DeadLettersWaiting,
        "DeadLetters",
        "3 messages, the oldest of 121 minutes",
    ),
];

const ALARMS_LOGS_AND_SECRETS: [Case; 18] = [
    (|d| d.alarms.as_mut().unwrap().clear(), "alarm", Code::AlarmMissing, "LatencyAlarm", ""),
    (
        |d| alarm(d)["StateValue"] = json!("ALARM"),
        "alarm",
        Code::AlarmActive,
        "LatencyAlarm",
        "runbook.md#latency",
    ),
    (|d| alarm(d)["ActionsEnabled"] = json!(false), "alarm", Code::AlarmActionsDisabled, "LatencyAlarm", ""),
    (|d| alarm(d)["Threshold"] = json!(50.0), "alarm", Code::AlarmDiffers, "LatencyAlarm", "Threshold is 50"),
    (|d| alarm(d)["AlarmActions"] = json!([]), "alarm", Code::AlarmDiffers, "LatencyAlarm", "AlarmActions"),
    (
        |d| d.alarms = Err(denied("cloudwatch:DescribeAlarms")),
        "alarm",
        Code::AwsAccessDenied,
        "cloudwatch:DescribeAlarms",
        "",
    ),
    (
        |d| function(d, EXPIRE).concurrency.reserved_concurrent_executions = Some(0),
        "concurrency",
        Code::ReservedConcurrencyDiffers,
        EXPIRE,
        "0, the template has 2",
    ),
    (
        |d| function(d, OPEN).concurrency.reserved_concurrent_executions = Some(1),
        "concurrency",
        Code::ReservedConcurrencyDiffers,
        OPEN,
        "1, the template has none",
    ),
    (
        |d| {
            let limit = &mut d.account.as_mut().unwrap().account_limit;
            (limit.concurrent_executions, limit.unreserved_concurrent_executions) = (10, 10);
        },
        "concurrency",
        Code::AccountConcurrencyLow,
        "account",
        "10 of 10",
    ),
    (
        |d| {
            d.account =
                Err(unanswered("lambda:GetAccountSettings", Reason::Failed("AWS answered 500".to_owned())))
        },
        "concurrency",
        Code::AwsRequestFailed,
        "lambda:GetAccountSettings",
        "500",
    ),
    (
        |d| d.log_groups.as_mut().unwrap().clear(),
        "log_group",
        Code::LogGroupMissing,
        "Logs",
        "chat-create-session",
    ),
    (
        |d| *d.log_groups.as_mut().unwrap().values_mut().next().unwrap() = None,
        "log_group",
        Code::LogRetentionDiffers,
        "Logs",
        "for ever, the template has 30 days",
    ),
    (
        |d| *d.log_groups.as_mut().unwrap().values_mut().next().unwrap() = Some(1),
        "log_group",
        Code::LogRetentionDiffers,
        "Logs",
        "for 1 days",
    ),
    (|d| secret(d, "chat/webhook", Err(missing())), "secret", Code::SecretMissing, "chat/webhook", ""),
    (
        |d| {
            let failed = Reason::Failed("AWS answered 400 InvalidRequestException".to_owned());
            secret(d, "chat/webhook", Err(unanswered("secretsmanager:GetSecretValue", failed)));
        },
        "secret",
        Code::SecretDeleted,
        "chat/webhook",
        "",
    ),
    (
        |d| secret(d, "chat/webhook", Ok(Secret::new("c4n4ry"))),
        "secret",
        Code::SecretInvalid,
        "chat/webhook",
        "DATABASE_WEBHOOK_SECRET ",
    ),
    (
        |d| secret(d, "chat/secret-key", Ok(Secret::new("sb_secret_c4n4ry-of-tomorrow"))),
        "secret",
        Code::SecretOutdated,
        "chat/secret-key",
        "in CreateSession and 2 more",
    ),
    (
        // A variable that was edited by hand: the update is not a finding of its own.
        |d| {
            set(d, STREAM, &format!("{VARIABLES}/SUPABASE_SECRET_KEY"), json!("sb_secret_c4n4ry-by-hand"));
            set(d, STREAM, "/LastModified", json!("2026-11-27T19:00:00.000+0000"));
        },
        "secret",
        Code::SecretOutdated,
        "chat/secret-key",
        "in ServeChatkit",
    ),
];

fn alarm(deployment: &mut Deployment) -> &mut Value {
    deployment.alarms.as_mut().unwrap().values_mut().next().unwrap()
}

fn secret(deployment: &mut Deployment, id: &str, answer: Result<Secret, Unanswered>) {
    deployment.secrets.insert(id.to_owned(), answer);
}

#[test]
fn deployment_without_faults_has_no_finding() {
    let report = check(&fixture::deployment());
    let json = serde_json::to_string_pretty(&report).unwrap();
    assert!(report.findings.iter().all(|finding| finding.status == CheckStatus::Ok), "{json}");
    // One result each of the 12 checks, and one in the report of the deployed doctor.
    assert_eq!(report.findings.len(), 13, "{json}");
}

#[test]
fn each_fault_is_the_only_finding_and_quotes_no_secret() {
    let cases =
        [&STACK[..], &FUNCTIONS, &URLS_AND_ROUTES, &SCHEDULES_AND_QUEUES, &ALARMS_LOGS_AND_SECRETS].concat();
    for (inject, check_name, code, subject, detail) in cases {
        let mut deployment = fixture::deployment();
        inject(&mut deployment);
        let report = check(&deployment);
        let json = serde_json::to_string_pretty(&report).unwrap();
        let findings: Vec<_> =
            report.findings.iter().filter(|finding| finding.status != CheckStatus::Ok).collect();
        let [finding] = findings[..] else { panic!("{code} {subject}: expected one finding: {json}") };
        let found = (finding.check.as_str(), finding.code, finding.about.as_deref());
        assert_eq!(found, (check_name, Some(code), Some(subject)), "{json}");
        assert!(finding.detail.as_deref().is_some_and(|text| text.contains(detail)), "{detail}: {json}");
        assert_eq!(finding.cause.as_deref(), Some(code.cause()), "{json}");
        assert_eq!(finding.remedy, Some(code.remedy()), "{json}");
        assert!(!json.contains("c4n4ry"), "{json}");
    }
}

#[test]
fn recently_deployed_schedule_may_not_have_run_yet() {
    let mut deployment = fixture::deployment();
    deployment.metrics.as_mut().unwrap().clear();
    deployment.updated.insert("Tick".to_owned(), time("2026-11-27T19:50:00Z"));
    assert!(check(&deployment).healthy);
    deployment.updated.insert("Tick".to_owned(), time("2026-11-27T19:40:00Z"));
    assert!(!check(&deployment).healthy);
}

#[test]
fn secret_of_run_time_is_not_compared_with_the_variable() {
    let mut deployment = fixture::deployment();
    let reference = json!("secretsmanager:chat/secret-key");
    for id in [OPEN, STREAM, EXPIRE] {
        let pointer = format!("{VARIABLES}/SUPABASE_SECRET_KEY");
        deployment.template.body["Resources"][id]["Properties"]["Environment"]["Variables"]["SUPABASE_SECRET_KEY"] =
            reference.clone();
        set(&mut deployment, id, &pointer, reference.clone());
    }
    secret(&mut deployment, "chat/secret-key", Ok(Secret::new("sb_secret_of-tomorrow")));
    assert!(check(&deployment).healthy);
    secret(&mut deployment, "chat/secret-key", Ok(Secret::new("postgres://")));
    let report = check(&deployment);
    let codes: Vec<_> = report.findings.iter().filter_map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::SecretInvalid]);
}

#[test]
fn checks_are_skipped_if_the_stack_is_missing() {
    for (reason, code) in [
        (Reason::Missing, Code::StackMissing),
        (Reason::Denied, Code::AwsAccessDenied),
        (Reason::CredentialsRejected, Code::AwsCredentialsRejected),
    ] {
        let report = without_stack(&unanswered("cloudformation:DescribeStacks", reason));
        assert_eq!(report.findings[0].code, Some(code));
        let others = &report.findings[1..];
        assert!(others.iter().all(|finding| finding.status == CheckStatus::Skipped), "{others:?}");
        assert_eq!((report.healthy, others.len()), (false, 11));
    }
}
