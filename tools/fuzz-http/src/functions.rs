//! The functions under test. They read every part of a request, and connect to nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::{
    domain::{chat::protocol::ChatRequest, idempotency},
    error::Error,
    http::{EventStream, Request, Response, Route, StreamingRequest, StreamingResponse},
    platform::{
        config::Environment,
        http_client::{Deadline, HttpClient},
    },
    runtime::{Dependencies, Endpoint, Reported, StreamingEndpoint, Webhook},
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

/// An endpoint that reads a request as `serve-chatkit` does: the body, the idempotency key and the
/// headers of ChatKit.js. A request that asks the model is answered with a stream of events.
pub struct ChatEndpoint;

/// An event of a stream, with the texts of the request.
#[derive(Serialize)]
struct Echo {
    kind: &'static str,
    frame_id: Option<String>,
    body_hash: String,
    request: String,
}

impl StreamingEndpoint for ChatEndpoint {
    const ROUTE: Route = Route::post("/chatkit");

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    async fn handle(&self, request: StreamingRequest) -> Result<StreamingResponse, Error> {
        let body = request.json_value()?;
        let body_hash = idempotency::request_hash(&body)?;
        let chat_request = ChatRequest::parse(body)?;
        let key = request.idempotency_key()?;
        let frame_id = request.header("chatkit-frame-instance-id").map(str::to_owned);
        let kind = chat_request.kind();
        if !chat_request.is_streamed() {
            return Ok(StreamingResponse::Buffered(Response::ok(&json!({ "kind": kind }))?));
        }
        let echo = Echo { kind, frame_id, body_hash, request: format!("{chat_request:?}") };
        Ok(StreamingResponse::Events(EventStream::new(move |sender| async move {
            sender.send(&echo)?;
            tokio::task::yield_now().await;
            sender.send(&json!({ "has_key": key.is_some(), "bearer_bytes": request.bearer.expose().len() }))
        })))
    }
}

/// An endpoint whose stream panics after its first event, to verify that panics are detected.
pub struct PanickingStream;

impl StreamingEndpoint for PanickingStream {
    const ROUTE: Route = ChatEndpoint::ROUTE;

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    #[allow(clippy::panic)] // its purpose
    async fn handle(&self, _: StreamingRequest) -> Result<StreamingResponse, Error> {
        Ok(StreamingResponse::Events(EventStream::new(move |sender| async move {
            sender.send(&1)?;
            panic!("intended");
        })))
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
