//! A client of the self-hosted chat that does what ChatKit.js does: sends requests, reads streams
//! and applies their events.

use anyhow::{Context, Result, bail, ensure};
use http_client::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::http;

/// A ChatKit element in a page.
#[derive(Clone, Debug)]
pub struct ChatClient {
    url: String,
    client_secret: String,
    frame_id: String,
}

impl ChatClient {
    /// Connects to the function at `url` (without `/chatkit`) with a client secret.
    pub fn new(url: &str, client_secret: &str) -> Self {
        let frame_id = Uuid::new_v4().to_string();
        Self { url: format!("{url}/chatkit"), client_secret: client_secret.to_owned(), frame_id }
    }

    /// The same element with another client secret.
    pub fn with_secret(&self, client_secret: &str) -> Self {
        Self { client_secret: client_secret.to_owned(), ..self.clone() }
    }

    pub fn request(&self, kind: &str, params: Value) -> RequestBuilder {
        let body = json!({ "type": kind, "params": params, "metadata": {} });
        http::client()
            .post(&self.url)
            .bearer_auth(&self.client_secret)
            .header("chatkit-frame-instance-id", &self.frame_id)
            .header("accept-language", "en")
            .json(&body)
    }

    /// Sends a request whose answer is JSON. Returns the status and the body.
    pub async fn call(&self, kind: &str, params: Value) -> Result<(StatusCode, Value)> {
        let response = self.request(kind, params).send().await?;
        let (status, text) = (response.status(), response.text().await?);
        Ok((status, serde_json::from_str(&text).with_context(|| format!("{kind}: {text}"))?))
    }

    /// Sends a request and returns the JSON of its successful answer.
    pub async fn json(&self, kind: &str, params: Value) -> Result<Value> {
        let (status, body) = self.call(kind, params).await?;
        ensure!(status == StatusCode::OK, "{kind} answered {status}: {body}");
        Ok(body)
    }

    /// Sends a request whose answer is a stream.
    pub async fn stream(&self, kind: &str, params: Value) -> Result<ChatStream> {
        ChatStream::new(self.request(kind, params).send().await?).await
    }

    /// Creates a thread with a message.
    pub async fn create_thread(&self, text: &str) -> Result<ChatStream> {
        self.stream("threads.create", json!({ "input": message(text) })).await
    }

    pub async fn add_message(&self, thread_id: &str, text: &str) -> Result<ChatStream> {
        self.stream("threads.add_user_message", json!({ "thread_id": thread_id, "input": message(text) }))
            .await
    }

    /// Lists all items of a thread, the oldest first.
    pub async fn items(&self, thread_id: &str) -> Result<Vec<Value>> {
        let mut items = Vec::new();
        let mut after = Value::Null;
        loop {
            let mut params = json!({ "thread_id": thread_id, "order": "asc", "limit": 100 });
            if !after.is_null() {
                params["after"] = after;
            }
            let mut page = self.json("items.list", params).await?;
            items.extend(page["data"].as_array().context("a page without data")?.iter().cloned());
            if page["has_more"] != true {
                return Ok(items);
            }
            after = page["after"].take();
        }
    }
}

/// The input of a message.
pub fn message(text: &str) -> Value {
    json!({ "content": [{ "type": "input_text", "text": text }], "attachments": [], "inference_options": {} })
}

#[derive(Debug)]
pub struct ChatStream {
    response: Response,
    buffer: Vec<u8>,
    events: Vec<Value>,
}

impl ChatStream {
    /// Reads a response, which must be a stream.
    ///
    /// # Errors
    /// A broken connection is an error of the HTTP client. Any other error violates the protocol.
    pub async fn new(response: Response) -> Result<Self> {
        let status = response.status();
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        if status != StatusCode::OK || media_type != Some("text/event-stream; charset=utf-8") {
            let media_type = media_type.map(str::to_owned);
            bail!("expected a stream, found {status} {media_type:?}: {}", response.text().await?);
        }
        Ok(Self { response, buffer: Vec::new(), events: Vec::new() })
    }

    /// Returns the next event; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let frame: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let text = std::str::from_utf8(&frame)?;
                let data =
                    text.strip_prefix("data: ").with_context(|| format!("a strange frame: {text:?}"))?;
                ensure!(data.matches('\n').count() == 2, "an event has one line: {data:?}");
                let event: Value = serde_json::from_str(data)?;
                self.events.push(event.clone());
                return Ok(Some(event));
            }
            match self.response.chunk().await? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None if self.buffer.is_empty() => return Ok(None),
                None => bail!("the stream ends within an event: {:?}", String::from_utf8_lossy(&self.buffer)),
            }
        }
    }

    /// Reads up to an event of this type, and returns it.
    pub async fn until(&mut self, kind: &str) -> Result<Value> {
        while let Some(event) = self.next().await? {
            if event["type"] == kind {
                return Ok(event);
            }
        }
        bail!("the stream has no {kind}: {:#?}", self.events)
    }

    /// Reads to the end, and returns every event of the stream.
    pub async fn finish(mut self) -> Result<Vec<Value>> {
        while self.next().await?.is_some() {}
        Ok(self.events)
    }

    /// The events that were read.
    pub fn events(&self) -> &[Value] {
        &self.events
    }
}

