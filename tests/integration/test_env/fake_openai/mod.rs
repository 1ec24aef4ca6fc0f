//! The stand-in for ChatKit is as strict as OpenAI, and goes wrong exactly as it is told to.

mod faults;
mod latency;
mod lifecycle;
mod messages;
mod pages;
mod rejections;
mod responses;

use anyhow::{Context, Result};
use http_client::{Method, RequestBuilder, Response};
use local_stack::http;
use local_stack::openai::{ApiKey, FakeOpenAi, Settings, Workflow};
use serde_json::{Value, json};

/// Two projects, each with a workflow and a key, and a key that is bound to none.
pub struct Api {
    pub standin: FakeOpenAi,
}

pub const KEY: &str = "sk-proj-of-the-first-project";
pub const OTHER_KEY: &str = "sk-proj-of-the-second-project";
pub const UNBOUND_KEY: &str = "sk-of-no-project-at-all";

impl Api {
    pub async fn start() -> Result<Self> {
        let key = |key: &str, project: Option<&str>| ApiKey {
            key: key.to_owned(),
            project: project.map(str::to_owned),
        };
        let workflow = |id: &str, project: &str| Workflow {
            id: id.to_owned(),
            project: project.to_owned(),
            versions: vec!["1".to_owned(), "2".to_owned()],
        };
        let api_keys = vec![key(KEY, Some("proj_1")), key(OTHER_KEY, Some("proj_2")), key(UNBOUND_KEY, None)];
        let workflows = vec![workflow("wf_1", "proj_1"), workflow("wf_2", "proj_2")];
        let standin = FakeOpenAi::start(Settings { api_keys, workflows }).await?;
        Ok(Self { standin })
    }

    /// A request without any header of OpenAI's.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        http::client().request(method, format!("{}{path}", self.standin.base_url()))
    }

    /// A request as it should be, made with a key of one's choice.
    pub fn with_key(&self, key: &str, method: Method, path: &str) -> RequestBuilder {
        self.bare(method, path).bearer_auth(key).header("OpenAI-Beta", "chatkit_beta=v1")
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.with_key(KEY, Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.with_key(KEY, Method::POST, path)
    }

    pub fn delete(&self, path: &str) -> RequestBuilder {
        self.with_key(KEY, Method::DELETE, path)
    }

    /// Asks for a session with this body.
    pub fn create(&self, body: &Value) -> RequestBuilder {
        self.post("/chatkit/sessions").json(body)
    }

    /// A session of `user`, as answered.
    pub async fn session(&self, user: &str) -> Result<Value> {
        self.session_with(json!({"user": user, "workflow": {"id": "wf_1"}})).await
    }

    pub async fn session_with(&self, body: Value) -> Result<Value> {
        ok(self.create(&body)).await
    }
}

/// The JSON of an answer that must be 200.
pub async fn ok(request: RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let body: Value = response.json().await?;
    assert_eq!(status, 200, "{body}");
    Ok(body)
}

/// A string in an answer.
pub fn text<'a>(answer: &'a Value, name: &str) -> Result<&'a str> {
    answer[name].as_str().with_context(|| format!("no string {name} in {answer}"))
}

/// What a refusal must be: status, `error.code` and `error.param`.
pub type Refused<'a> = (u16, Option<&'a str>, Option<&'a str>);

/// Sends each request and finds it refused as said, in OpenAI's envelope.
pub async fn all_refused(rows: Vec<(&str, RequestBuilder, Refused<'_>)>) -> Result<()> {
    for (why, request, (status, code, param)) in rows {
        let response = request.send().await.with_context(|| format!("sending {why}"))?;
        let got = response.status();
        has_headers(&response)?;
        let body: Value = response.json().await.with_context(|| format!("answer to {why}"))?;
        let error = body["error"].as_object().with_context(|| format!("{why}: {body}"))?;
        assert_eq!(
            (got.as_u16(), &error["code"], &error["param"]),
            (status, &json!(code), &json!(param)),
            "{why}: {body}"
        );
        assert_eq!(error["type"], if status == 429 { "requests" } else { "invalid_request_error" }, "{why}");
        assert!(
            error["message"].as_str().is_some_and(|m| m.ends_with('.') || m.ends_with(')')),
            "{why}: {body}"
        );
        assert_eq!((error.len(), body.as_object().map(|b| b.len())), (4, Some(1)), "{why}: {body}");
    }
    Ok(())
}

/// The headers that every answer of OpenAI has.
pub fn has_headers(response: &Response) -> Result<()> {
    let header = |name: &str| -> Result<String> {
        let value = response.headers().get(name).with_context(|| format!("no header {name}"))?;
        Ok(value.to_str()?.to_owned())
    };
    assert!(header("x-request-id")?.starts_with("req_"));
    header("openai-processing-ms")?.parse::<u64>().context("openai-processing-ms is no number")?;
    assert_eq!(header("content-type")?, "application/json");
    Ok(())
}
