//! Receives the database webhook: checks its secret and its method.
//!
//! The webhook's content is ignored. A caller with the secret only requests a run, which reads from
//! the database what is due.

use std::{future::Future, panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use futures_util::FutureExt;
use lambda_http::http::{Method, Response, StatusCode};
use lambda_runtime::{LambdaEvent, service_fn};
use tracing::Instrument;

use crate::{
    error::{Error, ErrorCode},
    http::problem_details as problem,
    platform::{
        config::{self, Environment},
        http_client::{Deadline, HttpClient},
        secret::Secret,
        secret_store::Rotating,
        telemetry,
    },
    runtime::{
        Reported,
        event::{EventResponse, HttpEvent, Payload},
        http_edge::{deadline, log_error, log_status, panicked},
        http_service::{BoxError, bootstrap},
    },
};

/// Header with the webhook's secret.
const HEADER: &str = "x-webhook-secret";

/// The work that an accepted request starts.
pub trait Webhook: Send + Sync + Sized + 'static {
    /// Builds the dependencies that the webhook needs. Read all variables before unwrapping the
    /// first, so that all configuration errors are reported at once.
    fn new(environment: &mut Environment, http: HttpClient) -> Result<Self, Reported>;

    /// Starts the work. Returns before it is done.
    fn accept(&self, deadline: Deadline) -> impl Future<Output = Result<(), Error>> + Send;
}

/// Serves a webhook until Lambda ends the process.
pub fn serve_webhook<W: Webhook>() -> ExitCode {
    bootstrap::<W>(run::<W>())
}

async fn run<W: Webhook>() -> Result<(), BoxError> {
    let http = HttpClient::new()?;
    let environment = Environment::from_process().with_secrets(&http).await;
    let service = Arc::new(WebhookService::<W>::new(environment, http)?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let service = Arc::clone(&service);
        async move { Ok::<_, BoxError>(service.answer(event).await) }
    }))
    .await
}

/// The secrets that a request may send: one, or two while one replaces the other.
pub(crate) struct WebhookSecrets(Vec<Secret>);

impl WebhookSecrets {
    pub(crate) fn from_environment(environment: &mut Environment) -> Result<Rotating<Self>, Reported> {
        environment.required_secret("DATABASE_WEBHOOK_SECRET", Self::parse)
    }

    /// Parses one secret, or two that are separated by a space.
    fn parse(value: &str) -> Result<Self, String> {
        let secrets: Vec<&str> = value.split_ascii_whitespace().collect();
        if secrets.len() > 2 {
            return Err("must have at most two secrets".to_owned());
        }
        secrets.into_iter().map(config::secret_min_32).collect::<Result<_, _>>().map(Self)
    }

    /// Compares in constant time with each secret, since the duration would otherwise reveal how
    /// much of a guess is right.
    fn contains(&self, given: &[u8]) -> bool {
        self.0.iter().fold(false, |is_known, secret| {
            is_known | verify_slices_are_equal(given, secret.expose().as_bytes()).is_ok()
        })
    }
}

/// A webhook with the check of its secret: [`serve_webhook`] runs it, and tests can call it without
/// the Lambda runtime.
pub struct WebhookService<W> {
    webhook: W,
    secrets: Rotating<WebhookSecrets>,
}

impl<W: Webhook> WebhookService<W> {
    /// Builds a webhook and its dependencies from this environment.
    ///
    /// # Errors
    /// Returns all configuration errors.
    pub fn new(mut environment: Environment, http: HttpClient) -> Result<Self, config::ConfigErrors> {
        let secrets = WebhookSecrets::from_environment(&mut environment);
        let webhook = W::new(&mut environment, http);
        let built = secrets.and_then(|secrets| Ok(Self { webhook: webhook?, secrets }));
        environment.finish(built)
    }

    /// Responds to any event, and writes its log record.
    pub async fn answer(&self, event: LambdaEvent<Payload>) -> EventResponse {
        let LambdaEvent { payload, context } = event;
        let format = payload.format();
        let request = HttpEvent::head_from_payload(payload);
        let method = telemetry::excerpt(request.method.as_str());
        // The log omits the path, which the caller controls.
        let span = telemetry::request(&context, None, &method, "/");
        let response = async {
            match self.accept_within(&request, deadline(&context)).await {
                Ok(()) => {
                    log_status(StatusCode::ACCEPTED);
                    let mut response = Response::new(Vec::new());
                    *response.status_mut() = StatusCode::ACCEPTED;
                    response
                }
                Err(error) => {
                    log_error(&error);
                    let path = &request.target.path;
                    problem::response(&error, path, &context.request_id, Method::POST.as_str())
                }
            }
        };
        let response = response.instrument(span).await;
        telemetry::flush().await;
        EventResponse::new(response, format)
    }

