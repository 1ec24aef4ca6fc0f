//! A request of a page, its response, and the thread that the page then shows.

use std::time::Duration;

use anyhow::Result;
use http_client::{RequestBuilder, StatusCode};
use local_stack::chat_client::{ChatStream, ThreadView};
use serde_json::{Value, json};

/// A thread as the page shows it.
#[derive(Clone, Debug)]
pub struct OpenThread {
    pub id: String,
    pub view: ThreadView,
    /// Another page of the user writes to it too.
    pub is_shared: bool,
    /// Whether the page has seen the end of everything that it sent.
    pub in_sync: bool,
}

/// A request that the page repeats until it is answered.
pub struct ChatRequest {
    pub kind: &'static str,
    pub params: Value,
    /// The question that is to be answered.
    pub text: String,
    pub key: Option<String>,
    pub thread: Option<OpenThread>,
    /// Whether a new thread is shared by several pages of the user.
    pub is_shared: bool,
}

/// The response to one attempt.
pub enum Outcome {
    /// The stream was complete.
    Ended(Vec<Value>),
    /// The connection broke before the stream ended.
    Cut(Vec<Value>),
    /// The page closed the connection before the stream ended.
    Left(Vec<Value>),
    /// A response that is not a stream; without a status, none.
    Refused { status: Option<u16>, code: String, wait: Duration },
}

impl Outcome {
    pub fn events(&self) -> &[Value] {
        match self {
            Self::Ended(events) | Self::Cut(events) | Self::Left(events) => events,
            Self::Refused { .. } => &[],
        }
    }

    /// Whether the stream has ended without an error event.
    pub fn is_good(&self) -> bool {
        matches!(self, Self::Ended(events) if events.iter().all(|event| event["type"] != "error"))
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Ended(events) => match events.iter().find(|event| event["type"] == "error") {
                Some(error) => format!("error after {} events: {error}", events.len()),
                None => format!("ended after {} events", events.len()),
            },
            Self::Cut(events) => format!("cut after {} events", events.len()),
            Self::Left(events) => format!("left after {} events", events.len()),
            Self::Refused { code, .. } => code.clone(),
        }
    }
}

/// The request for another answer to a question.
pub const RETRY: &str = "threads.retry_after_item";

impl ChatRequest {
    pub fn retry(question: &Value, thread: OpenThread, key: Option<String>) -> Self {
        let params = json!({ "thread_id": thread.id, "item_id": question["id"] });
        let text = question["content"][0]["text"].as_str().unwrap_or_default().to_owned();
        Self { kind: RETRY, params, text, key, thread: Some(thread), is_shared: false }
    }

    /// Whether the page may ask for another answer: it knows the question, and no other page may
    /// have gone on.
    pub fn can_retry(&self, events: &[Value]) -> bool {
        !self.is_shared && events.iter().any(|event| event["item"]["type"] == "user_message")
    }

    /// Returns what the page shows: the thread as before the request, and the stream's events.
    pub fn view_after(&self, events: &[Value]) -> Result<ThreadView> {
        let mut view = self.thread.as_ref().map(|thread| thread.view.clone()).unwrap_or_default();
        view.apply_all(events)?;
        Ok(view)
    }

    /// Returns the thread after a stream. `None` if it is unknown.
    pub fn thread_after(&self, events: &[Value], in_sync: bool) -> Option<OpenThread> {
        let created = events.iter().find(|event| event["type"] == "thread.created");
        let id = match &self.thread {
            Some(thread) => thread.id.clone(),
            None => created?["thread"]["id"].as_str()?.to_owned(),
        };
        let in_sync = in_sync && self.thread.as_ref().is_none_or(|thread| thread.in_sync);
        let view = self.view_after(events).unwrap_or_default();
        Some(OpenThread { id, view, is_shared: self.is_shared, in_sync })
    }
}

/// Returns an item as it is compared. What the card and the task of a call show changes with it.
pub fn comparable(item: &Value) -> Value {
    let shows_call = item["type"] == "widget" || item["type"] == "task" && !item["task"]["icon"].is_null();
    if shows_call { json!({ "id": item["id"], "type": item["type"] }) } else { item.clone() }
}

/// Returns the items of a view that are compared: a card is added when a call is held, also while
/// another answer is streamed, and a retry keeps it.
pub fn compared(items: &[Value]) -> Vec<Value> {
    items.iter().filter(|item| item["type"] != "widget").map(comparable).collect()
}

/// Returns what a page shows after it has loaded these items.
pub fn view_of(items: &[Value]) -> Result<ThreadView> {
    let events: Vec<_> =
        items.iter().map(|item| json!({ "type": "thread.item.done", "item": item })).collect();
    ThreadView::from_events(&events)
}

/// Sends a request and reads its stream, to the end or until the page leaves after `leaves` events.
///
/// # Errors
/// Fails if a response is not what the protocol permits.
pub async fn read(request: RequestBuilder, leaves: Option<usize>) -> Result<Outcome> {
    let soon = Duration::from_millis(50);
    let Ok(response) = request.send().await else {
        return Ok(Outcome::Refused { status: None, code: "no response".to_owned(), wait: soon });
    };
    if response.status() != StatusCode::OK {
        let status = Some(response.status().as_u16());
        let header = response.headers().get("retry-after").and_then(|value| value.to_str().ok());
        let wait = header.and_then(|value| value.parse().ok()).map_or(soon, Duration::from_secs);
        let body: Value = response.json().await.unwrap_or_default();
        let code = body["code"].as_str().unwrap_or_default().to_owned();
        return Ok(Outcome::Refused { status, code, wait: wait.min(Duration::from_secs(1)) });
    }
    let mut stream = ChatStream::new(response).await?;
    loop {
        if leaves.is_some_and(|count| stream.events().len() >= count) {
            return Ok(Outcome::Left(stream.events().to_vec()));
        }
        match stream.next().await {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(Outcome::Ended(stream.events().to_vec())),
            Err(error) if error.is::<http_client::Error>() => {
                return Ok(Outcome::Cut(stream.events().to_vec()));
            }
            Err(error) => return Err(error),
        }
    }
}
