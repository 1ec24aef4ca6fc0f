//! Serving a function that a schedule starts and a webhook wakes.
//!
//! The webhook says nothing that is believed: who knows the secret may wake the function, which then looks for itself. Lambda gives
//! both kinds of event to the same function; a webhook's is that of its function URL.

use std::{process::ExitCode, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use lambda_http::{
    http::Method,
    lambda_runtime::{self, LambdaEvent, service_fn},
};
use serde_json::{Value, json};

use super::{
    problem,
    scheduled::{Scheduled, round},
    serve::{Fault, refused, start},
};
use crate::{
    app::Setup,
    config::Environment,
    error::{Code, Error},
    secret::Secret,
    telemetry,
    upstream::Http,
};

/// The header that carries the secret, as events name it.
const HEADER: &str = "x-webhook-secret";

/// Serves such a function until Lambda ends the process.
pub fn serve_woken<S: Scheduled>() -> ExitCode {
    start::<S>(run::<S>())
}

async fn run<S: Scheduled>() -> Result<(), Fault> {
    let mut setup = Setup::new(Environment::of_process(), Http::new()?);
    let (built, secret) = (S::new(&mut setup), setup.webhook_secret());
    let served = Arc::new(setup.finish(built.zip(secret))?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let served = Arc::clone(&served);
        async move {
            let (scheduled, secret) = served.as_ref();
            match event.payload.pointer("/requestContext/http") {
                None => round(scheduled, event).await,
                Some(request) => {
                    let refusal = refusal(request, &event.payload["headers"], secret);
                    Ok(answer(scheduled, event, refusal).await)
                }
            }
        }
    }))
    .await
}

/// Why this request does not wake anybody.
fn refusal(request: &Value, headers: &Value, secret: &Secret) -> Option<Code> {
    let given = headers[HEADER].as_str().unwrap_or_default();
    // In constant time: how long a comparison takes would tell how much of a guess was right.
    if verify_slices_are_equal(given.as_bytes(), secret.expose().as_bytes()).is_err() {
        return Some(Code::WebhookSecretRefused);
    }
    (request["method"] != Method::POST.as_str()).then_some(Code::MethodNotAllowed)
}

/// Does a round, unless it was refused, and answers as a function URL wants it.
async fn answer<S: Scheduled>(scheduled: &S, event: LambdaEvent<Value>, refusal: Option<Code>) -> Value {
    let path = event.payload["rawPath"].as_str().unwrap_or_default().to_owned();
    let request_id = event.context.request_id.clone();
    let code = match refusal {
        Some(code) => {
            // A line of its own: what was refused is no round. The path is the caller's, and not repeated.
            let method = event.payload["requestContext"]["http"]["method"].as_str().unwrap_or_default();
            telemetry::request(&event.context, None, method, "/").in_scope(|| refused(&Error::new(code)));
            code
        }
        None => match round(scheduled, event).await {
            Ok(_) => return json!({ "statusCode": 204 }),
            // It has been logged with its cause.
            Err(_) => Code::SupabaseUnavailable,
        },
    };
    let response = problem::response(&Error::new(code), &path, &request_id, Method::POST.as_str());
    let headers = response.headers().iter();
    let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    json!({
        "statusCode": response.status().as_u16(),
        "headers": headers.collect::<std::collections::BTreeMap<_, _>>(),
        "body": String::from_utf8_lossy(response.body()),
    })
}
