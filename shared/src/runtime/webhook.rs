//! Serving a function that a schedule starts and a webhook wakes.
//!
//! The webhook says nothing that is believed: who knows the secret may wake the function, which then looks for itself. Lambda gives
//! both kinds of event to the same function; a webhook's is an HTTP request's.

use std::{process::ExitCode, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use lambda_http::{
    Context,
    http::{Method, Response, StatusCode},
    lambda_runtime::{self, LambdaEvent, service_fn},
};
use serde_json::Value;

use crate::{
    error::{Error, ErrorCode},
    http::problem_details as problem,
    platform::{secret::Secret, telemetry},
    runtime::{
        Dependencies,
        event::{EventResponse, HttpEvent, Payload},
        http_service::{BoxError, bootstrap, log_error},
        schedule::{ScheduledJob, run_job},
    },
};

/// The header that carries the secret.
const HEADER: &str = "x-webhook-secret";

/// Serves such a function until Lambda ends the process.
pub fn serve_webhook<S: ScheduledJob>() -> ExitCode {
    bootstrap::<S>(run::<S>())
}

async fn run<S: ScheduledJob>() -> Result<(), BoxError> {
    let served = Arc::new(Dependencies::build_from_process(|dependencies| {
        let (job, secret) = (S::new(dependencies), dependencies.webhook_secret());
        Ok((job?, secret?))
    })?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let served = Arc::clone(&served);
        async move {
            let (scheduled, secret) = served.as_ref();
            handle_webhook(scheduled, secret, event).await
        }
    }))
    .await
}

/// A round for a schedule's event, and an answer for an HTTP request: what [`serve_woken`] runs, and what a test may call without a
/// runtime.
///
/// # Errors
/// That a round of the schedule failed.
pub async fn handle_webhook<S: ScheduledJob>(
    scheduled: &S,
    secret: &Secret,
    event: LambdaEvent<Payload>,
) -> Result<Value, BoxError> {
    let LambdaEvent { payload, context } = event;
    // A request that is hard to read is still one: it must not pass for the schedule, which needs no secret.
    if !payload.is_http() {
        return run_job(scheduled, &context).await;
    }
    let format = payload.format();
    let request = HttpEvent::head_from_payload(payload);
    let response = respond(scheduled, secret, &request, &context).await;
    Ok(serde_json::to_value(EventResponse::new(response, format))?)
}

/// Why this request does not wake anybody.
fn rejection(request: &HttpEvent, secret: &Secret) -> Option<Error> {
    let given = request.headers.get(HEADER).map_or(b"".as_slice(), |given| given.as_bytes());
    // In constant time: how long a comparison takes would tell how much of a guess was right.
    if verify_slices_are_equal(given, secret.expose().as_bytes()).is_err() {
        return Some(Error::new(ErrorCode::WebhookSecretRefused));
    }
    if let Some(fault) = request.fault {
        return Some(Error::new(ErrorCode::MalformedRequest).detail(fault));
    }
    (request.method != Method::POST).then(|| Error::new(ErrorCode::MethodNotAllowed))
}

/// Does a round, unless it was refused, and says what came of it.
async fn respond<S: ScheduledJob>(
    scheduled: &S,
    secret: &Secret,
    request: &HttpEvent,
    context: &Context,
) -> Response<Vec<u8>> {
    let error = match rejection(request, secret) {
        Some(error) => {
            // A line of its own: what was refused is no round. The path is the caller's, and not repeated.
            let method = telemetry::excerpt(request.method.as_str());
            telemetry::request(context, None, &method, "/").in_scope(|| log_error(&error));
            error
        }
        None => match run_job(scheduled, context).await {
            Ok(_) => {
                let mut response = Response::new(Vec::new());
                *response.status_mut() = StatusCode::NO_CONTENT;
                return response;
            }
            // It has been logged with its cause.
            Err(_) => Error::new(ErrorCode::SupabaseUnavailable),
        },
    };
    problem::response(&error, &request.target.path, &context.request_id, Method::POST.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::platform::config::Reported;
    use crate::{jobs::Run, platform::http_client::Deadline};

    struct Nothing;

    struct Panics;

    impl ScheduledJob for Panics {
        type Report = ();

        fn new(_: &mut Dependencies) -> Result<Self, Reported> {
            Ok(Self)
        }

        async fn run(&self, _: Deadline) -> Run<()> {
            panic!("as a control")
        }
    }

    impl ScheduledJob for Nothing {
        type Report = ();

        fn new(_: &mut Dependencies) -> Result<Self, Reported> {
            Ok(Self)
        }

        async fn run(&self, _: Deadline) -> Run<()> {
            Run { report: (), failures: Vec::new() }
        }
    }

    /// The status of an answer; nothing where a round was done for a schedule.
    async fn status(event: Value) -> Option<u64> {
        let payload = Payload::parse(event.to_string().as_bytes());
        let secret = Secret::new("s3cret");
        let answer = handle_webhook(&Nothing, &secret, LambdaEvent::new(payload, Context::default())).await;
        answer.unwrap()["statusCode"].as_u64()
    }

    #[tokio::test]
    async fn a_panic_is_a_round_that_failed() {
        let secret = Secret::new("s3cret");
        let event = |text: &str| LambdaEvent::new(Payload::parse(text.as_bytes()), Context::default());
        let failed = handle_webhook(&Panics, &secret, event("{}")).await.unwrap_err().to_string();
        assert_eq!(failed, "round: internal_error");
        let woken = r#"{"rawPath":"/","headers":{"x-webhook-secret":"s3cret"},"requestContext":{"http":{"method":"POST"}}}"#;
        assert_eq!(handle_webhook(&Panics, &secret, event(woken)).await.unwrap()["statusCode"], 503);
    }

    #[tokio::test]
    async fn no_request_passes_for_the_schedule() {
        let schedule = json!({ "version": "0", "source": "aws.scheduler", "detail": {} });
        for scheduled in [schedule, json!({}), json!(null), json!([])] {
            assert_eq!(status(scheduled.clone()).await, None, "{scheduled}");
        }
        let v2 = |method: &str, secret: &str| {
            json!({
                "rawPath": "/", "headers": { "X-Webhook-Secret": secret },
                "requestContext": { "http": { "method": method } },
            })
        };
        assert_eq!(status(v2("POST", "s3cret")).await, Some(204));
        assert_eq!(status(v2("POST", "s3cre")).await, Some(401));
        assert_eq!(status(v2("GET", "s3cret")).await, Some(405));
        let v1 = |secret: &str| json!({ "path": "/", "httpMethod": "POST", "headers": { "x-webhook-secret": secret } });
        assert_eq!(status(v1("s3cret")).await, Some(204));
        assert_eq!(status(v1("guess")).await, Some(401));
        for broken in [
            json!({ "requestContext": {} }),
            json!({ "requestContext": { "http": null }, "headers": [] }),
            json!({ "rawPath": "/" }),
            json!({ "headers": { "x-webhook-secret": 7 } }),
        ] {
            assert_eq!(status(broken.clone()).await, Some(401), "{broken}");
        }
        let mut broken = v2("POST", "s3cret");
        broken["headers"]["a b"] = json!("c");
        assert_eq!(status(broken).await, Some(400));
        // What is not looked at cannot be wrong.
        let mut unread = v2("POST", "s3cret");
        (unread["rawQueryString"], unread["body"]) = (json!("a b"), json!(7));
        assert_eq!(status(unread).await, Some(204));
    }
}
