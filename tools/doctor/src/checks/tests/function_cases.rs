//! Faults of the stack itself, its functions, their URLs and their routes.

use serde_json::json;
use shared::doctor::FaultCode as Code;

use super::{
    Case, VARIABLES, denied,
    fixture::{EXPIRE, OPEN, STREAM},
    function, missing, permissions, set, state,
};
use crate::aws::Permission;

pub const STACK: [Case; 5] = [
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

pub const FUNCTIONS: [Case; 19] = [
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

pub const URLS_AND_ROUTES: [Case; 10] = [
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
