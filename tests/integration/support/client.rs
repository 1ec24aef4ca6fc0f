//! A caller of the API, as the promises need one.

use anyhow::{Context, Result, ensure};
use http_client::{Method, StatusCode, header::HeaderMap};
use local_stack::supabase::{OrgRole, User};
use local_stack::{LocalStack, http};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::project_files;

/// The agent that [`TestClient::new`] registers.
pub const AGENT: &str = "accounts_payable";

/// A user of an organisation with a token, calling under one base URL.
pub struct TestClient {
    base: String,
    pub token: String,
    pub user: User,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct TestResponse {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

impl TestClient {
    /// A member of a new organisation that has an agent.
    pub async fn new(stack: &LocalStack) -> Result<Self> {
        let org_id = Uuid::new_v4();
        stack.register_agent(org_id, AGENT, "Accounts payable").await?;
        Self::joining(stack, org_id, OrgRole::Member).await
    }

    /// A new user of this organisation.
    pub async fn joining(stack: &LocalStack, org_id: Uuid, role: OrgRole) -> Result<Self> {
        let user = stack.add_user(org_id, role).await?;
        Ok(Self::of(stack, user))
    }

    /// This user, signed in.
    pub fn of(stack: &LocalStack, user: User) -> Self {
        Self { base: stack.api_url(), token: stack.issuer().token(&user), user }
    }

    /// The same caller with another token.
    pub fn with(&self, token: String) -> Self {
        Self { base: self.base.clone(), token, user: self.user.clone() }
    }

    /// The same caller under another base URL.
    pub fn at(&self, base: String) -> Self {
        Self { base, token: self.token.clone(), user: self.user.clone() }
    }

    pub async fn get(&self, path: &str) -> Result<TestResponse> {
        self.send(Method::GET, path, &[], None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Result<TestResponse> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    /// Sends a request. Whatever is answered has to be described.
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
        let reply = reply(request).await.with_context(|| format!("calling {path}"))?;
        project_files::check(method.as_str(), path, &reply)
            .context("the answer is not as docs/openapi.yaml says")?;
        Ok(reply)
    }

    /// Opens a session and answers with it.
    pub async fn open(&self) -> Result<Value> {
        let reply = self.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
        reply.expect(201)
    }

    /// Opens a session and answers with its path.
    pub async fn open_path(&self) -> Result<String> {
        Ok(path(&self.open().await?))
    }

    /// Cancels a session.
    pub async fn cancel(&self, session: &str) -> Result<TestResponse> {
        self.send(Method::POST, &format!("{session}/cancel"), &[], None).await
    }

    /// Records one event of this type with this payload.
    pub async fn record(&self, session: &str, kind: &str, payload: Value) -> Result<TestResponse> {
        let event = json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload });
        self.post(&format!("{session}/events"), event).await
    }
}

/// A session's path.
pub fn path(session: &Value) -> String {
    format!("/chatkit/sessions/{}", session["id"].as_str().unwrap_or_default())
}

/// Sends a request and reads the answer as JSON, or as null where it is empty.
pub async fn reply(request: http_client::RequestBuilder) -> Result<TestResponse> {
    let response = request.send().await?;
    let (status, headers, text) = (response.status(), response.headers().clone(), response.text().await?);
    let body =
        if text.is_empty() { Value::Null } else { serde_json::from_str(&text).with_context(|| text)? };
    Ok(TestResponse { status, headers, body })
}

impl TestResponse {
    /// The body, if the status is this one.
    pub fn expect(self, status: u16) -> Result<Value> {
        ensure!(self.status == status, "{} instead of {status}: {:#}", self.status, self.body);
        Ok(self.body)
    }

    /// The problem, if it is one with this status and code, in the form that RFC 9457 and the contract ask.
    pub fn problem(self, status: u16, code: &str) -> Result<Value> {
        let media_type = self
            .headers
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let request_id = self
            .headers
            .get("x-request-id")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let body = self.expect(status)?;
        ensure!(media_type == "application/problem+json", "a problem of type {media_type:?}");
        ensure!(body["code"] == code, "{} instead of {code}: {body:#}", body["code"]);
        ensure!(body["status"] == status && body["type"] == format!("urn:problem-type:{code}"), "{body:#}");
        ensure!(!request_id.is_empty() && body["requestId"] == request_id, "{request_id} {body:#}");
        for part in ["title", "detail", "instance"] {
            ensure!(body[part].as_str().is_some_and(|text| !text.is_empty()), "no {part}: {body:#}");
        }
        Ok(body)
    }
}
