//! Requests of the tables: valid except for the change that a row makes.

use anyhow::Result;
use http_client::Method;
use local_stack::{LocalStack, http};

use crate::support::client::{TestClient, TestResponse, send_request};

/// Stands for the path of the caller's session.
const SESSION: &str = "{session}";

/// The path of an escalation that does not exist.
const ESCALATION: &str = "/chatkit/escalations/01981d3c-0000-7000-8000-000000000000";

/// A request to one function.
#[derive(Clone)]
pub struct TestRequest {
    pub function: &'static str,
    pub path: String,
    method: Method,
    /// The method of the route.
    pub allowed: Method,
    headers: Vec<(&'static str, Vec<u8>)>,
    authorization: Authorization,
    body: Vec<u8>,
    function_url_only: bool,
}

#[derive(Clone)]
enum Authorization {
    Token,
    Missing,
    Header(Vec<u8>),
}

/// The way in which a request arrives at a function.
#[derive(Clone, Copy, Debug)]
pub enum EntryPoint {
    HttpApi,
    FunctionUrl,
}

/// `POST /chatkit/sessions`
pub fn create_session(body: impl Into<Vec<u8>>) -> TestRequest {
    TestRequest::new("create-session", Method::POST, "/chatkit/sessions").json(body)
}

/// `POST /chatkit/sessions/{id}/events`
pub fn record_events(body: impl Into<Vec<u8>>) -> TestRequest {
    TestRequest::new("record-events", Method::POST, "{session}/events").json(body)
}

/// `POST /chatkit/sessions/{id}/cancel`
pub fn cancel_session() -> TestRequest {
    TestRequest::new("cancel-session", Method::POST, "{session}/cancel")
}

/// `POST /chatkit/sessions/{id}/stop`
pub fn stop_response() -> TestRequest {
    TestRequest::new("stop-response", Method::POST, "{session}/stop")
}

/// `GET /chatkit/sessions/{id}`
pub fn get_session() -> TestRequest {
    TestRequest::new("get-session", Method::GET, SESSION)
}

/// `GET /chatkit/sessions/{id}/messages` with this query.
pub fn list_messages(query: &str) -> TestRequest {
    TestRequest::new("list-messages", Method::GET, &format!("{SESSION}/messages{query}"))
}

/// `GET /chatkit/sessions/{id}/events` with this query.
pub fn list_events(query: &str) -> TestRequest {
    TestRequest::new("list-events", Method::GET, &format!("{SESSION}/events{query}"))
}

/// `GET /chatkit/sessions` with this query.
pub fn list_sessions(query: &str) -> TestRequest {
    TestRequest::new("list-sessions", Method::GET, &format!("/chatkit/sessions{query}"))
}

/// `GET /chatkit/escalations` with this query.
pub fn list_escalations(query: &str) -> TestRequest {
    TestRequest::new("list-escalations", Method::GET, &format!("/chatkit/escalations{query}"))
}

/// `GET /chatkit/changes` with this query.
pub fn list_changes(query: &str) -> TestRequest {
    TestRequest::new("list-changes", Method::GET, &format!("/chatkit/changes{query}"))
}

/// `GET /chatkit/escalations/{id}`
pub fn get_escalation() -> TestRequest {
    TestRequest::new("get-escalation", Method::GET, ESCALATION)
}

/// `POST /chatkit/escalations/{id}/claim`
pub fn claim_escalation() -> TestRequest {
    TestRequest::new("claim-escalation", Method::POST, &format!("{ESCALATION}/claim"))
}

/// `POST /chatkit/escalations/{id}/release`
pub fn release_escalation() -> TestRequest {
    TestRequest::new("release-escalation", Method::POST, &format!("{ESCALATION}/release"))
}

/// `GET /chatkit/metrics` with this query.
pub fn get_metrics(query: &str) -> TestRequest {
    TestRequest::new("get-metrics", Method::GET, &format!("/chatkit/metrics{query}"))
}

/// `GET /chatkit/agents`
pub fn list_agents() -> TestRequest {
    TestRequest::new("list-agents", Method::GET, "/chatkit/agents")
}

impl TestRequest {
    fn new(function: &'static str, method: Method, path: &str) -> Self {
        let (headers, authorization) = (Vec::new(), Authorization::Token);
        let (path, allowed) = (path.to_owned(), method.clone());
        Self {
            function,
            path,
            method,
            allowed,
            headers,
            authorization,
            body: Vec::new(),
            function_url_only: false,
        }
    }

    /// With a body and the content type of JSON.
    pub fn json(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.header("content-type", "application/json")
    }

    /// Replaces the header of this name. An empty value removes it.
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
    pub fn session_id(mut self, id: &str) -> Self {
        self.path = self.path.replace(SESSION, &format!("/chatkit/sessions/{id}"));
        self
    }

    /// With another escalation's id in the path.
    pub fn escalation_id(mut self, id: &str) -> Self {
        self.path = self.path.replace(ESCALATION, &format!("/chatkit/escalations/{id}"));
        self
    }

    pub fn without_token(mut self) -> Self {
        self.authorization = Authorization::Missing;
        self
    }

    pub fn token(self, token: &str) -> Self {
        self.authorization(format!("Bearer {token}"))
    }

    pub fn authorization(mut self, header: impl Into<Vec<u8>>) -> Self {
        self.authorization = Authorization::Header(header.into());
        self
    }

    /// Only to the function's URL. The HTTP API does not pass on a request without a route.
    pub fn function_url_only(mut self) -> Self {
        self.function_url_only = true;
        self
    }

    pub fn entry_points(&self) -> &'static [EntryPoint] {
        if self.function_url_only {
            &[EntryPoint::FunctionUrl]
        } else {
            &[EntryPoint::HttpApi, EntryPoint::FunctionUrl]
        }
    }

    /// The path without its query: the `instance` of a problem.
    pub fn instance(&self, session: &str) -> String {
        self.path.replace(SESSION, session).split('?').next().unwrap_or_default().to_owned()
    }

    pub async fn send(
        &self,
        stack: &LocalStack,
        entry_point: EntryPoint,
        caller: &TestClient,
        session: &str,
    ) -> Result<TestResponse> {
        let base = match entry_point {
            EntryPoint::HttpApi => stack.api_url(),
            EntryPoint::FunctionUrl => stack.function_url(self.function),
        };
        let url = format!("{base}{}", self.path.replace(SESSION, session));
        let mut request = http::client().request(self.method.clone(), url);
        for (name, value) in &self.headers {
            request = request.header(*name, value.as_slice());
        }
        request = match &self.authorization {
            Authorization::Token => request.bearer_auth(&caller.token),
            Authorization::Missing => request,
            Authorization::Header(value) => request.header("authorization", value.as_slice()),
        };
        if !self.body.is_empty() {
            request = request.body(self.body.clone());
        }
        send_request(request).await
    }
}
