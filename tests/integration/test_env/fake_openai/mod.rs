//! The fake of OpenAI: it is as strict as ChatKit, and produces exactly the configured faults.

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

/// A fake with two projects. Each has a workflow and a key. A third key is bound to no project.
pub struct Api {
    pub fake: FakeOpenAi,
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
        let fake = FakeOpenAi::start(Settings { api_keys, workflows }).await?;
        Ok(Self { fake })
    }

    /// A request without headers.
    pub fn bare(&self, method: Method, path: &str) -> RequestBuilder {
        http::client().request(method, format!("{}{path}", self.fake.base_url()))
    }

    /// A valid request with this key.
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

    /// A request for a session with this body.
    pub fn create(&self, body: &Value) -> RequestBuilder {
        self.post("/chatkit/sessions").json(body)
    }

    /// Creates a session of `user`.
    pub async fn session(&self, user: &str) -> Result<Value> {
        self.session_with(json!({"user": user, "workflow": {"id": "wf_1"}})).await
    }

    pub async fn session_with(&self, body: Value) -> Result<Value> {
        ok(self.create(&body)).await
    }
}

/// Sends a request and returns the body. Checks that the status is 200.
pub async fn ok(request: RequestBuilder) -> Result<Value> {
    let response = request.send().await?;
    let status = response.status();
    let body: Value = response.json().await?;
    assert_eq!(status, 200, "{body}");
    Ok(body)
}

/// A string field of a response.
pub fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str> {
    body[name].as_str().with_context(|| format!("the field {name} is not a string: {body}"))
}

/// Status, `error.code` and `error.param`.
pub type ExpectedError<'a> = (u16, Option<&'a str>, Option<&'a str>);

/// Sends each request and checks that the response is an error in OpenAI's format.
pub async fn check_rejections(rows: Vec<(&str, RequestBuilder, ExpectedError<'_>)>) -> Result<()> {
    for (case, request, (status, code, param)) in rows {
        let response = request.send().await.with_context(|| format!("sending {case}"))?;
        let found = response.status();
        check_headers(&response)?;
        let body: Value = response.json().await.with_context(|| format!("parsing the response to {case}"))?;
        let error = body["error"].as_object().with_context(|| format!("{case}: {body}"))?;
        assert_eq!(
            (found.as_u16(), &error["code"], &error["param"]),
            (status, &json!(code), &json!(param)),
            "{case}: {body}"
        );
        assert_eq!(error["type"], if status == 429 { "requests" } else { "invalid_request_error" }, "{case}");
        assert!(
            error["message"].as_str().is_some_and(|m| m.ends_with('.') || m.ends_with(')')),
            "{case}: {body}"
        );
        assert_eq!((error.len(), body.as_object().map(|b| b.len())), (4, Some(1)), "{case}: {body}");
    }
    Ok(())
}

/// Checks the headers that every response of OpenAI has.
pub fn check_headers(response: &Response) -> Result<()> {
    let header = |name: &str| -> Result<String> {
        let value =
            response.headers().get(name).with_context(|| format!("the response has no header {name}"))?;
        Ok(value.to_str()?.to_owned())
    };
    assert!(header("x-request-id")?.starts_with("req_"));
    header("openai-processing-ms")?.parse::<u64>().context("openai-processing-ms is not a number")?;
    assert_eq!(header("content-type")?, "application/json");
    Ok(())
}
