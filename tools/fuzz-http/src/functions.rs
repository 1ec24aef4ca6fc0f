//! The functions under test. They read every part of a request, and connect to nothing.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    error::Error,
    http::{Request, Response, Route},
    platform::{
        config::Environment,
        http_client::{Deadline, HttpClient},
    },
    runtime::{Dependencies, Endpoint, Reported, Webhook},
};

/// An endpoint that reads an id, a query, an idempotency key, a body and a conditional header.
pub struct ReadAllEndpoint;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    #[allow(dead_code)]
    limit: Option<u8>,
}

#[derive(Serialize)]
struct Read {
    id: uuid::Uuid,
    body: Value,
    key: bool,
}

impl Endpoint for ReadAllEndpoint {
    const ROUTE: Route = Route::post("/chatkit/sessions/{id}/events");

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let (id, key) = (request.id()?, request.idempotency_key()?.is_some());
        request.query::<Query>()?;
        let answer = Response::ok(&Read { id, body: request.json_value()?, key })?;
        Ok(request.conditional(answer))
    }
}

/// An endpoint that panics, to verify that panics are detected.
pub struct PanickingEndpoint;

impl Endpoint for PanickingEndpoint {
    const ROUTE: Route = ReadAllEndpoint::ROUTE;

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    #[allow(clippy::panic)] // its purpose
    async fn handle(&self, _: Request) -> Result<Response, Error> {
        panic!("intended");
    }
}

/// A webhook that starts nothing.
pub struct EmptyWebhook;

impl Webhook for EmptyWebhook {
    fn new(_: &mut Environment, _: HttpClient) -> Result<Self, Reported> {
        Ok(Self)
    }

    async fn accept(&self, _: Deadline) -> Result<(), Error> {
        Ok(())
    }
}
