//! Serves an HTTP endpoint: authenticates callers, and converts results to responses.

use std::{process::ExitCode, sync::Arc, time::Duration};

use lambda_http::http::{self as http_types, header};
use lambda_runtime::{LambdaEvent, run_concurrent, service_fn};

use crate::{
    auth::Verifier,
    domain::RequestContext,
    error::Error,
    http::{Request, Response, cors::Cors},
    platform::{
        config::{self, Environment},
        http_client::{Deadline, HttpClient},
        parse, telemetry,
    },
    runtime::{
        Dependencies, Endpoint,
        event::{EventResponse, Payload},
        http_edge::{HttpEdge, RoutedRequest},
    },
};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Time limit for preparations at startup.
pub(super) const WARM_UP: Duration = Duration::from_secs(2);

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
    let http = HttpClient::new()?;
    let environment = Environment::from_process().with_secrets(&http).await;
    let service = Arc::new(HttpService::<F>::new(environment, http)?);
    // Fetching the keys also opens the connection to Supabase, which is the slowest part of a first
    // response. A failure is not reported here: the first request fetches again and reports it.
    service.verifier.prefetch_keys(Deadline::after(WARM_UP)).await;
    run_concurrent(service_fn(move |event: LambdaEvent<Payload>| {
        let service = Arc::clone(&service);
        async move { Ok::<_, BoxError>(service.serve_buffered(event).await) }
    }))
    .await
}

/// An endpoint with authentication, CORS and error handling: [`serve`] runs it, and tests can call
/// it without the Lambda runtime.
pub struct HttpService<F> {
    function: F,
    verifier: Verifier,
    edge: HttpEdge,
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
        let built = function.and_then(|function| {
            let verifier = verifier?;
            let edge = HttpEdge { route: F::ROUTE, cors: Cors::new(cors?, &[]) };
            Ok(Self { function, verifier, edge })
        });
        dependencies.build(built)
    }

    /// Responds to an event, for a function that does not stream.
    pub async fn serve_buffered(&self, event: LambdaEvent<Payload>) -> EventResponse {
        let format = event.payload.format();
        EventResponse::new(self.answer(event).await, format)
    }

    /// Responds to any event, and writes its log record.
    pub async fn answer(&self, event: LambdaEvent<Payload>) -> http_types::Response<Vec<u8>> {
        self.edge.answer(event, |request| self.respond(request)).await
    }

    /// Authenticates the caller and handles the request.
    async fn respond(&self, request: RoutedRequest) -> Result<http_types::Response<Vec<u8>>, Error> {
        let RoutedRequest { path_id, query, headers, body, deadline, request_id: _ } = request;
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
