//! Serving one function: from the runtime's event to an answer, whatever happens.

use std::{panic::AssertUnwindSafe, process::ExitCode, sync::Arc, time::Duration, time::SystemTime};

use futures_util::FutureExt;
use lambda_http::{
    Body, Context, RequestExt,
    http::{HeaderValue, Method, Response, header, request::Parts},
    run_concurrent, service_fn,
};
use tracing::Instrument;

use super::{Function, Request, cors::Cors, problem};
use crate::{
    app::Setup,
    auth::Verifier,
    call::Call,
    config::Environment,
    error::{Code, Error},
    parse,
    telemetry::{self, TARGET},
    upstream::{Deadline, Http},
};

pub(super) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Time kept back for sending the answer before Lambda ends the function.
const MARGIN: Duration = Duration::from_millis(300);

/// How long warming up may take at the start.
const WARM_UP: Duration = Duration::from_secs(2);

/// Serves a function until Lambda ends the process.
pub fn serve<F: Function>() -> ExitCode {
    start::<F>(run::<F>())
}

/// Runs what a process is there for, and says why where it cannot.
pub(super) fn start<F>(run: impl Future<Output = Result<(), Fault>>) -> ExitCode {
    // The type's full name begins with its crate's.
    telemetry::init(std::any::type_name::<F>().split("::").next().unwrap_or_default());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Fault::from).and_then(|runtime| runtime.block_on(run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the function cannot start");
            ExitCode::FAILURE
        }
    }
}

async fn run<F: Function>() -> Result<(), Fault> {
    let mut setup = Setup::new(Environment::of_process(), Http::new()?);
    let (function, verifier, origins) = (F::new(&mut setup), setup.verifier(), setup.origins());
    let edge = function.zip(verifier).zip(origins);
    let ((function, verifier), origins) = setup.finish(edge)?;
    // Fetching the keys also opens the connection to Supabase: the dearest part of a first answer. A failure shows again
    // at the first request, which can say so to somebody.
    verifier.warm(Deadline::after(WARM_UP)).await;
    let edge = Arc::new(Edge { function, verifier, cors: Cors { origins } });
    run_concurrent(service_fn(move |event| {
        let edge = Arc::clone(&edge);
        async move { Ok::<_, lambda_http::Error>(edge.serve(event).await) }
    }))
    .await
}

struct Edge<F> {
    function: F,
    verifier: Verifier,
    cors: Cors,
}

impl<F: Function> Edge<F> {
    /// Answers an event and writes its log line.
    async fn serve(&self, event: lambda_http::Request) -> Response<Body> {
        let context = event.lambda_context();
        let path = event.raw_http_path().to_owned();
        let (parts, body) = event.into_parts();
        let traceparent = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
        let span = telemetry::request(&context, traceparent, parts.method.as_str(), F::ROUTE.path);
        let response = async {
            let outcome = self.outcome(&parts, &path, body, deadline(&context)).await;
            log(&outcome);
            let mut response = outcome.unwrap_or_else(|error| {
                problem::response(&error, &path, &context.request_id, F::ROUTE.method.as_str())
            });
            self.cors.mark(&parts.headers, response.headers_mut());
            let id = HeaderValue::from_str(&context.request_id);
            response.headers_mut().extend(id.map(|id| (header::HeaderName::from_static("x-request-id"), id)));
            response
        }
        .instrument(span)
        .await;
        telemetry::flush().await;
        response
    }

    /// The answer, within the deadline; a panic is an error like another.
    async fn outcome(
        &self,
        parts: &Parts,
        path: &str,
        body: Body,
        deadline: Deadline,
    ) -> Result<Response<Body>, Error> {
        let answer = AssertUnwindSafe(self.answer(parts, path, body, deadline)).catch_unwind();
        match tokio::time::timeout(deadline.remaining(), answer).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_panic)) => Err(Error::new(Code::Internal).cause("panicked")),
            Err(_elapsed) => Err(Error::new(Code::DeadlineExceeded)),
        }
    }

    async fn answer(
        &self,
        parts: &Parts,
        path: &str,
        body: Body,
        deadline: Deadline,
    ) -> Result<Response<Body>, Error> {
        let path_id = F::ROUTE.id_in(path).ok_or_else(|| Error::new(Code::RouteNotFound))?;
        if parts.method == Method::OPTIONS
            && parts.headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        {
            return self.cors.preflight(&parts.headers);
        }
        if parts.method != F::ROUTE.method {
            return Err(Error::new(Code::MethodNotAllowed));
        }
        let authorization = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let caller = self.verifier.caller(authorization, deadline).await?;
        tracing::Span::current().record("org_id", tracing::field::display(caller.org_id));
        if let (true, Some(id)) = (F::ROUTE.is_of_session(), parse::uuid(path_id)) {
            telemetry::about_session(id);
        }
        let request = Request {
            call: Call { caller, deadline },
            path_id: path_id.to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers.clone(),
            body: body.to_vec(),
        };
        self.function.handle(request).await.map(super::Answer::into_response)
    }
}

/// Lambda's own deadline, less the time to answer; a runtime that names none gets ten seconds.
pub(super) fn deadline(context: &Context) -> Deadline {
    let end = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    let left = end.duration_since(SystemTime::now()).unwrap_or(Duration::from_secs(10));
    Deadline::after(left.saturating_sub(MARGIN))
}

/// Ends the request's line.
fn log(outcome: &Result<Response<Body>, Error>) {
    match outcome {
        Ok(response) => tracing::info!(target: TARGET, status = response.status().as_u16(), "answered"),
        Err(error) => refused(error),
    }
}

/// Ends the line of a request that was not answered as it hoped. The operator sees the causes; faults of ours and of others stand
/// out by their level.
pub(super) fn refused(error: &Error) {
    let (status, code, cause) = (error.code.status(), error.code.as_str(), causes(error));
    match status {
        500.. => tracing::error!(target: TARGET, status, code, cause, "failed"),
        _ => tracing::info!(target: TARGET, status, code, cause, "refused"),
    }
}

/// The chain of causes in one line.
pub(super) fn causes(error: &Error) -> Option<String> {
    let chain = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    chain.map(ToString::to_string).reduce(|all, next| format!("{all}: {next}"))
}
