//! Scheduled jobs that a database webhook can also start.
//!
//! The webhook's content is ignored: a caller with the secret only starts a run, which reads from
//! the database what is due. Lambda sends both kinds of event to the same function; a webhook's
//! event is an HTTP request.

use std::{process::ExitCode, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use lambda_http::http::{Method, Response, StatusCode};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use serde_json::Value;

use crate::{
    error::{Error, ErrorCode},
    http::problem_details as problem,
    platform::{secret::Secret, secret_store::Rotating, telemetry},
    runtime::{
        Dependencies,
        event::{EventResponse, HttpEvent, Payload},
        http_edge::log_error,
        http_service::{BoxError, bootstrap},
        schedule::{ScheduledJob, run_job},
    },
};

/// Header with the webhook's secret.
const HEADER: &str = "x-webhook-secret";

/// Serves a scheduled job with a webhook until Lambda ends the process.
pub fn serve_webhook<S: ScheduledJob>() -> ExitCode {
    bootstrap::<S>(run::<S>())
}

async fn run<S: ScheduledJob>() -> Result<(), BoxError> {
    let build = |dependencies: &mut Dependencies| {
        let job = S::new(dependencies);
        let secret = dependencies.webhook_secret();
        Ok((job?, secret?))
    };
    let served = Arc::new(Dependencies::build_from_process(build).await?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let served = Arc::clone(&served);
        async move {
            let (scheduled, secret) = served.as_ref();
            handle_webhook(scheduled, secret, event).await
        }
    }))
    .await
}

/// Starts a run. Returns its report for a schedule's event, and an HTTP response for a webhook's.
/// [`serve_webhook`] calls this, and tests can call it without the Lambda runtime.
///
/// # Errors
/// Returns an error if a run of the schedule failed.
pub async fn handle_webhook<S: ScheduledJob>(
    scheduled: &S,
    secret: &Rotating<Secret>,
    event: LambdaEvent<Payload>,
) -> Result<Value, BoxError> {
    let LambdaEvent { payload, context } = event;
    // A malformed HTTP request must not be mistaken for the schedule's event, which needs no
    // secret.
    if !payload.is_http() {
        return run_job(scheduled, &context).await;
    }
    let format = payload.format();
    let request = HttpEvent::head_from_payload(payload);
    let response = respond(scheduled, secret, &request, &context).await;
    Ok(serde_json::to_value(EventResponse::new(response, format))?)
}

/// Returns the reason to reject a request, if there is one.
async fn rejection(request: &HttpEvent, secret: &Rotating<Secret>) -> Option<Error> {
    let given = request.headers.get(HEADER).map_or(b"".as_slice(), |given| given.as_bytes());
    // Compares in constant time, since the duration would otherwise reveal how much of a guess is
    // right.
    let compare = |secret: &Secret| verify_slices_are_equal(given, secret.expose().as_bytes()).ok();
    if secret.find(compare).await.is_none() {
        return Some(Error::new(ErrorCode::WebhookSecretRefused));
    }
    if let Some(fault) = request.fault {
        return Some(Error::new(ErrorCode::MalformedRequest).detail(fault));
    }
    (request.method != Method::POST).then(|| Error::new(ErrorCode::MethodNotAllowed))
}

/// Starts a run unless the request is rejected, and returns its result as a response.
async fn respond<S: ScheduledJob>(
    scheduled: &S,
    secret: &Rotating<Secret>,
    request: &HttpEvent,
    context: &Context,
) -> Response<Vec<u8>> {
    let error = match rejection(request, secret).await {
        Some(error) => {
            // Logged separately, since no run was started. The log omits the path, which the caller
            // controls.
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
            // Already logged with its cause.
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

    /// Returns the status of the response; `None` for an event of the schedule.
    async fn status(event: Value) -> Option<u64> {
        let payload = Payload::parse(event.to_string().as_bytes());
        let secret = Secret::new("s3cret").into();
        let answer = handle_webhook(&Nothing, &secret, LambdaEvent::new(payload, Context::default())).await;
        answer.unwrap()["statusCode"].as_u64()
    }

    #[tokio::test]
    async fn panic_fails_the_run() {
        let secret = Secret::new("s3cret").into();
        let event = |text: &str| LambdaEvent::new(Payload::parse(text.as_bytes()), Context::default());
        let failed = handle_webhook(&Panics, &secret, event("{}")).await.unwrap_err().to_string();
        assert_eq!(failed, "run: internal_error");
        let webhook = r#"{"rawPath":"/","headers":{"x-webhook-secret":"s3cret"},"requestContext":{"http":{"method":"POST"}}}"#;
        assert_eq!(handle_webhook(&Panics, &secret, event(webhook)).await.unwrap()["statusCode"], 503);
    }

    #[tokio::test]
    async fn http_request_needs_the_secret() {
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
        // The query and the body are ignored, so they cannot be invalid.
        let mut unread = v2("POST", "s3cret");
        (unread["rawQueryString"], unread["body"]) = (json!("a b"), json!(7));
        assert_eq!(status(unread).await, Some(204));
    }
}