    /// Starts the work unless the request is rejected. A panic is reported as an error.
    async fn accept_within(&self, request: &HttpEvent, deadline: Deadline) -> Result<(), Error> {
        if let Some(error) = self.rejection(request).await {
            return Err(error);
        }
        let accepted = AssertUnwindSafe(self.webhook.accept(deadline)).catch_unwind();
        match tokio::time::timeout(deadline.remaining(), accepted).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(panicked()),
            Err(_elapsed) => Err(Error::new(ErrorCode::DeadlineExceeded)),
        }
    }

    /// Returns the reason to reject a request, if there is one.
    async fn rejection(&self, request: &HttpEvent) -> Option<Error> {
        let given = request.headers.get(HEADER).map_or(b"".as_slice(), |given| given.as_bytes());
        let contains = |secrets: &WebhookSecrets| if secrets.contains(given) { Some(()) } else { None };
        if self.secrets.find(contains).await.is_none() {
            return Some(Error::new(ErrorCode::WebhookSecretRefused));
        }
        if let Some(fault) = request.fault {
            return Some(Error::new(ErrorCode::MalformedRequest).detail(fault));
        }
        (request.method != Method::POST).then(|| Error::new(ErrorCode::MethodNotAllowed))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use lambda_runtime::Context;
    use serde_json::{Value, json};

    use super::*;

    const SECRET: &str = "a-secret-of-thirty-two-characters";
    const OLD_SECRET: &str = "an-old-secret-of-many-characters!";

    /// Counts accepted requests. Fails every second one.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Webhook for Counter {
        fn new(_: &mut Environment, _: HttpClient) -> Result<Self, Reported> {
            Ok(Self::default())
        }

        async fn accept(&self, _: Deadline) -> Result<(), Error> {
            match self.0.fetch_add(1, Ordering::Relaxed) % 2 {
                0 => Ok(()),
                _ => Err(Error::new(ErrorCode::RouteEventsNotStarted)),
            }
        }
    }

    struct Panics;

    impl Webhook for Panics {
        fn new(_: &mut Environment, _: HttpClient) -> Result<Self, Reported> {
            Ok(Self)
        }

        async fn accept(&self, _: Deadline) -> Result<(), Error> {
            panic!("as a control")
        }
    }

    fn service<W: Webhook>(secrets: &str) -> Result<WebhookService<W>, config::ConfigErrors> {
        let secrets = secrets.to_owned();
        let environment =
            Environment::new(move |name| (name == "DATABASE_WEBHOOK_SECRET").then(|| secrets.clone()));
        WebhookService::new(environment, HttpClient::new().unwrap())
    }

    async fn status<W: Webhook>(service: &WebhookService<W>, event: Value) -> Value {
        let payload = Payload::parse(event.to_string().as_bytes());
        let response = service.answer(LambdaEvent::new(payload, Context::default())).await;
        serde_json::to_value(response).unwrap()["statusCode"].clone()
    }

    fn v2(method: &str, secret: &str) -> Value {
        json!({
            "rawPath": "/", "headers": { "X-Webhook-Secret": secret },
            "requestContext": { "http": { "method": method } },
        })
    }

    #[tokio::test]
    async fn failure_and_panic_are_answered() {
        let counter = service::<Counter>(SECRET).unwrap();
        assert_eq!(status(&counter, v2("POST", SECRET)).await, 202);
        assert_eq!(status(&counter, v2("POST", SECRET)).await, 503);
        let panics = service::<Panics>(SECRET).unwrap();
        assert_eq!(status(&panics, v2("POST", SECRET)).await, 500);
    }

    #[tokio::test]
    async fn old_and_new_secret_are_valid_together() {
        let both = service::<Counter>(&format!("{SECRET} {OLD_SECRET}")).unwrap();
        assert_eq!(status(&both, v2("POST", SECRET)).await, 202);
        assert_eq!(status(&both, v2("POST", OLD_SECRET)).await, 503, "accepted, and failed");
        assert_eq!(status(&both, v2("POST", &format!("{SECRET} {OLD_SECRET}"))).await, 401);
        let error = |secrets: &str| service::<Counter>(secrets).err().map(|error| error.to_string());
        for invalid in ["short", &format!("{SECRET} short"), &format!("{SECRET} {SECRET} {SECRET}")] {
            let error = error(invalid).unwrap();
            assert!(error.contains("DATABASE_WEBHOOK_SECRET must") && !error.contains(SECRET), "{error}");
        }
    }

    #[tokio::test]
    async fn request_needs_the_secret() {
        let service = service::<Counter>(SECRET).unwrap();
        let v1 = |secret: &str| json!({ "path": "/", "httpMethod": "POST", "headers": { "x-webhook-secret": secret } });
        // The query and the body are ignored, so they cannot be invalid.
        let mut unread = v2("POST", SECRET);
        (unread["rawQueryString"], unread["body"]) = (json!("a b"), json!(7));
        let mut broken = v2("POST", SECRET);
        broken["headers"]["a b"] = json!("c");
        for (event, expected) in [
            (v2("POST", &SECRET[1..]), 401),
            (v2("POST", &SECRET.to_uppercase()), 401),
            (v2("POST", ""), 401),
            (v2("GET", SECRET), 405),
            (v1("guess"), 401),
            (broken, 400),
            (json!({}), 401),
            (json!(null), 401),
            (json!({ "version": "0", "source": "aws.scheduler", "detail": {} }), 401),
            (json!({ "requestContext": {} }), 401),
            (json!({ "requestContext": { "http": null }, "headers": [] }), 401),
            (json!({ "headers": { "x-webhook-secret": 7 } }), 401),
            (v2("POST", SECRET), 202),
            (v1(SECRET), 503),
            (unread, 202),
        ] {
            assert_eq!(status(&service, event.clone()).await, expected, "{event}");
        }
        assert_eq!(service.webhook.0.load(Ordering::Relaxed), 3, "a rejected request was accepted");
    }
}
