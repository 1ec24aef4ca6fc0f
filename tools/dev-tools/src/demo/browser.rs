//! A browser of a signed-in user.

use std::time::Instant;

use anyhow::{Context, Result};
use http_client::{Method, StatusCode, header::HeaderMap};
use serde_json::Value;

use super::printer::Printer;
use crate::dev::Person;
use local_stack::http;

/// An HTTP client that acts as a user's browser.
#[derive(Clone)]
pub struct Browser {
    actor: &'static str,
    token: String,
    base: String,
    pub user_id: String,
}

pub struct TestResponse {
    pub status: u16,
    pub headers: HeaderMap,
    /// The JSON body, or null.
    pub body: Value,
}

impl Browser {
    /// The browser of a user, with the base URL of the API.
    pub fn new(person: &Person, base: String) -> Self {
        Self { actor: person.name, token: person.token.clone(), base, user_id: person.user.id.to_string() }
    }

    /// The same user on another device, with another base URL.
    pub fn on_device(&self, actor: &'static str, base: String) -> Self {
        Self { actor, base, ..self.clone() }
    }

    pub async fn get(&self, printer: &Printer, path: &str) -> Result<TestResponse> {
        self.send(printer, Method::GET, path, &[], Value::Null).await
    }

    pub async fn post(&self, printer: &Printer, path: &str, body: Value) -> Result<TestResponse> {
        self.send(printer, Method::POST, path, &[], body).await
    }

    /// Sends a GET request without printing it, for polling.
    pub async fn get_quietly(&self, path: &str) -> Result<TestResponse> {
        self.fetch(Method::GET, path, &[], &Value::Null).await
    }

    /// Sends a request, and prints it with its response.
    pub async fn send(
        &self,
        printer: &Printer,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Result<TestResponse> {
        printer.request(self.actor, &format!("{method} {path}"), &body);
        for (name, value) in headers {
            printer.detail(name, value);
        }
        let started = Instant::now();
        let response = self.fetch(method, path, headers, &body).await?;
        let status = StatusCode::from_u16(response.status)?;
        printer.response(&status_line(status), started.elapsed());
        Ok(response)
    }

    async fn fetch(
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
        let response = request.send().await.with_context(|| format!("requesting {path}"))?;
        let (status, headers, text) = (response.status(), response.headers().clone(), response.text().await?);
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).context(text)? };
        Ok(TestResponse { status: status.as_u16(), headers, body })
    }
}

impl TestResponse {
    /// Returns a header, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Returns a string of the body by JSON pointer.
    pub fn text(&self, pointer: &str) -> Result<String> {
        let text = self.body.pointer(pointer).and_then(Value::as_str);
        Ok(text.with_context(|| format!("no {pointer} in {}", self.body))?.to_owned())
    }

    /// Returns the length of a list in the body.
    pub fn count(&self, pointer: &str) -> usize {
        self.body.pointer(pointer).and_then(Value::as_array).map_or(0, Vec::len)
    }
}

fn status_line(status: StatusCode) -> String {
    format!("{} {}", status.as_u16(), status.canonical_reason().unwrap_or_default())
}
