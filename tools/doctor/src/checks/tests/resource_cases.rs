//! Faults of schedules, queues, alarms, concurrency, log groups and secrets.

use serde_json::json;
use shared::{doctor::FaultCode as Code, platform::secret::Secret};

use super::{
    Case, VARIABLES, alarm, denied,
    fixture::{EXPIRE, OPEN, STREAM, time},
    function, missing, secret, set, unanswered,
};
use crate::aws::Reason;

pub const SCHEDULES_AND_QUEUES: [Case; 8] = [
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

pub const ALARMS_LOGS_AND_SECRETS: [Case; 18] = [
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
        |d| {
            secret(
                d,
                "chat/secret-key",
                Ok(Secret::new("sb_secret_c4n4ry-of-tomorrow-0123456789-0123456789")),
            )
        },
        "secret",
        Code::SecretOutdated,
        "chat/secret-key",
        "in CreateSession and 2 more",
    ),
    (
        // A variable that was edited by hand: the update is not a finding of its own.
        |d| {
            set(
                d,
                STREAM,
                &format!("{VARIABLES}/SUPABASE_SECRET_KEY"),
                json!("sb_secret_c4n4ry-by-hand-0123456789-0123456789"),
            );
            set(d, STREAM, "/LastModified", json!("2026-11-27T19:00:00.000+0000"));
        },
        "secret",
        Code::SecretOutdated,
        "chat/secret-key",
        "in ServeChatkit",
    ),
];