/// A thread as a client shows it after the events that it has received.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThreadView {
    pub thread: Value,
    /// In the order in which they appeared.
    items: Vec<Value>,
    /// Ids of items that have begun and are not done.
    unfinished: Vec<String>,
    pub errors: Vec<Value>,
}

impl ThreadView {
    /// Applies events to a new view.
    pub fn from_events(events: &[Value]) -> Result<Self> {
        let mut view = Self::default();
        view.apply_all(events)?;
        Ok(view)
    }

    pub fn apply_all(&mut self, events: &[Value]) -> Result<()> {
        events.iter().try_for_each(|event| self.apply(event).with_context(|| format!("applying {event}")))
    }

    /// Applies an event. An event that does not fit the view is an error.
    pub fn apply(&mut self, event: &Value) -> Result<()> {
        let kind = event["type"].as_str().context("an event without a type")?;
        match kind {
            "thread.created" | "thread.updated" => self.thread = event["thread"].clone(),
            "thread.item.added" => {
                let id = text(&event["item"]["id"])?;
                ensure!(self.position(&id).is_none(), "the item {id} is added twice");
                self.items.push(event["item"].clone());
                self.unfinished.push(id);
            }
            "thread.item.done" | "thread.item.replaced" => {
                let id = text(&event["item"]["id"])?;
                match self.position(&id) {
                    Some(at) => self.items[at] = event["item"].clone(),
                    None => self.items.push(event["item"].clone()),
                }
                self.unfinished.retain(|other| *other != id);
            }
            "thread.item.removed" => {
                let id = text(&event["item_id"])?;
                self.items.retain(|item| item["id"] != id.as_str());
                self.unfinished.retain(|other| *other != id);
            }
            "thread.item.updated" => {
                let id = text(&event["item_id"])?;
                let at = self.position(&id).with_context(|| format!("{id} is updated and was not added"))?;
                ensure!(self.unfinished.contains(&id), "{id} is updated and is done");
                update(&mut self.items[at], &event["update"])?;
            }
            "error" => self.errors.push(event.clone()),
            "stream_options" | "progress_update" | "notice" | "client_effect" => {}
            other => bail!("the event {other} is unknown"),
        }
        Ok(())
    }

    /// Shows what is stored, as after a reload.
    pub fn reload(&mut self, items: Vec<Value>) {
        self.items = items;
        self.unfinished.clear();
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.items.iter().position(|item| item["id"] == id)
    }

    pub fn items(&self) -> &[Value] {
        &self.items
    }

    /// Items that have begun and are not done.
    pub fn unfinished(&self) -> &[String] {
        &self.unfinished
    }

    /// The text of the last message of the assistant.
    pub fn answer(&self) -> String {
        let message = self.items.iter().rfind(|item| item["type"] == "assistant_message");
        let parts = message.and_then(|message| message["content"].as_array().cloned());
        parts.unwrap_or_default().iter().filter_map(|part| part["text"].as_str()).collect()
    }
}

fn update(item: &mut Value, update: &Value) -> Result<()> {
    let kind = update["type"].as_str().context("an update without a type")?;
    let index = |name: &str| {
        let index = update[name].as_u64().with_context(|| format!("an update without {name}"))?;
        Ok::<_, anyhow::Error>(usize::try_from(index)?)
    };
    match kind {
        "assistant_message.content_part.added" => {
            let parts = item["content"].as_array_mut().context("the item has no content")?;
            ensure!(parts.len() == index("content_index")?, "parts are added in order");
            parts.push(update["content"].clone());
        }
        "assistant_message.content_part.text_delta" => {
            let part = &mut item["content"][index("content_index")?];
            let so_far = part["text"].as_str().context("the part has no text")?;
            part["text"] = format!("{so_far}{}", update["delta"].as_str().context("no delta")?).into();
        }
        "assistant_message.content_part.annotation_added" => {
            let part = &mut item["content"][index("content_index")?];
            let annotations = part["annotations"].as_array_mut().context("the part has no annotations")?;
            ensure!(annotations.len() == index("annotation_index")?, "annotations are added in order");
            annotations.push(update["annotation"].clone());
        }
        "assistant_message.content_part.done" => {
            let part = &mut item["content"][index("content_index")?];
            ensure!(part.is_object(), "the part was not added");
            ensure!(
                part["text"] == update["content"]["text"],
                "the deltas {} are not the text {}",
                part["text"],
                update["content"]["text"]
            );
            *part = update["content"].clone();
        }
        "workflow.task.added" => {
            let tasks = item["workflow"]["tasks"].as_array_mut().context("the item has no tasks")?;
            ensure!(tasks.len() == index("task_index")?, "tasks are added in order");
            tasks.push(update["task"].clone());
        }
        "workflow.task.updated" => {
            let task = &mut item["workflow"]["tasks"][index("task_index")?];
            ensure!(task.is_object(), "the task was not added");
            *task = update["task"].clone();
        }
        other => bail!("the update {other} is unknown"),
    }
    Ok(())
}

fn text(value: &Value) -> Result<String> {
    Ok(value.as_str().context("expected an id")?.to_owned())
}
