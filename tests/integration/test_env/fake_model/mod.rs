//! The fake of the Responses API: it is as strict as OpenAI, sends OpenAI's events, and produces
//! exactly the scripted answers, faults and quirks.

mod accepted;
mod faults;
mod input_items;
mod lifecycle;
mod limits;
mod parameters;
mod quirks;
mod scripts;
mod sdk;
mod sdk_errors;
mod stack;
mod tools;

use anyhow::{Context, Result, ensure};
use http_client::{Method, RequestBuilder, Response};
use local_stack::http;
use local_stack::model::{FakeModel, MODEL, Model, RecordedRequest, Settings};
use serde_json::{Value, json};

/// The id of a model without reasoning.
pub const PLAIN_MODEL: &str = "gpt-4.1-mini";

/// A fake with a reasoning model and one without reasoning.
pub struct Api {
    pub fake: FakeModel,
}

impl Api {
    pub async fn start() -> Result<Self> {
        let fake = FakeModel::start(Settings::default()).await?;
        fake.add_model(Model::plain(PLAIN_MODEL));
        Ok(Self { fake })
    }

    /// A request without headers.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        http::client().request(method, format!("{}{path}", self.fake.base_url()))
    }

    /// A request with the key and this body.
    pub fn post(&self, body: &Value) -> RequestBuilder {
        self.bare(Method::POST, "/responses").bearer_auth(self.fake.api_key()).json(body)
    }

    pub async fn create(&self, body: &Value) -> Result<Value> {
        let response = self.post(body).send().await?;
        let status = response.status();
        let body: Value = response.json().await?;
        ensure!(status == 200, "{status}: {body}");
        Ok(body)
    }

    /// Returns the bytes of a stream.
    pub async fn stream_text(&self, body: &Value) -> Result<String> {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let response = self.post(&body).send().await?;
        let status = response.status();
        let content_type = response.headers()["content-type"].to_str()?.to_owned();
        let text = response.text().await?;
        ensure!(status == 200 && content_type == "text/event-stream; charset=utf-8", "{status}: {text}");
        Ok(text)
    }

    /// Returns the events of a stream.
    pub async fn stream(&self, body: &Value) -> Result<Vec<Value>> {
        self.stream_text(body).await?.split_terminator("\n\n").map(event).collect()
    }

    pub fn last_request(&self) -> Result<RecordedRequest> {
        self.fake.requests().pop().context("the fake received no request")
    }
}

/// Parses one frame. Checks that it has OpenAI's form.
pub fn event(frame: &str) -> Result<Value> {
    let (kind, data) = frame.split_once('\n').with_context(|| format!("a frame of one line: {frame}"))?;
    let kind = kind.strip_prefix("event: ").with_context(|| format!("no event line: {frame}"))?;
    let data = data.strip_prefix("data: ").with_context(|| format!("no data line: {frame}"))?;
    let event: Value = serde_json::from_str(data)?;
    ensure!(event["type"] == kind, "the types differ: {frame}");
    Ok(event)
}

/// A valid body with this input.
pub fn body(input: impl Into<Value>) -> Value {
    json!({"model": MODEL, "input": input.into()})
}

/// A message of the user.
pub fn user(text: &str) -> Value {
    json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
}

/// The types of the events, without the common prefix.
pub fn types(events: &[Value]) -> Vec<&str> {
    let types = events.iter().filter_map(|event| event["type"].as_str());
    types.map(|kind| kind.trim_start_matches("response.")).collect()
}

/// Status, `error.code` and `error.param`.
pub type ExpectedError<'a> = (u16, Option<&'a str>, Option<&'a str>);

/// Sends a request and checks that the response is an error in OpenAI's format. Returns the
/// message.
pub async fn check_rejection(
    case: &str,
    request: RequestBuilder,
    expected: ExpectedError<'_>,
) -> Result<String> {
    let (status, code, param) = expected;
    let response = request.send().await.with_context(|| format!("sending {case}"))?;
    let found = response.status();
    check_headers(&response)?;
    let body: Value = response.json().await.with_context(|| format!("parsing the response to {case}"))?;
    let error = body["error"].as_object().with_context(|| format!("{case}: {body}"))?;
    ensure!(
        (found.as_u16(), &error["code"], &error["param"]) == (status, &json!(code), &json!(param)),
        "{case}: expected {expected:?}, found {found}: {body}"
    );
    ensure!(error["type"] == "invalid_request_error", "{case}: {body}");
    ensure!((error.len(), body.as_object().map(|b| b.len())) == (4, Some(1)), "{case}: {body}");
    let message = error["message"].as_str().with_context(|| format!("{case}: {body}"))?;
    ensure!(message.ends_with('.') || message.ends_with(')'), "{case}: {message}");
    Ok(message.to_owned())
}

/// Checks the headers that every response of OpenAI has.
pub fn check_headers(response: &Response) -> Result<()> {
    let header = |name: &str| -> Result<&str> {
        let value =
            response.headers().get(name).with_context(|| format!("the response has no header {name}"))?;
        Ok(value.to_str()?)
    };
    ensure!(header("x-request-id")?.starts_with("req_"));
    header("openai-processing-ms")?.parse::<u64>().context("openai-processing-ms is not a number")?;
    header("x-ratelimit-remaining-tokens")?.parse::<u64>()?;
    ensure!(header("x-ratelimit-reset-requests")? == "6ms");
    ensure!(header("content-type")? == "application/json");
    Ok(())
}
