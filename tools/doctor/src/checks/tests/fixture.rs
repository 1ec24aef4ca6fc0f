//! A stack without a fault: a function of the API, the streaming function, a scheduled one, and the
//! doctor.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::{
    doctor::DoctorReport,
    platform::{parse::Timestamp, secret::Secret},
};

use crate::{
    aws::{AccountLimit, AccountSettings, Concurrency, Function, FunctionUrl, Permission, Schedule},
    checks::stack::VERSION_TAG,
    deployment::{Deployment, FunctionState},
    template::{StackIdentity, Template},
};

const SECRET_KEY: &str = "sb_secret_c4n4ry-0123456789-abcdefghij";
const WEBHOOK_SECRET: &str = "c4n4ry-webhook-0123456789-0123456789";

pub const OPEN: &str = "CreateSession";
pub const STREAM: &str = "ServeChatkit";
pub const EXPIRE: &str = "ExpireSessions";

/// The time of the last deployment, and of the checks.
const DEPLOYED: &str = "2026-11-27T10:00:00Z";
const NOW: &str = "2026-11-27T20:00:00Z";

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

pub fn deployment() -> Deployment {
    let template = template();
    let names = ["CreateSession", "ServeChatkit", "ExpireSessions", "Doctor"];
    let functions = names.map(|name| (name.to_owned(), function(&template, name))).into();
    let updated = template.physical_ids.keys().map(|id| (id.clone(), time(DEPLOYED))).collect();
    let route = "arn:aws:lambda:eu-central-1:111122223333:function:chat-CreateSession-1";
    let tick = Schedule {
        state: "ENABLED".to_owned(),
        schedule_expression: "rate(5 minutes)".to_owned(),
        target: json!({
            "Arn": "arn:aws:lambda:eu-central-1:111122223333:function:chat-ExpireSessions-1",
            "DeadLetterConfig": { "Arn": "arn:aws:sqs:eu-central-1:111122223333:chat-DeadLetters-1" }
        }),
    };
    let alarm = json!({ "StateValue": "OK", "ActionsEnabled": true, "Threshold": 5.0, "AlarmActions": ["arn:aws:sns:x"],
        "AlarmDescription": "docs/operations/runbook.md#latency" });
    let account_limit = AccountLimit { concurrent_executions: 1000, unreserved_concurrent_executions: 998 };
    let last_run = time("2026-11-27T19:55:00Z").as_second();
    let secrets = [("chat/secret-key", SECRET_KEY), ("chat/webhook", WEBHOOK_SECRET)];
    Deployment {
        now: time(NOW),
        status: "UPDATE_COMPLETE".to_owned(),
        updated,
        functions,
        apis: one("HttpApi", Ok([("POST /chatkit/sessions".to_owned(), route.to_owned())].into())),
        schedules: one("Tick", Ok(tick)),
        queues: one("DeadLetters", Ok(0)),
        alarms: Ok(one("chat-LatencyAlarm-1", alarm)),
        log_groups: Ok(one("/aws/lambda/chat-create-session", Some(30))),
        account: Ok(AccountSettings { account_limit }),
        secrets: secrets.map(|(id, value)| (id.to_owned(), Ok(Secret::new(value)))).into(),
        metrics: Ok(one("Tick", one(last_run, 1.0))),
        report: Ok(DoctorReport::from_json(br#"{"healthy":true,"faults":0,"warnings":0,"findings":[{"check":"configuration","status":"ok"}]}"#).ok()),
        template,
    }
}

fn one<K: Ord, V, Name: Into<K>>(name: Name, value: V) -> BTreeMap<K, V> {
    BTreeMap::from([(name.into(), value)])
}

fn template() -> Template {
    let resource =
        |kind: &str, properties: Value| json!({ "Type": format!("AWS::{kind}"), "Properties": properties });
    let function = |program: &str, own: Value| {
        let mut properties = json!({
            "Architectures": [{ "Ref": "Architecture" }], "MemorySize": 512, "Timeout": 15, "Runtime": "provided.al2023",
            "Tags": [{ "Key": VERSION_TAG, "Value": env!("CARGO_PKG_VERSION") }],
            "LoggingConfig": { "LogGroup": { "Ref": "Logs" } },
            "Environment": { "Variables": {
                "SUPABASE_URL": { "Ref": "SupabaseUrl" },
                "SUPABASE_SECRET_KEY": { "Fn::Sub": "{{resolve:secretsmanager:chat/secret-key:SecretString}}" },
                "SUPABASE_JWT_ISSUER": { "Ref": "Issuer" }
            } }
        });
        for (name, value) in own.as_object().unwrap() {
            properties[name] = value.clone();
        }
        let mut function = resource("Lambda::Function", properties);
        function["Metadata"] = json!({ "BuildProperties": { "Binary": program } });
        function
    };
    let url = |function: &str, mode: Value| {
        let mut properties = json!({ "TargetFunctionArn": { "Ref": function }, "AuthType": "NONE" });
        properties["InvokeMode"] = mode;
        resource("Lambda::Url", properties)
    };
    let webhook = json!({ "Environment": { "Variables": {
        "DATABASE_WEBHOOK_SECRET": "{{resolve:secretsmanager:chat/webhook:SecretString}}" } } });
    let target = json!({
        "Arn": { "Fn::GetAtt": [EXPIRE, "Arn"] }, "DeadLetterConfig": { "Arn": { "Fn::GetAtt": ["DeadLetters", "Arn"] } } });
    let uri =
        "arn:aws:apigateway:eu-central-1:lambda:path/2015-03-31/functions/${CreateSession.Arn}/invocations";
    let post = json!({ "post": { "x-amazon-apigateway-integration": { "uri": { "Fn::Sub": uri } } } });
    let body = json!({ "Resources": {
        OPEN: function("create-session", json!({})),
        STREAM: function("serve-chatkit", json!({ "Timeout": 900 })),
        EXPIRE: function("expire-sessions", json!({ "ReservedConcurrentExecutions": 2 })),
        "Doctor": function("doctor", webhook),
        "CreateSessionUrl": url(OPEN, Value::Null),
        "ServeChatkitUrl": url(STREAM, json!("RESPONSE_STREAM")),
        "RoutePermission": resource("Lambda::Permission", json!({
            "Action": "lambda:InvokeFunction", "FunctionName": { "Ref": OPEN }, "Principal": "apigateway.amazonaws.com",
            "SourceArn": { "Fn::Sub": "arn:aws:execute-api:${AWS::Region}:${AWS::AccountId}:${HttpApi}/*/POST/chatkit/sessions" }
        })),
        "HttpApi": resource("ApiGatewayV2::Api", json!({ "Body": { "paths": { "/chatkit/sessions": post } } })),
        "Tick": resource("Scheduler::Schedule", json!({ "ScheduleExpression": "rate(5 minutes)", "Target": target })),
        "DeadLetters": resource("SQS::Queue", json!({})),
        "LatencyAlarm": resource("CloudWatch::Alarm", json!({ "Threshold": 5, "AlarmActions": ["arn:aws:sns:x"] })),
        "Logs": resource("Logs::LogGroup", json!({ "RetentionInDays": { "Ref": "Days" } }))
    } });
    let physical_id = |id: &String| {
        let physical_id = match id.as_str() {
            "Logs" => "/aws/lambda/chat-create-session".to_owned(),
            "DeadLetters" => {
                "https://sqs.eu-central-1.amazonaws.com/111122223333/chat-DeadLetters-1".to_owned()
            }
            id => format!("chat-{id}-1"),
        };
        (id.clone(), physical_id)
    };
    let physical_ids = body["Resources"].as_object().unwrap().keys().map(physical_id).collect();
    let parameters = [
        ("Architecture", "arm64"),
        ("Days", "30"),
        ("SupabaseUrl", "https://project.supabase.co"),
        ("Issuer", ""),
    ];
    Template {
        body,
        stack: StackIdentity::from_arn("arn:aws:cloudformation:eu-central-1:111122223333:stack/chat/0a1b")
            .unwrap(),
        parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        physical_ids,
    }
}

/// The function, as AWS describes it after the deployment.
fn function(template: &Template, name: &str) -> FunctionState {
    let mut variables = json!({ "SUPABASE_URL": "https://project.supabase.co", "SUPABASE_SECRET_KEY": SECRET_KEY, "SUPABASE_JWT_ISSUER": "" });
    if name == "Doctor" {
        variables = json!({ "DATABASE_WEBHOOK_SECRET": WEBHOOK_SECRET });
    }
    let configuration = json!({
        "Architectures": ["arm64"], "MemorySize": 512, "Timeout": if name == STREAM { 900 } else { 15 },
        "Runtime": "provided.al2023", "State": "Active", "LastUpdateStatus": "Successful",
        "LastModified": "2026-11-27T09:59:30.000+0000", "Environment": { "Variables": variables },
        "LoggingConfig": { "LogGroup": "/aws/lambda/chat-create-session", "LogFormat": "JSON" }
    });
    let open_url = [
        json!({ "Principal": "*", "Action": "lambda:InvokeFunctionUrl",
            "Condition": { "StringEquals": { "lambda:FunctionUrlAuthType": "NONE" } } }),
        json!({ "Principal": { "AWS": "*" }, "Action": "lambda:InvokeFunction",
            "Condition": { "Bool": { "lambda:InvokedViaFunctionUrl": "true" } } }),
    ];
    let route = json!({ "Principal": { "Service": "apigateway.amazonaws.com" }, "Action": "lambda:InvokeFunction", "Condition": {
        "ArnLike": { "AWS:SourceArn": "arn:aws:execute-api:eu-central-1:111122223333:chat-HttpApi-1/*/POST/chatkit/sessions" } } });
    let (mode, permissions) = match name {
        OPEN => (Some("BUFFERED"), [open_url.as_slice(), &[route]].concat()),
        STREAM => (Some("RESPONSE_STREAM"), open_url.to_vec()),
        _ => (None, Vec::new()),
    };
    let url = |mode: &str| Ok(FunctionUrl { auth_type: "NONE".to_owned(), invoke_mode: mode.to_owned() });
    let reserved = if name == EXPIRE { Some(2) } else { None };
    assert!(template.physical_ids.contains_key(name));
    FunctionState {
        function: Ok(Function {
            configuration,
            tags: one(VERSION_TAG, env!("CARGO_PKG_VERSION").to_owned()),
            tags_error: None,
            concurrency: Concurrency { reserved_concurrent_executions: reserved },
        }),
        url: mode.map(url),
        permissions: Ok(permissions.iter().map(Permission::from_statement).collect()),
    }
}
