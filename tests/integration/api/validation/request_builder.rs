//! A request as a table states it: good but for what the row is about.

use anyhow::Result;
use http_client::Method;
use local_stack::{LocalStack, http};

use crate::support::client::{TestClient, TestResponse, reply};

/// Stands for the path of the caller's session.
const SESSION: &str = "{session}";

/// A request to one function.
#[derive(Clone)]
pub struct Ask {
    pub function: &'static str,
    pub path: String,
    method: Method,
    /// What the function does answer to.
    pub allowed: Method,
    headers: Vec<(&'static str, Vec<u8>)>,
    authorization: Authorization,
    body: Vec<u8>,
    at_url_only: bool,
}

#[derive(Clone)]
enum Authorization {
    /// The caller's own token.
    Good,
    Missing,
    Header(Vec<u8>),
}

/// The two ways to a function.
#[derive(Clone, Copy, Debug)]
pub enum Door {
    Api,
    Url,
}

/// `POST /chatkit/sessions`
pub fn open(body: impl Into<Vec<u8>>) -> Ask {
    Ask::new("create-session", Method::POST, "/chatkit/sessions").json(body)
}

/// `POST /chatkit/sessions/{id}/events`
pub fn record(body: impl Into<Vec<u8>>) -> Ask {
    Ask::new("record-events", Method::POST, "{session}/events").json(body)
}

/// `POST /chatkit/sessions/{id}/cancel`
pub fn cancel() -> Ask {
    Ask::new("cancel-session", Method::POST, "{session}/cancel")
}

/// `GET /chatkit/sessions/{id}`
pub fn read() -> Ask {
    Ask::new("get-session", Method::GET, SESSION)
}

/// `GET /chatkit/sessions/{id}/messages` with this query.
pub fn messages(query: &str) -> Ask {
    Ask::new("list-messages", Method::GET, &format!("{SESSION}/messages{query}"))
}

/// `GET /chatkit/sessions` with this query.
pub fn sessions(query: &str) -> Ask {
    Ask::new("list-sessions", Method::GET, &format!("/chatkit/sessions{query}"))
}

/// `GET /chatkit/escalations` with this query.
pub fn escalations(query: &str) -> Ask {
    Ask::new("list-escalations", Method::GET, &format!("/chatkit/escalations{query}"))
}

/// `GET /chatkit/metrics` with this query.
pub fn metrics(query: &str) -> Ask {
    Ask::new("get-metrics", Method::GET, &format!("/chatkit/metrics{query}"))
}

/// `GET /chatkit/agents`
pub fn agents() -> Ask {
    Ask::new("list-agents", Method::GET, "/chatkit/agents")
}

impl Ask {
    fn new(function: &'static str, method: Method, path: &str) -> Self {
        let (headers, authorization) = (Vec::new(), Authorization::Good);
        let (path, allowed) = (path.to_owned(), method.clone());
        Self { function, path, method, allowed, headers, authorization, body: Vec::new(), at_url_only: false }
    }

    /// With a body that is declared as JSON.
    pub fn json(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    /// With this header instead of others of the name; an empty value leaves it out.
    pub fn header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        let value = value.into();
        self.headers.extend((!value.is_empty()).then_some((name, value)));
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        self.path = path.to_owned();
        self
    }

    pub fn method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// With another session's id in the path.
    pub fn id(mut self, id: &str) -> Self {
        self.path = self.path.replace(SESSION, &format!("/chatkit/sessions/{id}"));
        self
    }

    /// Without a token.
    pub fn nameless(mut self) -> Self {
        self.authorization = Authorization::Missing;
        self
    }

    /// With this token.
    pub fn token(self, token: &str) -> Self {
        self.authorization(format!("Bearer {token}"))
    }

    pub fn authorization(mut self, header: impl Into<Vec<u8>>) -> Self {
        self.authorization = Authorization::Header(header.into());
        self
    }

    /// Only at the function's URL: the HTTP API has no such route and answers by itself.
    pub fn at_url_only(mut self) -> Self {
        self.at_url_only = true;
        self
    }

    /// The doors that it is sent to.
    pub fn doors(&self) -> &'static [Door] {
        if self.at_url_only { &[Door::Url] } else { &[Door::Api, Door::Url] }
    }

    /// The path with the caller's session in it, without its query.
    pub fn instance(&self, session: &str) -> String {
        self.path.replace(SESSION, session).split('?').next().unwrap_or_default().to_owned()
    }

    pub async fn send(
        &self,
        stack: &LocalStack,
        door: Door,
        caller: &TestClient,
        session: &str,
    ) -> Result<TestResponse> {
        let base = match door {
            Door::Api => stack.api_url(),
            Door::Url => stack.function_url(self.function),
        };
        let url = format!("{base}{}", self.path.replace(SESSION, session));
        let mut request = http::client().request(self.method.clone(), url);
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_slice());
        }
        request = match &self.authorization {
            Authorization::Good => request.bearer_auth(&caller.token),
            Authorization::Missing => request,
            Authorization::Header(value) => request.header("authorization", value.as_slice()),
        };
        if !self.body.is_empty() {
            request = request.body(self.body.clone());
        }
        reply(request).await
    }
}
