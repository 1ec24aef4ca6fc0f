//! Serving one function: from the runtime's event to an answer, whatever happens.

use std::{panic::AssertUnwindSafe, process::ExitCode, sync::Arc, time::Duration, time::SystemTime};

use futures_util::FutureExt;
use lambda_http::{
    Context, LambdaEvent,
    http::{self as http_types, HeaderName, HeaderValue, Method, header},
    lambda_runtime::run_concurrent,
    service_fn,
};
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

/// Time kept back for sending the answer before Lambda ends the function.
const RESPONSE_MARGIN: Duration = Duration::from_millis(300);

/// How long warming up may take at the start.
const WARM_UP: Duration = Duration::from_secs(2);

/// Serves a function until Lambda ends the process.
pub fn serve<F: Endpoint>() -> ExitCode {
    bootstrap::<F>(run::<F>())
}

/// Runs what a process is there for, and says why where it cannot.
pub(super) fn bootstrap<F>(run: impl Future<Output = Result<(), BoxError>>) -> ExitCode {
    // The type's full name begins with its crate's.
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
    // Fetching the keys also opens the connection to Supabase: the dearest part of a first answer. A failure shows again
    // at the first request, which can say so to somebody.
    edge.verifier.prefetch_keys(Deadline::after(WARM_UP)).await;
    run_concurrent(service_fn(move |event: LambdaEvent<Payload>| {
        let edge = Arc::clone(&edge);
        async move { Ok::<_, BoxError>(edge.serve_buffered(event).await) }
    }))
    .await
}

/// A function behind its edge: what [`serve`] runs, and what a test may call without a runtime.
pub struct HttpService<F> {
    function: F,
    verifier: Verifier,
    cors: Cors,
}

impl<F: Endpoint> HttpService<F> {
    /// A function with what it asks for of this environment.
    ///
    /// # Errors
    /// Every mistake in the environment.
    pub fn new(environment: Environment, http: HttpClient) -> Result<Self, config::ConfigErrors> {
        let mut dependencies = Dependencies::new(environment, http);
        let (function, verifier, cors) =
            (F::new(&mut dependencies), dependencies.verifier(), dependencies.cors());
        let built =
            function.and_then(|function| Ok(Self { function, verifier: verifier?, cors: Cors::new(cors?) }));
        dependencies.build(built)
    }

    /// Answers an event as a function that does not stream.
    pub async fn serve_buffered(&self, event: LambdaEvent<Payload>) -> EventResponse {
        let format = event.payload.format();
        EventResponse::new(self.answer(event).await, format)
    }

    /// Answers an event, whatever it is, and writes its log line.
    pub async fn answer(&self, event: LambdaEvent<Payload>) -> http_types::Response<Vec<u8>> {
        let LambdaEvent { payload, context } = event;
        let request = HttpEvent::from_payload(payload);
        let traceparent = request.headers.get("traceparent").and_then(|value| value.to_str().ok());
        // A method is any word, as long as somebody likes.
        let method = excerpt(request.method.as_str());
        let span = telemetry::request(&context, traceparent, &method, F::ROUTE.path);
        let response = async {
            let (headers, path) = (request.headers.clone(), request.target.path.clone());
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

    /// The response, within the deadline; a panic is an error like another.
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

/// Lambda's own deadline, less the time to answer; a runtime that names none gets ten seconds.
pub(super) fn deadline(context: &Context) -> Deadline {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = end.duration_since(SystemTime::now()).unwrap_or(Duration::from_secs(10));
    Deadline::after(left.saturating_sub(RESPONSE_MARGIN))
}

/// Ends the request's line.
fn log_response(outcome: &Result<http_types::Response<Vec<u8>>, Error>) {
    match outcome {
        Ok(response) => tracing::info!(target: TARGET, status = response.status().as_u16(), "answered"),
        Err(error) => log_error(error),
    }
}

/// Ends the line of a request that was not answered as it hoped. The operator sees the causes; faults of ours and of others stand
/// out by their level.
pub(super) fn log_error(error: &Error) {
    let (status, code, cause) = (error.code.status(), error.code.as_str(), error_chain(error));
    match status {
        500.. => tracing::error!(target: TARGET, status, code, cause, "failed"),
        _ => tracing::info!(target: TARGET, status, code, cause, "refused"),
    }
}

/// The chain of causes in one line.
pub(super) fn error_chain(error: &Error) -> Option<String> {
    let chain = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    chain.map(ToString::to_string).reduce(|all, next| format!("{all}: {next}"))
}
