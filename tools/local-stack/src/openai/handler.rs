//! One request and its answer: written down, hit by a fault if one was ordered, worked on, answered.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use futures_util::future;
use tokio::sync::Notify;
use uuid::Uuid;

use super::fault::{Effect, Fault};
use super::operation::Operation;
use super::request::Request;
use super::request_log::Call;
use super::response::Outcome;
use super::state::State;
use crate::http::cut;

/// What all connections share.
#[derive(Debug, Default)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    /// A panic elsewhere must not hide what the stand-in saw, so a poisoned lock is as good as any.
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one request. `reset` is the order to the connection to reset itself.
pub(super) async fn exchange(shared: Arc<Shared>, reset: Arc<Notify>, request: Request) -> Response<Body> {
    let (started, request_id) = (Instant::now(), format!("req_{}", Uuid::new_v4().simple()));
    let fault = arrive(&shared, &request, &request_id).unwrap_or_else(Fault::everywhere);
    // A task of its own: a caller who hangs up does not stop the work, as it would not at OpenAI.
    let work = tokio::spawn(work(shared.clone(), request, request_id.clone(), fault.clone()));
    let outcome = work.await.ok().flatten();
    tokio::time::sleep(fault.late).await;

    let Some(mut response) = respond(&fault, outcome).await else {
        reset.notify_one();
        return future::pending().await;
    };
    let took = started.elapsed();
    shared.lock().note(&request_id, |call| {
        (call.status, call.took) = (Some(response.status().as_u16()), Some(took));
    });
    let took = took.as_millis().to_string();
    put_header(&mut response, "x-request-id", &request_id);
    put_header(&mut response, "openai-processing-ms", &took);
    response
}

/// Writes the request down and finds the fault that hits it.
fn arrive(shared: &Shared, request: &Request, request_id: &str) -> Option<Fault> {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let operation = Operation::at(&request.method, &request.path).ok().map(|(operation, _)| operation);
    let mut state = shared.lock();
    let call = Call {
        operation,
        method: request.method.to_string(),
        path: request.path.clone(),
        query: request.query.clone(),
        headers: request.headers.iter().map(header).collect(),
        body: request.body.to_vec(),
        status: None,
        worked: None,
        request_id: request_id.to_owned(),
        at: state.clock.now(),
        took: None,
    };
    state.ledger.push(call);
    let user = state.user_of(request);
    state.faults.take(operation, user.as_deref(), &request.path)
}

/// Does the work, unless the fault is that it is not done.
async fn work(shared: Arc<Shared>, request: Request, request_id: String, fault: Fault) -> Option<Outcome> {
    tokio::time::sleep(fault.delay).await;
    match fault.effect {
        Effect::ResetBefore | Effect::Page(..) => None,
        Effect::Refuse(_) => fault.refusal().map(Err),
        _ => {
            let breakpoint = shared.lock().breakpoint.clone();
            if breakpoint.step() {
                return None;
            }
            let mut state = shared.lock();
            let outcome = state.work(&request);
            let status = outcome.as_ref().map_or_else(|refusal| refusal.status, |_| StatusCode::OK);
            state.note(&request_id, |call| call.worked = Some(status.as_u16()));
            drop(state);
            breakpoint.step();
            Some(outcome)
        }
    }
}

/// The answer as the fault leaves it; `None` where the connection is to be reset instead.
async fn respond(fault: &Fault, outcome: Option<Outcome>) -> Option<Response<Body>> {
    match &fault.effect {
        Effect::ResetBefore | Effect::ResetAfter => None,
        Effect::Page(status, content_type, body) => {
            let mut page = response(*status, content_type, body.clone().into_bytes());
            fault.headers().for_each(|(name, value)| put_header(&mut page, name, value));
            Some(page)
        }
        Effect::Nonsense => {
            Some(response(StatusCode::OK, "text/html", b"<html><p>Not what you asked for.".to_vec()))
        }
        Effect::Body(body) => {
            Some(response(StatusCode::OK, "application/json", body.to_string().into_bytes()))
        }
        Effect::CutBody => match outcome {
            Some(outcome) => {
                let (status, _, body) = answer(outcome);
                Some(cut(response(status, "application/json", body)).await)
            }
            None => None,
        },
        Effect::Answer | Effect::Refuse(_) => outcome.map(|outcome| {
            let (status, headers, body) = answer(outcome);
            let mut response = response(status, "application/json", body);
            headers.iter().for_each(|(name, value)| put_header(&mut response, name, value));
            response
        }),
    }
}

type Parts = (StatusCode, Vec<(String, String)>, Vec<u8>);

fn answer(outcome: Outcome) -> Parts {
    match outcome {
        Ok(body) => (StatusCode::OK, Vec::new(), body.to_string().into_bytes()),
        Err(refusal) => (refusal.status, refusal.headers.clone(), refusal.body().to_string().into_bytes()),
    }
}

fn response(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Sets a header; a test that orders one that is none gets an answer without it.
fn put_header(response: &mut Response<Body>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
        response.headers_mut().insert(name, value);
    }
}
