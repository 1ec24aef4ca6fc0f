//! A typical request for each function.

use anyhow::{Context, Result, ensure};
use axum::body::Bytes;
use axum::http::Method;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::HELLO;
use crate::bench::event;
use crate::dev::SeedData;
use local_stack::LocalStack;
use local_stack::http;
use local_stack::lambda;
use local_stack::lambda::Route;
use local_stack::model::MODEL;

/// Creates events for the functions.
pub struct Samples {
    token: String,
    approver: String,
    api: String,
    session: String,
    /// An open escalation of the session. A session and a user may have few of them.
    escalation: OnceCell<String>,
    /// The client secret of a session with a self-hosted agent.
    client_secret: String,
    webhook_secret: String,
}

/// The self-hosted agent that is registered for the chat.
const CHAT_AGENT: &str = "bench_chat";

impl Samples {
    /// Creates a user and opens a session for the functions that need one. The secret is that of
    /// the webhook.
    pub async fn prepare(stack: &LocalStack, webhook_secret: &str) -> Result<Self> {
        let seed = SeedData::create(stack).await?;
        stack.raise_limits(seed.clerk.user.org_id).await?;
        let mut samples = Self {
            token: seed.clerk.token,
            approver: seed.approver.token,
            api: stack.api_url(),
            session: String::new(),
            escalation: OnceCell::new(),
            client_secret: String::new(),
            webhook_secret: webhook_secret.to_owned(),
        };
        samples.session = samples.open().await?;
        let org_id = seed.clerk.user.org_id;
        stack.register_self_hosted_agent(org_id, CHAT_AGENT, json!({ "p_model": MODEL })).await?;
        let chat = samples.post("", json!({ "agentId": CHAT_AGENT })).await?;
        let client_secret = chat["chatkit"]["clientSecret"].as_str().context("no client secret")?;
        samples.client_secret = client_secret.to_owned();
        Ok(samples)
    }

    /// Returns new events for a function.
    pub async fn events(&self, function: &str, count: usize) -> Result<Vec<Bytes>> {
        let mut events = Vec::new();
        for _ in 0..count {
            events.push(self.event(function).await?);
        }
        Ok(events)
    }

    async fn event(&self, function: &str) -> Result<Bytes> {
        let own = |route: &&Route| route.function == function && route.method != Some(Method::OPTIONS);
        let route = match lambda::workspace().await?.routes.iter().find(own) {
            Some(route) => route.clone(),
            None if function == HELLO => {
                Route { function: HELLO.to_owned(), method: Some(Method::GET), path: "/".to_owned() }
            }
            // Its warm calls wait for the shortest time between two starts.
            None if function == "receive-webhook" => {
                let header = ("x-webhook-secret", self.webhook_secret.as_str());
                return event::build_with(header, &Method::POST, "/", &json!({}));
            }
            // A scheduled function has no route, and ignores its event.
            None => return Ok(Bytes::from_static(br#"{"source":"aws.scheduler"}"#)),
        };
        let method = route.method.clone().unwrap_or(Method::GET);
        // A session can be cancelled only once, and an escalation decided only once.
        let (id, body) = match function {
            "cancel-session" => (self.open().await?, Value::Null),
            "decide-escalation" => self.open_escalation(&self.open().await?).await?,
            // A request without a body.
            "stop-response" => (self.session.clone(), Value::Null),
            "get-escalation" | "claim-escalation" | "release-escalation" => {
                let open = async || Ok::<_, anyhow::Error>(self.open_escalation(&self.session).await?.0);
                (self.escalation.get_or_try_init(open).await?.clone(), Value::Null)
            }
            _ if method == Method::POST => (self.session.clone(), body(function)),
            _ => (self.session.clone(), Value::Null),
        };
        let path = route.path.replace("{id}", &id);
        // Members cannot read metrics.
        let token = match function {
            "get-metrics" => &self.approver,
            "serve-chatkit" => &self.client_secret,
            _ => &self.token,
        };
        event::build(token, &method, &path, &body)
    }

    async fn open(&self) -> Result<String> {
        let opened = self.post("", json!({ "agentId": "accounts_payable" })).await?;
        Ok(opened["id"].as_str().context("the session has no id")?.to_owned())
    }

    /// Opens an escalation in a session. Returns its id and a decision.
    async fn open_escalation(&self, session: &str) -> Result<(String, Value)> {
        let payload = json!({ "reason": "Is it right?", "decisions": ["approve"] });
        let event = json!({ "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": payload });
        self.post(&format!("/{session}/events"), event).await?;
        let url = format!("{}/chatkit/sessions/{session}", self.api);
        let read = http::client().get(url).bearer_auth(&self.token).send().await?.json::<Value>().await?;
        let escalation = &read["escalations"][0];
        let id = escalation["id"].as_str().context("the session has no escalation")?;
        Ok((
            id.to_owned(),
            // The most common decision. An answer with a schema takes some milliseconds more.
            json!({ "decision": "approve", "subjectHash": escalation["subjectHash"] }),
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

/// Returns the request body of a function; an empty object by default.
fn body(function: &str) -> Value {
    match function {
        "create-session" => json!({ "agentId": "accounts_payable" }),
        "record-events" => {
            json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "approve" } })
        }
        // The model is not asked, because its time is not the function's.
        "serve-chatkit" => json!({ "type": "threads.list", "params": {} }),
        _ => json!({}),
    }
}
