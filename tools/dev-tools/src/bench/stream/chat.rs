//! A user of the chat, and the exchanges of that user with a process of `serve-chatkit`.

use std::pin::pin;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use axum::body::Bytes;
use axum::http::Method;
use local_stack::LocalStack;
use local_stack::agents::{Agent, TOOL};
use local_stack::chat_client::message;
use local_stack::http;
use local_stack::lambda::Process;
use local_stack::model::MODEL;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::bench::event;
use crate::bench::response::{require_success, split};

/// The function that streams the chat.
pub const FUNCTION: &str = "serve-chatkit";

/// The instructions of the agent, here and at the reference server.
pub const INSTRUCTIONS: &str = "You pay invoices.";

/// The agent of the benchmark.
const AGENT: &str = "bench_chat";

/// In the event of a part of the answer's text.
const TEXT_DELTA: &[u8] = b"assistant_message.content_part.text_delta";

/// Number of parts that wait for the benchmark.
const QUEUED_PARTS: usize = 64;

/// An organisation with an agent, and the stack that it is on.
#[derive(Clone, Copy)]
pub struct Organisation<'a> {
    pub stack: &'a LocalStack,
    id: Uuid,
}

impl<'a> Organisation<'a> {
    /// Registers the agent and raises the rate limits.
    pub async fn create(stack: &'a LocalStack) -> Result<Self> {
        let id = Uuid::new_v4();
        let settings = json!({ "p_model": MODEL, "p_instructions": INSTRUCTIONS });
        stack.register_self_hosted_agent(id, AGENT, settings).await?;
        stack.raise_limits(id).await?;
        Ok(Self { stack, id })
    }

    /// Adds a user and opens a session.
    pub async fn open_session(self) -> Result<ChatUser> {
        let user = self.stack.add_user(self.id, OrgRole::Member).await?;
        let token = self.stack.issuer().token_builder(&user).sign();
        let request = http::client().post(format!("{}/chatkit/sessions", self.stack.api_url()));
        let response = request.bearer_auth(token).json(&json!({ "agentId": AGENT })).send().await?;
        let (status, body) = (response.status(), response.json::<Value>().await?);
        ensure!(status == 201, "opening a session answered {status}: {body}");
        let client_secret = body["chatkit"]["clientSecret"].as_str().context("no client secret")?;
        Ok(ChatUser { client_secret: client_secret.to_owned() })
    }

    /// Registers the tool of one of the stack's agents, which is called without a decision.
    pub async fn register_tool(self, agent: &Agent) -> Result<()> {
        let tool = json!({
            "name": TOOL, "policy": "auto", "risk": "low", "description": "Checks the VAT of an invoice.",
            "input_schema": {
                "type": "object", "required": ["invoice"],
                "properties": { "invoice": { "type": "string" }, "amount": { "type": "number" } },
            },
        });
        let tools = json!([tool]);
        self.stack.register_agent_server_with(self.id, AGENT, &agent.url(), Some(agent.id()), tools).await?;
        Ok(())
    }

    /// Starts a process of the function.
    pub async fn spawn(self) -> Result<Process> {
        self.stack.lambda().function(FUNCTION)?.spawn().await
    }
}

/// A user with a client secret.
pub struct ChatUser {
    client_secret: String,
}

impl ChatUser {
    /// Returns the event of a request.
    pub fn event(&self, kind: &str, params: Value) -> Result<Bytes> {
        let body = json!({ "type": kind, "params": params });
        event::build(&self.client_secret, &Method::POST, "/chatkit", &body)
    }

    /// Returns the event of a question in a new thread.
    pub fn create_thread(&self) -> Result<Bytes> {
        self.event("threads.create", json!({ "input": question() }))
    }

    /// Returns the event of a question in a thread.
    pub fn add_message(&self, thread_id: &str) -> Result<Bytes> {
        let params = json!({ "thread_id": thread_id, "input": question() });
        self.event("threads.add_user_message", params)
    }
}

/// Returns a new question: the same words again would be a repeated request.
pub fn question() -> Value {
    message(&format!("Is invoice {} paid?", Uuid::new_v4()))
}

pub struct Exchange {
    /// The time at which the first text of the answer arrived.
    pub first_token: Option<Instant>,
    response: Vec<u8>,
}

impl Exchange {
    /// Sends an event and reads the response. Calls `on_first_token` when the first text of the
    /// answer has arrived.
    pub async fn run(process: &mut Process, event: Bytes, on_first_token: impl FnOnce()) -> Result<Self> {
        let (sender, mut parts) = mpsc::channel(QUEUED_PARTS);
        let id = Uuid::new_v4().to_string();
        let mut exchange = Self { first_token: None, response: Vec::new() };
        let mut on_first_token = Some(on_first_token);
        let mut receive = |part: Bytes| {
            exchange.response.extend_from_slice(&part);
            if exchange.first_token.is_none() && contains(&exchange.response, TEXT_DELTA) {
                exchange.first_token = Some(Instant::now());
                if let Some(call) = on_first_token.take() {
                    call();
                }
            }
        };
        let mut invocation = pin!(process.invoke_with(&id, event::TRACE_ID, event, Some(sender)));
        let outcome = loop {
            tokio::select! {
                biased;
                Some(part) = parts.recv() => receive(part),
                outcome = &mut invocation => break outcome,
            }
        };
        outcome.map_err(|failure| anyhow!("{failure:?}"))?;
        while let Ok(part) = parts.try_recv() {
            receive(part);
        }
        require_success(&exchange.response)?;
        let body = exchange.body()?;
        ensure!(!body.contains(r#""type":"error""#), "the answer broke off: {body}");
        Ok(exchange)
    }

    /// Returns the body: events, or JSON.
    pub fn body(&self) -> Result<&str> {
        Ok(std::str::from_utf8(split(&self.response).1)?)
    }

    /// Returns the id of the thread that the request created.
    pub fn thread_id(&self) -> Result<String> {
        for frame in self.body()?.split_terminator("\n\n") {
            let event: Value = serde_json::from_str(frame.trim_start_matches("data: "))?;
            if event["type"] == "thread.created" {
                return Ok(event["thread"]["id"].as_str().context("the thread has no id")?.to_owned());
            }
        }
        Err(anyhow!("no thread was created: {}", self.body()?))
    }
}

/// Returns whether bytes contain a text.
pub fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

/// Returns whether a stream contains a text of the answer.
pub fn has_text(stream: &[u8]) -> bool {
    contains(stream, TEXT_DELTA)
}
