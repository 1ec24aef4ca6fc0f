//! The steps of every HTTP function around its handler: convert the event, match the route, answer
//! preflight requests, keep the deadline, and convert errors and panics to problem details with a
//! log line.

use std::{panic::AssertUnwindSafe, time::Duration, time::SystemTime};

use futures_util::FutureExt;
use lambda_http::http::{self as http_types, HeaderMap, HeaderName, HeaderValue, Method};
use lambda_runtime::{Context, LambdaEvent};
use tracing::Instrument;

use crate::{
    error::{Error, ErrorCode},
    http::{Route, cors::Cors, problem_details as problem},
    platform::{
        http_client::Deadline,
        telemetry::{self, TARGET, excerpt},
    },
    runtime::event::{HttpEvent, Payload},
};

/// Time reserved for sending the response before Lambda stops the function.
const RESPONSE_MARGIN: Duration = Duration::from_millis(300);

/// The route and the CORS rules of an HTTP function.
pub(super) struct HttpEdge {
    pub route: Route,
    pub cors: Cors,
}

/// A request with the method and the path of the route.
pub(super) struct RoutedRequest {
    pub path_id: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub deadline: Deadline,
    pub request_id: String,
}

/// The body of a response.
pub(super) trait ResponseBody: From<Vec<u8>> {
    /// Returns whether the body is known. Otherwise the end of the body completes the log record.
    fn is_complete(&self) -> bool;

    /// Converts the response to a preflight request.
    fn preflight(response: http_types::Response<Vec<u8>>) -> http_types::Response<Self> {
        response.map(Self::from)
    }
}

impl ResponseBody for Vec<u8> {
    fn is_complete(&self) -> bool {
        true
    }
}

impl HttpEdge {
    /// Responds to any event, and writes its log record.
    pub async fn answer<B, F>(
        &self,
        event: LambdaEvent<Payload>,
        handle: impl FnOnce(RoutedRequest) -> F,
    ) -> http_types::Response<B>
    where
        B: ResponseBody,
        F: Future<Output = Result<http_types::Response<B>, Error>>,
    {
        let LambdaEvent { payload, context } = event;
        let request = HttpEvent::from_payload(payload);
        let traceparent = request.headers.get("traceparent").and_then(|value| value.to_str().ok());
        // An HTTP method is any token of any length.
        let method = excerpt(request.method.as_str());
        let span = telemetry::request(&context, traceparent, &method, self.route.path);
        let response = async {
            let headers = request.headers.clone();
            let path = request.target.path.clone();
            let outcome = self.respond_within_deadline(request, &context, handle).await;
            log_response(&outcome);
            let mut response = outcome.unwrap_or_else(|error| {
                problem::response(&error, &path, &context.request_id, self.route.method.as_str()).map(B::from)
            });
            self.cors.apply(&headers, response.headers_mut());
            // A streamed response is sent with its headers as JSON texts, so they must be ASCII.
            let id = HeaderValue::from_str(&context.request_id).ok().filter(|id| id.to_str().is_ok());
            response.headers_mut().extend(id.map(|id| (HeaderName::from_static("x-request-id"), id)));
            response
        }
        .instrument(span)
        .await;
        telemetry::flush().await;
        response
    }

    /// Handles the request within the deadline. A panic is reported as an error.
    async fn respond_within_deadline<B, F>(
        &self,
        request: HttpEvent,
        context: &Context,
        handle: impl FnOnce(RoutedRequest) -> F,
    ) -> Result<http_types::Response<B>, Error>
    where
        B: ResponseBody,
        F: Future<Output = Result<http_types::Response<B>, Error>>,
    {
        let deadline = deadline(context);
        let response = AssertUnwindSafe(self.respond(request, deadline, context, handle)).catch_unwind();
        match tokio::time::timeout(deadline.remaining(), response).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(panicked()),
            Err(_elapsed) => Err(Error::new(ErrorCode::DeadlineExceeded)),
        }
    }

    async fn respond<B, F>(
        &self,
        request: HttpEvent,
        deadline: Deadline,
        context: &Context,
        handle: impl FnOnce(RoutedRequest) -> F,
    ) -> Result<http_types::Response<B>, Error>
    where
        B: ResponseBody,
        F: Future<Output = Result<http_types::Response<B>, Error>>,
    {
        let HttpEvent { method, target, query, headers, body, fault } = request;
        if let Some(fault) = fault {
            return Err(Error::new(ErrorCode::MalformedRequest).detail(fault));
        }
        let path_id = self.route.match_path(&target).ok_or_else(|| Error::new(ErrorCode::RouteNotFound))?;
        if method == Method::OPTIONS && self.cors.is_preflight(&headers) {
            return self.cors.preflight(&headers).map(B::preflight);
        }
        if method != self.route.method {
            return Err(Error::new(ErrorCode::MethodNotAllowed));
        }
        let request_id = context.request_id.clone();
        handle(RoutedRequest { path_id, query, headers, body, deadline, request_id }).await
    }
}

/// Returns Lambda's deadline, minus the time to send the response. Without a deadline, assumes ten
/// seconds.
pub(super) fn deadline(context: &Context) -> Deadline {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = end.duration_since(SystemTime::now()).unwrap_or(Duration::from_secs(10));
    Deadline::after(left.saturating_sub(RESPONSE_MARGIN))
}

/// Returns the error for a panic of a handler.
pub(super) fn panicked() -> Error {
    Error::new(ErrorCode::Internal).cause("panicked")
}

/// Completes the request's log record.
fn log_response<B: ResponseBody>(outcome: &Result<http_types::Response<B>, Error>) {
    match outcome {
        Ok(response) if response.body().is_complete() => log_status(response.status()),
        Ok(_) => {}
        Err(error) => log_error(error),
    }
}

/// Logs the status of a response without an error.
pub(super) fn log_status(status: http_types::StatusCode) {
    tracing::info!(target: TARGET, status = status.as_u16(), "answered");
}

/// Logs a failed request with its causes, for the operator. Faults of this service and of upstream
/// systems have the level `ERROR`, others `INFO`.
pub(super) fn log_error(error: &Error) {
    let status = error.code.status();
    let code = error.code.as_str();
    let cause = error_chain(error);
    match status {
        500.. => tracing::error!(target: TARGET, status, code, cause, "failed"),
        _ => tracing::info!(target: TARGET, status, code, cause, "refused"),
    }
}

/// Joins the chain of causes to one line.
pub(super) fn error_chain(error: &Error) -> Option<String> {
    let chain = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    chain.map(ToString::to_string).reduce(|all, next| format!("{all}: {next}"))
}
