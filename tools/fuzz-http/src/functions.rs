//! The functions that are tried. They read all of a request that a function can read, and ask nobody.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::{
    error::Error,
    http::{Request, Response, Route},
    jobs::Run,
    platform::http_client::Deadline,
    runtime::{Dependencies, Endpoint, Reported, ScheduledJob},
};

/// An endpoint with an id, a query, a key, a body and an `ETag`.
pub struct Reader;

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

impl Endpoint for Reader {
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

/// The control: an endpoint that panics.
pub struct Faulty;

impl Endpoint for Faulty {
    const ROUTE: Route = Reader::ROUTE;

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    #[allow(clippy::panic)] // what it is for
    async fn handle(&self, _: Request) -> Result<Response, Error> {
        panic!("as a control");
    }
}

/// Runs in which nothing is to be done.
pub struct Runs;

impl ScheduledJob for Runs {
    type Report = ();

    fn new(_: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self)
    }

    async fn run(&self, _: Deadline) -> Run<()> {
        Run { report: (), failures: Vec::new() }
    }
}
