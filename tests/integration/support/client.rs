//! A client of the API.

use anyhow::{Context, Result, ensure};
use http_client::{Method, StatusCode, header::HeaderMap};
use local_stack::supabase::{OrgRole, User};
use local_stack::{LocalStack, http};
use serde_json::{Value, json};
use uuid::Uuid;

use super::project_files;

/// The agent that [`TestClient::new`] registers.
pub const AGENT: &str = "accounts_payable";

/// A user of an organisation, with a token and a base URL.
pub struct TestClient {
    base: String,
    pub token: String,
    pub user: User,
}

#[derive(Debug, Clone)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl TestClient {
    /// A member of a new organisation with the agent [`AGENT`].
    pub async fn new(stack: &LocalStack) -> Result<Self> {
        let org_id = Uuid::new_v4();
        stack.register_agent(org_id, AGENT, "Accounts payable").await?;
        Self::in_organisation(stack, org_id, OrgRole::Member).await
    }

    /// A new user of an existing organisation.
    pub async fn in_organisation(stack: &LocalStack, org_id: Uuid, role: OrgRole) -> Result<Self> {
        let user = stack.add_user(org_id, role).await?;
        Ok(Self::from_user(stack, user))
    }

    /// An existing user, with a new token.
    pub fn from_user(stack: &LocalStack, user: User) -> Self {
        Self { base: stack.api_url(), token: stack.issuer().token(&user), user }
    }

    /// The same user with another token.
    pub fn with_token(&self, token: String) -> Self {
        Self { base: self.base.clone(), token, user: self.user.clone() }
    }

    /// The same user with another base URL.
    pub fn with_base_url(&self, base: String) -> Self {
        Self { base, token: self.token.clone(), user: self.user.clone() }
    }

    pub async fn get(&self, path: &str) -> Result<TestResponse> {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<TestResponse> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Sends a request and checks the response against `docs/openapi.yaml`.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<TestResponse> {
        let mut request =
            http::client().request(method.clone(), format!("{}{path}", self.base)).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let reply = send_request(request).await.with_context(|| format!("calling {path}"))?;
        project_files::check_response(method.as_str(), path, &reply)
            .context("the response does not match docs/openapi.yaml")?;
        Ok(reply)
    }

    pub async fn open_session(&self) -> Result<Value> {
        let reply = self.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
        reply.expect(201)
    }

    /// Opens a session and returns its path.
    pub async fn open_session_path(&self) -> Result<String> {
        Ok(session_path(&self.open_session().await?))
    }

    pub async fn cancel(&self, session: &str) -> Result<TestResponse> {
        self.send(Method::POST, &format!("{session}/cancel"), &[], None).await
    }

    pub async fn record_event(&self, session: &str, kind: &str, payload: Value) -> Result<TestResponse> {
        let event = json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload });
        self.post(&format!("{session}/events"), event).await
    }
}

pub fn session_path(session: &Value) -> String {
    format!("/chatkit/sessions/{}", session["id"].as_str().unwrap_or_default())
}

/// Sends a request and parses the response as JSON. An empty body becomes `null`, and a stream the
/// list of its events.
pub async fn send_request(request: http_client::RequestBuilder) -> Result<TestResponse> {
    let response = request.send().await?;
    let (status, headers, text) = (response.status(), response.headers().clone(), response.text().await?);
    let media_type = headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let body = if media_type.starts_with("text/event-stream") {
        events(&text)?
    } else if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(&text).with_context(|| text)?
    };
    Ok(TestResponse { status, headers, body })
}

/// Returns the events of a stream that has only data, one line each.
pub fn events(stream: &str) -> Result<Value> {
    let events = stream.trim_end().split("\n\n").map(|event| {
        let data = event.strip_prefix("data: ").with_context(|| format!("{event:?} is not an event"))?;
        serde_json::from_str::<Value>(data).with_context(|| data.to_owned())
    });
    Ok(Value::Array(events.collect::<Result<_>>()?))
}

impl TestResponse {
    /// Checks the status and returns the body.
    pub fn expect(self, status: u16) -> Result<Value> {
        ensure!(
            self.status == status,
            "expected the status {status}, found {}: {:#}",
            self.status,
            self.body
        );
        Ok(self.body)
    }

    /// Checks that the response is a problem (RFC 9457) with this status and code, and returns it.
    pub fn problem(self, status: u16, code: &str) -> Result<Value> {
        let header = |name: &str| {
            let value = self.headers.get(name).and_then(|value| value.to_str().ok());
            value.unwrap_or_default().to_owned()
        };
        let (media_type, request_id) = (header("content-type"), header("x-request-id"));
        let body = self.expect(status)?;
        ensure!(
            media_type == "application/problem+json",
            "expected a problem, found the media type {media_type:?}"
        );
        ensure!(body["code"] == code, "expected the code {code}, found {}: {body:#}", body["code"]);
        let problem_type = format!("urn:problem-type:{code}");
        ensure!(body["status"] == status, "expected the status {status} in {body:#}");
        ensure!(body["type"] == problem_type, "expected the type {problem_type} in {body:#}");
        ensure!(
            !request_id.is_empty() && body["requestId"] == request_id,
            "expected the request id {request_id:?} in {body:#}"
        );
        for part in ["title", "detail", "instance"] {
            ensure!(
                body[part].as_str().is_some_and(|text| !text.is_empty()),
                "the problem has no {part}: {body:#}"
            );
        }
        Ok(body)
    }
}
