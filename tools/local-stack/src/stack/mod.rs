//! One way to start all of it: a database, Supabase, OpenAI's stand-in, agents and the functions, for one test alone.

mod builder;
mod deliveries;
mod environment;
mod people;

use anyhow::{Context, Result, anyhow};
use axum::body::Bytes;
use http_client::{Method, StatusCode};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

pub use builder::{Builder, PROJECT};
pub use environment::{Environment, KeyStyle, NAMESPACE, ORIGIN};

use crate::agents::AgentFleet;
use crate::http;
use crate::lambda::Lambda;
use crate::openai::FakeOpenAi;
use crate::postgres::Database;
use crate::supabase::{Gateway, Issuer, OldKey, Webhook};

/// Everything a function can reach, and the doors to the functions. Worlds share nothing but the machine, the programs
/// and the server process of PostgreSQL, so that many can run side by side.
pub struct LocalStack {
    // Ended in this order: those who ask before those who answer.
    lambda: Lambda,
    webhook: Option<Webhook>,
    supabase: Gateway,
    chatkit: FakeOpenAi,
    agents: AgentFleet,
    database: Database,
    environment: Environment,
}

impl LocalStack {
    /// A stack as it is by default: today's default grants, ChatKit configured, new-style keys, functions built for tests.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// A stack that differs from the default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The HTTP API: all routes under one base URL, without a slash at its end.
    pub fn api_url(&self) -> String {
        self.lambda.api_url()
    }

    /// A function's own URL, without a slash at its end. There is nothing there for a function that does not exist.
    pub fn function_url(&self, function: &str) -> String {
        self.lambda.function_url(function).unwrap_or_else(|_| "http://127.0.0.1:1".to_owned())
    }

    /// The Supabase project.
    pub fn supabase(&self) -> &Gateway {
        &self.supabase
    }

    /// Who signs the users' tokens.
    pub fn issuer(&self) -> &Issuer {
        self.supabase.issuer()
    }

    /// OpenAI.
    pub fn openai(&self) -> &FakeOpenAi {
        &self.chatkit
    }

    /// The agents' MCP servers.
    pub fn agents(&self) -> &AgentFleet {
        &self.agents
    }

    /// What wakes the orchestrator; there is none in a stack without it.
    pub fn webhook(&self) -> Option<&Webhook> {
        self.webhook.as_ref()
    }

    /// The functions' processes.
    pub fn lambda(&self) -> &Lambda {
        &self.lambda
    }

    /// The database as its superuser sees it: no policy and no grant applies.
    pub fn database(&self) -> &PgPool {
        self.database.pool()
    }

    /// The command that opens the database for a person.
    pub fn psql(&self) -> String {
        self.database.psql()
    }

    /// The configuration that the functions were given.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Calls an RPC function as the functions do, with the secret key.
    pub async fn rpc(&self, name: &str, arguments: Value) -> Result<(StatusCode, Value)> {
        self.rest(self.supabase.secret_key(), Method::POST, &format!("/rpc/{name}"), Some(arguments)).await
    }

    /// One run of a scheduled function, and its report.
    pub async fn run_job(&self, function: &str) -> Result<Value> {
        let event = Bytes::from_static(br#"{"source":"aws.scheduler"}"#);
        let id = Uuid::new_v4().to_string();
        let answer = self.lambda.function(function)?.invoke(&id, "Root=1-0-0", event).await;
        let report = answer.map_err(|failure| anyhow!("a run of {function} failed: {failure:?}"))?;
        serde_json::from_slice(&report).with_context(|| format!("the report of {function} is no JSON"))
    }

    /// An operator's order to a function, and its report. What a failed one says is the error's text.
    pub async fn invoke_admin(&self, function: &str, order: &Value) -> Result<Value> {
        let id = Uuid::new_v4().to_string();
        let answer =
            self.lambda.function(function)?.invoke(&id, "Root=1-0-0", order.to_string().into()).await;
        let report = answer.map_err(|failure| anyhow!("an order of {function} failed: {failure:?}"))?;
        serde_json::from_slice(&report).with_context(|| format!("the report of {function} is no JSON"))
    }

    /// Asks PostgREST directly. `key_or_token` is any API key, or a user's token, with which the publishable key goes along.
    /// The body that comes back is null where there is none.
    pub async fn rest(
        &self,
        key_or_token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value)> {
        let request = http::client().request(method, format!("{}/rest/v1{path}", self.supabase.url()));
        let known = [self.supabase.legacy_anon_key(), self.supabase.legacy_service_key()];
        let mut request = match key_or_token {
            key if key.starts_with("sb_") => request.header("apikey", key),
            key if known.contains(&key) => request.header("apikey", key).bearer_auth(key),
            token => request.header("apikey", self.supabase.publishable_key()).bearer_auth(token),
        };
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.with_context(|| format!("asking PostgREST for {path}"))?;
        let (status, body) =
            (response.status(), response.text().await.context("reading PostgREST's answer")?);
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(&body).context(body)? };
        Ok((status, body))
    }

    /// Has users signed in with another key from now on.
    pub fn rotate_keys(&self, old: OldKey) -> Result<()> {
        self.issuer().rotate(old)
    }

    /// Every line any function wrote so far, to standard output or error.
    pub fn logs(&self) -> Vec<String> {
        self.lambda.logs().lines().into_iter().map(|line| line.text).collect()
    }

    /// Every line any function wrote, once all have been ended: nothing can be added any more.
    pub async fn final_logs(&self) -> Vec<String> {
        self.lambda.end().await;
        self.logs()
    }

    /// Ends everything, and waits for it. Dropping a stack ends it too, without waiting.
    pub async fn stop(self) -> Result<()> {
        self.lambda.end().await;
        drop((self.lambda, self.webhook, self.supabase, self.chatkit, self.agents));
        self.database.remove().await
    }
}
