//! A request for each function that does its main job, so that what is timed is what people wait for.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use axum::http::{Method, Request};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::HELLO;
use crate::dev::Cast;
use local_stack::LocalStack;
use local_stack::http;
use local_stack::lambda;
use local_stack::lambda::{Circumstances, Door, Route};

/// Who asks, about what.
pub struct Samples {
    token: String,
    approver: String,
    api: String,
    session: String,
}

impl Samples {
    /// Signs somebody in and opens a session for those functions that need one.
    pub async fn prepare(stack: &LocalStack) -> Result<Self> {
        let cast = Cast::assemble(stack).await?;
        stack.raise_limits(cast.clerk.user.org_id).await?;
        let mut samples = Self {
            token: cast.clerk.token,
            approver: cast.approver.token,
            api: stack.api_url(),
            session: String::new(),
        };
        samples.session = samples.open().await?;
        Ok(samples)
    }

    /// An event for this function, new each time.
    pub async fn event(&self, function: &str) -> Result<Bytes> {
        let own = |route: &&Route| route.function == function && route.method != Some(Method::OPTIONS);
        let route = match lambda::workspace().await?.routes.iter().find(own) {
            Some(route) => route.clone(),
            None if function == HELLO => {
                Route { function: HELLO.to_owned(), method: Some(Method::GET), path: "/".to_owned() }
            }
            // No door leads to what runs on a schedule, and what the schedule says is not looked at.
            None => return Ok(Bytes::from_static(br#"{"source":"aws.scheduler"}"#)),
        };
        let method = route.method.clone().unwrap_or(Method::GET);
        // A session can be ended once, and an escalation decided once.
        let (id, body) = match function {
            "cancel-session" => (self.open().await?, Value::Null),
            "decide-escalation" => self.ask().await?,
            _ if method == Method::POST => (self.session.clone(), body(function)),
            _ => (self.session.clone(), Value::Null),
        };
        let path = route.path.replace("{id}", &id);
        // Members are told no metrics.
        let token = if function == "get-metrics" { &self.approver } else { &self.token };
        self.wrapped(token, &method, &path, &body)
    }

    fn wrapped(&self, token: &str, method: &Method, path: &str, body: &Value) -> Result<Bytes> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        let (parts, ()) = request.body(())?.into_parts();
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let circumstances = Circumstances {
            request_id: Uuid::new_v4().to_string(),
            trace_id: "Root=1-00000000-000000000000000000000000".to_owned(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: Timestamp::now(),
        };
        Ok(Bytes::from(lambda::event(Door::FunctionUrl, &parts, &body, &circumstances).to_string()))
    }

    async fn open(&self) -> Result<String> {
        let opened = self.post("", json!({ "agentId": "accounts_payable" })).await?;
        Ok(opened["id"].as_str().context("a session without an id")?.to_owned())
    }

    /// Opens an escalation, and answers with its id and a decision on it.
    async fn ask(&self) -> Result<(String, Value)> {
        let payload = json!({ "reason": "Is it right?", "decisions": ["approve"] });
        let event = json!({ "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": payload });
        self.post(&format!("/{}/events", self.session), event).await?;
        let url = format!("{}/chatkit/sessions/{}", self.api, self.session);
        let read = http::client().get(url).bearer_auth(&self.token).send().await?.json::<Value>().await?;
        let asked = &read["escalations"][0];
        let id = asked["id"].as_str().context("no escalation")?;
        Ok((
            id.to_owned(),
            // One click, as most are. An answer that is checked against a schema takes some milliseconds more.
            json!({ "decision": "approve", "subjectHash": asked["subjectHash"] }),
        ))
    }

    async fn post(&self, path: &str, body: Value) -> Result<Value> {
        let request = http::client().post(format!("{}/chatkit/sessions{path}", self.api));
        let response = request.bearer_auth(&self.token).json(&body).send().await?;
        let (status, body) = (response.status(), response.json::<Value>().await?);
        ensure!(status == 201, "posting to /chatkit/sessions{path} answered {status}: {body}");
        Ok(body)
    }
}

/// What is posted. A function that is not named here is posted an empty object.
fn body(function: &str) -> Value {
    match function {
        "create-session" => json!({ "agentId": "accounts_payable" }),
        "record-events" => {
            json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "approve" } })
        }
        _ => json!({}),
    }
}
