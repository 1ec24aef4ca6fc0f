//! A browser in which somebody is signed in.

use std::time::Instant;

use anyhow::{Context, Result};
use http_client::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::printer::Stage;
use crate::dev::Person;
use local_stack::http;

/// Somebody's browser.
#[derive(Clone)]
pub struct Browser {
    who: &'static str,
    token: String,
    base: String,
    /// Their own id.
    pub user_id: String,
}

/// What came back.
pub struct TestResponse {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body; null where there is none.
    pub body: Value,
}

impl Browser {
    /// The browser of this person, on pages that call this API.
    pub fn of(person: &Person, base: String) -> Self {
        Self { who: person.name, token: person.token.clone(), base, user_id: person.user.id.to_string() }
    }

    /// The same person with another device, on pages that call another URL.
    pub fn elsewhere(&self, who: &'static str, base: String) -> Self {
        Self { who, base, ..self.clone() }
    }

    /// Reads.
    pub async fn get(&self, stage: &Stage, path: &str) -> Result<TestResponse> {
        self.send(stage, Method::GET, path, &[], Value::Null).await
    }

    /// Writes.
    pub async fn post(&self, stage: &Stage, path: &str, body: Value) -> Result<TestResponse> {
        self.send(stage, Method::POST, path, &[], body).await
    }

    /// Reads without a word: for what is asked again and again.
    pub async fn quietly(&self, path: &str) -> Result<TestResponse> {
        self.exchange(Method::GET, path, &[], &Value::Null).await
    }

    /// Any request, shown on the stage with its answer.
    pub async fn send(
        &self,
        stage: &Stage,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Result<TestResponse> {
        stage.asks(self.who, &format!("{method} {path}"), &body);
        for (name, value) in headers {
            stage.detail(name, value);
        }
        let started = Instant::now();
        let reply = self.exchange(method, path, headers, &body).await?;
        let status = StatusCode::from_u16(reply.status)?;
        stage.answered(&words(status), started.elapsed());
        Ok(reply)
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Result<TestResponse> {
        let mut request =
            http::client().request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_null() {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| format!("asking for {path}"))?;
        let (status, headers, text) = (response.status(), response.headers().clone(), response.text().await?);
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).context(text)? };
        Ok(TestResponse { status: status.as_u16(), headers, body })
    }
}

impl TestResponse {
    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A string in the body.
    pub fn text(&self, pointer: &str) -> Result<String> {
        let text = self.body.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("no {pointer} in {}", self.body))?.to_owned())
    }

    /// How long a list in the body is.
    pub fn count(&self, pointer: &str) -> usize {
        self.body.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }
}

fn words(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}
