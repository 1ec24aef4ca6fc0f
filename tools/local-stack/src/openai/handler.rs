//! Handles one request: records it, chooses a fault, does the work, responds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::request;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use futures_util::future;
use tokio::sync::Notify;
use uuid::Uuid;

use super::fault::{Effect, Fault};
use super::operation::Operation;
use super::request::Request;
use super::request_log::RecordedRequest;
use super::response::Outcome;
use super::state::State;
use crate::http::fake_server::Handler;
use crate::http::{ServiceResult, cut};

/// State that all connections share.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    /// A panic of another task must not hide the recorded requests, so a poisoned lock is accepted.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles one request. `reset` makes the connection reset itself.
pub(super) async fn handle(shared: Arc<Shared>, reset: Arc<Notify>, request: Request) -> Response<Body> {
    let (started, request_id) = (Instant::now(), format!("req_{}", Uuid::new_v4().simple()));
    let fault = record_request(&shared, &request, &request_id).unwrap_or_else(Fault::everywhere);
    // In its own task: a client that disconnects does not stop the work, as at OpenAI.
    let work = tokio::spawn(work(shared.clone(), request, request_id.clone(), fault.clone()));
    let outcome = work.await.ok().flatten();
    tokio::time::sleep(fault.late).await;

    let Some(mut response) = respond(&fault, outcome).await else {
        reset.notify_one();
        return future::pending().await;
    };
    let took = started.elapsed();
    shared.lock().update_call(&request_id, |call| {
        (call.status, call.took) = (Some(response.status().as_u16()), Some(took));
    });
    let took = took.as_millis().to_string();
    put_header(&mut response, "x-request-id", &request_id);
    put_header(&mut response, "openai-processing-ms", &took);
    response
}

/// Records the request and returns the fault that affects it.
fn record_request(shared: &Shared, request: &Request, request_id: &str) -> Option<Fault> {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let operation = Operation::at(&request.method, &request.path).ok().map(|(operation, _)| operation);
    let mut state = shared.lock();
    let call = RecordedRequest {
        operation,
        method: request.method.to_string(),
        path: request.path.clone(),
        query: request.query.clone(),
        headers: request.headers.iter().map(header).collect(),
        body: request.body.to_vec(),
        status: None,
        work_status: None,
        request_id: request_id.to_owned(),
        at: state.clock.now(),
        took: None,
    };
    state.request_log.push(call);
    let user = state.user_of(request);
    state.faults.take(operation, user.as_deref(), &request.path)
}

/// Does the work, unless the fault prevents it.
async fn work(shared: Arc<Shared>, request: Request, request_id: String, fault: Fault) -> Option<Outcome> {
    tokio::time::sleep(fault.delay).await;
    match fault.effect {
        Effect::ResetBefore | Effect::Response(..) => None,
        Effect::Error(_) => fault.api_error().map(Err),
        _ => {
            let breakpoint = shared.lock().breakpoint.clone();
            if breakpoint.step() {
                return None;
            }
            let mut state = shared.lock();
            let outcome = state.execute(&request);
            let status = outcome.as_ref().map_or_else(|error| error.status, |_| StatusCode::OK);
            state.update_call(&request_id, |call| call.work_status = Some(status.as_u16()));
            drop(state);
            breakpoint.step();
            Some(outcome)
        }
    }
}

/// Returns the response as changed by the fault, or `None` to reset the connection.
async fn respond(fault: &Fault, outcome: Option<Outcome>) -> Option<Response<Body>> {
    match &fault.effect {
        Effect::ResetBefore | Effect::ResetAfter => None,
        Effect::Response(status, content_type, body) => {
            let mut page = response(*status, content_type, body.clone().into_bytes());
            fault.headers().for_each(|(name, value)| put_header(&mut page, name, value));
            Some(page)
        }
        Effect::HtmlBody => {
            Some(response(StatusCode::OK, "text/html", b"<html><p>Not the requested response.".to_vec()))
        }
        Effect::Body(body) => {
            Some(response(StatusCode::OK, "application/json", body.to_string().into_bytes()))
        }
        Effect::CutBody => match outcome {
            Some(outcome) => {
                let (status, _, body) = response_parts(outcome);
                Some(cut(response(status, "application/json", body)).await)
            }
            None => None,
        },
        Effect::DelayOnly | Effect::Error(_) => outcome.map(|outcome| {
            let (status, headers, body) = response_parts(outcome);
            let mut response = response(status, "application/json", body);
            headers.iter().for_each(|(name, value)| put_header(&mut response, name, value));
            response
        }),
    }
}

type Parts = (StatusCode, Vec<(String, String)>, Vec<u8>);

fn response_parts(outcome: Outcome) -> Parts {
    match outcome {
        Ok(body) => (StatusCode::OK, Vec::new(), body.to_string().into_bytes()),
        Err(error) => (error.status, error.headers.clone(), error.body().to_string().into_bytes()),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Sets a header, and ignores an invalid one.
fn put_header(response: &mut Response<Body>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}

impl Handler for Arc<Shared> {
    async fn handle(self, reset: Arc<Notify>, head: request::Parts, body: Bytes) -> ServiceResult {
        let request = Request::new(head.method, &head.uri, head.headers, body);
        Ok(handle(self, reset, request).await)
    }
}
