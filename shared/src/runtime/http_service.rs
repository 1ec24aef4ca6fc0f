//! Serves an HTTP endpoint: converts events to requests, authenticates callers, and converts
//! results and errors to responses.

use std::{panic::AssertUnwindSafe, process::ExitCode, sync::Arc, time::Duration, time::SystemTime};

use futures_util::FutureExt;
use lambda_http::http::{self as http_types, HeaderName, HeaderValue, Method, header};
use lambda_runtime::{Context, LambdaEvent, run_concurrent, service_fn};
use tracing::Instrument;

use crate::{
    auth::Verifier,
    domain::RequestContext,
    error::{Error, ErrorCode},
    http::{Request, Response, cors::Cors, problem_details as problem},
    platform::{
        config::{self, Environment},
        http_client::{Deadline, HttpClient},
        parse,
        telemetry::{self, TARGET, excerpt},
    },
    runtime::{
        Dependencies, Endpoint,
        event::{EventResponse, HttpEvent, Payload},
    },
};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Time reserved for sending the response before Lambda stops the function.
const RESPONSE_MARGIN: Duration = Duration::from_millis(300);

/// Time limit for prefetching keys at startup.
const WARM_UP: Duration = Duration::from_secs(2);

/// Serves an endpoint until Lambda ends the process.
pub fn serve<F: Endpoint>() -> ExitCode {
    bootstrap::<F>(run::<F>())
}

/// Initialises telemetry and the async runtime, and runs a function. Logs the error if it cannot
/// start.
pub(super) fn bootstrap<F>(run: impl Future<Output = Result<(), BoxError>>) -> ExitCode {
    // The type's full name begins with the name of the function's crate.
    telemetry::init(std::any::type_name::<F>().split("::").next().unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(BoxError::from).and_then(|runtime| runtime.block_on(run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run<F: Endpoint>() -> Result<(), BoxError> {
    let edge = Arc::new(HttpService::<F>::new(Environment::from_process(), HttpClient::new()?)?);
    // Fetching the keys also opens the connection to Supabase, which is the slowest part of a first
    // response. A failure is not reported here: the first request fetches again and reports it.
    edge.verifier.prefetch_keys(Deadline::after(WARM_UP)).await;
    run_concurrent(service_fn(move |event: LambdaEvent<Payload>| {
        let edge = Arc::clone(&edge);
        async move { Ok::<_, BoxError>(edge.serve_buffered(event).await) }
    }))
    .await
}

/// An endpoint with authentication, CORS and error handling: [`serve`] runs it, and tests can call
/// it without the Lambda runtime.
pub struct HttpService<F> {
    function: F,
    verifier: Verifier,
    cors: Cors,
}

impl<F: Endpoint> HttpService<F> {
    /// Builds an endpoint and its dependencies from this environment.
    ///
    /// # Errors
    /// Returns all configuration errors.
    pub fn new(environment: Environment, http: HttpClient) -> Result<Self, config::ConfigErrors> {
        let mut dependencies = Dependencies::new(environment, http);
        let function = F::new(&mut dependencies);
        let verifier = dependencies.verifier();
        let cors = dependencies.cors();
        let built =
            function.and_then(|function| Ok(Self { function, verifier: verifier?, cors: Cors::new(cors?) }));
        dependencies.build(built)
    }

    /// Responds to an event, for a function that does not stream.
    pub async fn serve_buffered(&self, event: LambdaEvent<Payload>) -> EventResponse {
        let format = event.payload.format();
        EventResponse::new(self.answer(event).await, format)
    }

    /// Responds to any event, and writes its log record.
    pub async fn answer(&self, event: LambdaEvent<Payload>) -> http_types::Response<Vec<u8>> {
        let LambdaEvent { payload, context } = event;
        let request = HttpEvent::from_payload(payload);
        let traceparent = request.headers.get("traceparent").and_then(|value| value.to_str().ok());
        // An HTTP method is any token of any length.
        let method = excerpt(request.method.as_str());
        let span = telemetry::request(&context, traceparent, &method, F::ROUTE.path);
        let response = async {
            let headers = request.headers.clone();
            let path = request.target.path.clone();
            let outcome = self.respond_within_deadline(request, deadline(&context)).await;
            log_response(&outcome);
            let mut response = outcome.unwrap_or_else(|error| {
                problem::response(&error, &path, &context.request_id, F::ROUTE.method.as_str())
            });
            self.cors.apply(&headers, response.headers_mut());
            let id = HeaderValue::from_str(&context.request_id);
            response.headers_mut().extend(id.map(|id| (HeaderName::from_static("x-request-id"), id)));
            response
        }
        .instrument(span)
        .await;
        telemetry::flush().await;
        response
    }

    /// Handles the request within the deadline. A panic is reported as an error.
    async fn respond_within_deadline(
        &self,
        request: HttpEvent,
        deadline: Deadline,
    ) -> Result<http_types::Response<Vec<u8>>, Error> {
        let response = AssertUnwindSafe(self.respond(request, deadline)).catch_unwind();
        match tokio::time::timeout(deadline.remaining(), response).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(Error::new(ErrorCode::Internal).cause("panicked")),
            Err(_elapsed) => Err(Error::new(ErrorCode::DeadlineExceeded)),
        }
    }

    async fn respond(
        &self,
        request: HttpEvent,
        deadline: Deadline,
    ) -> Result<http_types::Response<Vec<u8>>, Error> {
        let HttpEvent { method, target, query, headers, body, fault } = request;
        if let Some(fault) = fault {
            return Err(Error::new(ErrorCode::MalformedRequest).detail(fault));
        }
        let path_id = F::ROUTE.match_path(&target).ok_or_else(|| Error::new(ErrorCode::RouteNotFound))?;
        if method == Method::OPTIONS && self.cors.is_preflight(&headers) {
            return self.cors.preflight(&headers);
        }
        if method != F::ROUTE.method {
            return Err(Error::new(ErrorCode::MethodNotAllowed));
        }
        let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let caller = self.verifier.authenticate(authorization, deadline).await?;
        tracing::Span::current().record("org_id", tracing::field::display(caller.org_id));
        if let (true, Some(id)) = (F::ROUTE.names_a_session(), parse::uuid(&path_id)) {
            telemetry::record_session_id(id);
        }
        let request = Request { context: RequestContext { caller, deadline }, path_id, query, headers, body };
        self.function.handle(request).await.map(Response::into_response)
    }
}

/// Returns Lambda's deadline, minus the time to send the response. Without a deadline, assumes ten
/// seconds.
pub(super) fn deadline(context: &Context) -> Deadline {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = end.duration_since(SystemTime::now()).unwrap_or(Duration::from_secs(10));
    Deadline::after(left.saturating_sub(RESPONSE_MARGIN))
}

/// Completes the request's log record.
fn log_response(outcome: &Result<http_types::Response<Vec<u8>>, Error>) {
    match outcome {
        Ok(response) => tracing::info!(target: TARGET, status = response.status().as_u16(), "answered"),
        Err(error) => log_error(error),
    }
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
