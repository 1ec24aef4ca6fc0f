//! Returns the event, or does what the last segment of the path requests. The tests of the local
//! stack use it.

use std::time::Duration;

use lambda_http::lambda_runtime::{self, Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    if std::env::var("REFUSES_TO_START").is_ok() {
        return Err("configured not to start".into());
    }
    lambda_runtime::run(service_fn(answer)).await
}

async fn answer(event: LambdaEvent<Value>) -> Result<Value, Error> {
    let (event, context) = event.into_parts();
    match event["rawPath"].as_str().unwrap_or_default().rsplit('/').next() {
        Some("crash") => std::process::exit(7),
        Some("error") => Err("an error on request".into()),
        Some("hang") => loop {
            tokio::time::sleep(Duration::from_secs(60)).await;
        },
        Some("slow") => {
            tokio::time::sleep(Duration::from_millis(300)).await;
            Ok(json!({ "pid": std::process::id() }))
        }
        Some("nonsense") => Ok(json!({ "statusCode": "many" })),
        Some("response") => Ok(json!({
            "statusCode": 201, "headers": { "content-type": "text/html" }, "cookies": ["a=b", "c=d"],
            "body": "PGI+aGk8L2I+", "isBase64Encoded": true,
        })),
        Some("environment") => Ok(std::env::vars()
            .map(|(name, value)| (name, Value::String(value)))
            .collect::<serde_json::Map<_, _>>()
            .into()),
        Some("log") => {
            println!("a line on standard output");
            eprintln!("a line on standard error");
            Ok(json!({ "pid": std::process::id() }))
        }
        _ => {
            let context = json!({
                "requestId": context.request_id, "deadline": context.deadline, "arn": context.invoked_function_arn,
                "traceId": context.xray_trace_id, "pid": std::process::id(),
            });
            Ok(json!({ "event": event, "context": context }))
        }
    }
}
