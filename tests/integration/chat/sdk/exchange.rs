//! A request and the bytes of its answer.

use anyhow::{Context, Result, ensure};
use local_stack::chat_client::ChatClient;
use serde_json::{Value, json};

/// A request of ChatKit and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The body of the request.
    pub request: String,
    pub status: u16,
    pub is_streamed: bool,
    /// The body of the answer.
    pub answer: String,
}

impl Exchange {
    pub async fn send(chat: &ChatClient, kind: &str, params: Value) -> Result<Self> {
        Self::send_body(chat, &json!({ "type": kind, "params": params, "metadata": {} })).await
    }

    /// Sends a body, which may be an invalid request.
    pub async fn send_body(chat: &ChatClient, body: &Value) -> Result<Self> {
        let response = chat.request("", Value::Null).json(body).send().await?;
        let status = response.status().as_u16();
        let media_type = response.headers().get("content-type").and_then(|value| value.to_str().ok());
        let media_type = media_type.unwrap_or_default().to_owned();
        let answer = response.bytes().await.with_context(|| format!("reading the answer to {body}"))?;
        let answer = String::from_utf8(answer.into())?;
        let is_streamed = media_type == "text/event-stream; charset=utf-8";
        let is_json =
            media_type == if status == 200 { "application/json" } else { "application/problem+json" };
        ensure!(is_json || is_streamed && status == 200, "{body}: {status} {media_type} {answer}");
        Ok(Self { request: body.to_string(), status, is_streamed, answer })
    }

    /// Returns the events of a stream.
    pub fn events(&self) -> Result<Vec<Value>> {
        ensure!(self.is_streamed, "expected a stream, found {self:?}");
        let frames = self.answer.split_terminator("\n\n");
        let events = frames.map(|frame| {
            let data = frame.strip_prefix("data: ").with_context(|| format!("found the frame {frame:?}"))?;
            serde_json::from_str(data).with_context(|| format!("found the event {data}"))
        });
        events.collect()
    }

    pub fn json(&self) -> Result<Value> {
        ensure!(self.status == 200 && !self.is_streamed, "expected JSON, found {self:?}");
        Ok(serde_json::from_str(&self.answer)?)
    }

    /// Returns the status and the code of a problem response, and checks that a client can act on
    /// it.
    pub fn problem(&self) -> Result<String> {
        let body: Value = serde_json::from_str(&self.answer)?;
        let is_text = |name: &str| body[name].as_str().is_some_and(|text| !text.is_empty());
        let is_clear =
            is_text("code") && is_text("title") && is_text("detail") && body["status"] == self.status;
        ensure!(self.status >= 400 && is_clear, "expected a problem, found {self:?}");
        Ok(format!("{} {}", self.status, body["code"].as_str().unwrap_or_default()))
    }
}
