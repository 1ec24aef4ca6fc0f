//! Handles one request: records it, chooses a fault and an answer, responds.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::request;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use futures_util::future;
use tokio::sync::Notify;
use uuid::Uuid;

use super::error::ApiError;
use super::fault::{Effect, Fault};
use super::render::{Answer, Close, EarlyEnd, Frame};
use super::request::{Request, last_user_text};
use super::request_log::{Progress, RecordedRequest};
use super::state::State;
use super::stream;
use crate::http::ServiceResult;
use crate::http::fake_server::Handler;

/// The headers that every response of OpenAI has, besides those of the request.
const HEADERS: [(&str, &str); 8] = [
    ("openai-organization", "org-local"),
    ("openai-version", "2020-10-01"),
    ("x-ratelimit-limit-requests", "10000"),
    ("x-ratelimit-limit-tokens", "2000000"),
    ("x-ratelimit-remaining-requests", "9999"),
    ("x-ratelimit-remaining-tokens", "1999000"),
    ("x-ratelimit-reset-requests", "6ms"),
    ("x-ratelimit-reset-tokens", "6.57s"),
];

/// State that all connections share.
#[derive(Debug)]
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

/// Records the progress of a response. If it is dropped before the end, the client has left.
pub(super) struct ProgressRecorder {
    shared: Arc<Shared>,
    request_id: String,
    is_finished: bool,
}

impl ProgressRecorder {
    fn answered(&self, response_id: Option<&str>) {
        let id = response_id.map(str::to_owned);
        self.shared.lock().update_request(&self.request_id, |request| request.response_id = id);
    }

    pub(super) fn event_sent(&self) {
        self.shared.lock().update_request(&self.request_id, |request| request.events += 1);
    }

    pub(super) fn finish(&mut self) {
        self.end(Progress::Finished);
    }

    fn end(&mut self, progress: Progress) {
        if std::mem::replace(&mut self.is_finished, true) {
            return;
        }
        self.shared.lock().update_request(&self.request_id, |request| {
            (request.progress, request.ended_at) = (progress, Some(SystemTime::now()));
        });
    }
}

impl Drop for ProgressRecorder {
    fn drop(&mut self) {
        self.end(Progress::ClientLeft);
    }
}

/// Handles one request. `reset` makes the connection reset itself.
pub(super) async fn handle(shared: Arc<Shared>, reset: Arc<Notify>, request: Request) -> Response<Body> {
    let (started, request_id) = (Instant::now(), format!("req_{}", Uuid::new_v4().simple()));
    let fault = record_request(&shared, &request, &request_id);
    let recorder =
        ProgressRecorder { shared: shared.clone(), request_id: request_id.clone(), is_finished: false };
    let (mut response, recorder) = match &fault {
        None => answer(&shared, &reset, &request, recorder, None).await,
        Some(fault) => answer_with_fault(&shared, &reset, &request, recorder, fault).await,
    };
    for (name, value) in fault.iter().flat_map(|fault| &fault.headers) {
        put_header(&mut response, name, value);
    }
    for (name, value) in HEADERS {
        put_header(&mut response, name, value);
    }
    put_header(&mut response, "x-request-id", &request_id);
    put_header(&mut response, "openai-processing-ms", &started.elapsed().as_millis().to_string());
    let status = response.status().as_u16();
    shared.lock().update_request(&request_id, |request| request.status = Some(status));
    if let Some(mut recorder) = recorder {
        recorder.finish();
    }
    response
}

/// A response, and its recorder unless the body has it.
type RecordedResponse = (Response<Body>, Option<ProgressRecorder>);

async fn answer_with_fault(
    shared: &Arc<Shared>,
    reset: &Arc<Notify>,
    request: &Request,
    mut recorder: ProgressRecorder,
    fault: &Fault,
) -> RecordedResponse {
    tokio::time::sleep(fault.delay).await;
    match &fault.effect {
        Effect::DelayOnly => answer(shared, reset, request, recorder, None).await,
        Effect::EndAfter(deltas, end) => {
            answer(shared, reset, request, recorder, Some((*deltas, end.clone()))).await
        }
        Effect::Error(error) => (error_response(error), Some(recorder)),
        Effect::Response(status, content_type, body) => {
            (response(*status, content_type, Body::from(body.clone())), Some(recorder))
        }
        Effect::Hang => future::pending().await,
        Effect::Reset => {
            recorder.finish();
            reset.notify_one();
            future::pending().await
        }
    }
}

async fn answer(
    shared: &Arc<Shared>,
    reset: &Arc<Notify>,
    request: &Request,
    mut recorder: ProgressRecorder,
    early: Option<EarlyEnd>,
) -> RecordedResponse {
    let (answer, quirks) = {
        let mut state = shared.lock();
        (state.answer(request, early), state.quirks.clone())
    };
    let (new, answer) = match answer {
        Ok(answer) => answer,
        Err(error) => return (error_response(&error), Some(recorder)),
    };
    recorder.answered(answer.response["id"].as_str());
    if new.stream {
        let body = stream::body(answer, quirks, recorder, reset.clone());
        return (response(StatusCode::OK, "text/event-stream; charset=utf-8", body), None);
    }
    (complete(answer, &mut recorder, reset).await, Some(recorder))
}

/// Records the request and returns the fault that affects it.
fn record_request(shared: &Shared, request: &Request, request_id: &str) -> Option<Fault> {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let body = serde_json::from_slice(&request.body).unwrap_or_default();
    let user_text = last_user_text(&body);
    let mut state = shared.lock();
    state.request_log.push(RecordedRequest {
        method: request.method.to_string(),
        path: request.path.clone(),
        headers: request.headers.iter().map(header).collect(),
        body,
        status: None,
        request_id: request_id.to_owned(),
        response_id: None,
        events: 0,
        progress: Progress::Running,
        at: SystemTime::now(),
        ended_at: None,
    });
    state.faults.take(&user_text)
}

/// Sends an answer that is not streamed, after its pauses.
async fn complete(answer: Answer, recorder: &mut ProgressRecorder, reset: &Notify) -> Response<Body> {
    for frame in &answer.frames {
        match frame {
            Frame::Pause(pause) => tokio::time::sleep(*pause).await,
            Frame::Wait(gate) => gate.wait().await,
            Frame::Event(_) => {}
        }
    }
    let body = answer.response.to_string();
    match (answer.close, &answer.error) {
        (Close::Hang, _) => future::pending().await,
        (Close::Reset | Close::Disconnect, _) => {
            recorder.finish();
            reset.notify_one();
            future::pending().await
        }
        (Close::End, Some(error)) => error_response(error),
        (Close::End, None) => response(StatusCode::OK, "application/json", Body::from(body)),
    }
}

fn error_response(error: &ApiError) -> Response<Body> {
    response(error.status, "application/json", Body::from(error.body().to_string()))
}

fn response(status: StatusCode, content_type: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
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
