//! Starts the whole environment for one test: database, Supabase, OpenAI, agents and functions.

mod builder;
mod delivery_queue;
mod environment;
mod setup;

use anyhow::{Context, Result, anyhow};
use axum::body::Bytes;
use http_client::{Method, StatusCode};
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

pub use builder::{Builder, PROJECT};
pub use environment::{Environment, KeyStyle, NAMESPACE, ORIGIN, sealing_key};

use crate::agents::AgentFleet;
use crate::http;
use crate::lambda::Lambda;
use crate::model::FakeModel;
use crate::openai::FakeOpenAi;
use crate::postgres::Database;
use crate::supabase::{Gateway, Issuer, OldKey, Webhook};

/// The functions and everything that they connect to. Stacks share only the machine, the binaries
/// and the PostgreSQL server process, so many can run side by side.
pub struct LocalStack {
    // Dropped in this input: clients before servers.
    lambda: Lambda,
    webhook: Option<Webhook>,
    supabase: Gateway,
    openai: FakeOpenAi,
    model: FakeModel,
    agents: AgentFleet,
    database: Database,
    environment: Environment,
}

impl LocalStack {
    /// Starts a stack with the defaults: current default grants, ChatKit configured, new API keys,
    /// functions built for tests.
    pub async fn start() -> Result<Self> {
        Self::builder().start().await
    }

    /// Returns a builder for a stack that differs from the default.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Base URL of the HTTP API, without a trailing slash.
    pub fn api_url(&self) -> String {
        self.lambda.api_url()
    }

    /// Base URL of the stage of the REST API with response streaming, without a trailing slash.
    pub fn rest_api_url(&self) -> String {
        self.lambda.rest_api_url()
    }

    /// URL of one function, without a trailing slash. For an unknown function, a URL where no
    /// server listens.
    pub fn function_url(&self, function: &str) -> String {
        self.lambda.function_url(function).unwrap_or_else(|_| "http://127.0.0.1:1".to_owned())
    }

    pub fn supabase(&self) -> &Gateway {
        &self.supabase
    }

    /// The issuer of the users' tokens.
    pub fn issuer(&self) -> &Issuer {
        self.supabase.issuer()
    }

    pub fn openai(&self) -> &FakeOpenAi {
        &self.openai
    }

    /// The model server of self-hosted agents.
    pub fn model(&self) -> &FakeModel {
        &self.model
    }

    pub fn agents(&self) -> &AgentFleet {
        &self.agents
    }

    /// The database webhook that calls the dispatcher. `None` in a stack without a dispatcher.
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

    /// The psql command that opens the database.
    pub fn psql(&self) -> String {
        self.database.psql()
    }

    /// The environment of the functions.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Calls an RPC with the secret key, as the functions do.
    pub async fn rpc(&self, name: &str, arguments: Value) -> Result<(StatusCode, Value)> {
        self.rest(self.supabase.secret_key(), Method::POST, &format!("/rpc/{name}"), Some(arguments)).await
    }

    /// Invokes a scheduled function once and returns its report.
    pub async fn run_job(&self, function: &str) -> Result<Value> {
        let event = Bytes::from_static(br#"{"source":"aws.scheduler"}"#);
        let id = Uuid::new_v4().to_string();
        let answer = self.lambda.function(function)?.invoke(&id, "Root=1-0-0", event).await;
        let report = answer.map_err(|failure| anyhow!("a run of {function} failed: {failure:?}"))?;
        serde_json::from_slice(&report).with_context(|| format!("the report of {function} is not JSON"))
    }

    /// Invokes an administrative function and returns its report. If the function fails, the error
    /// has its message.
    pub async fn invoke_admin(&self, function: &str, input: &Value) -> Result<Value> {
        let id = Uuid::new_v4().to_string();
        let answer =
            self.lambda.function(function)?.invoke(&id, "Root=1-0-0", input.to_string().into()).await;
        let report = answer.map_err(|failure| anyhow!("an invocation of {function} failed: {failure:?}"))?;
        serde_json::from_slice(&report).with_context(|| format!("the report of {function} is not JSON"))
    }

    /// Sends a request to PostgREST. `key_or_token` is an API key, or a user's token, which is sent
    /// with the publishable key. Returns null for an empty body.
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
        let response = request.send().await.with_context(|| format!("sending {path} to PostgREST"))?;
        let (status, body) =
            (response.status(), response.text().await.context("reading PostgREST's response")?);
        let body = if body.is_empty() { Value::Null } else { serde_json::from_str(&body).context(body)? };
        Ok((status, body))
    }

    /// Replaces the key that signs the users' tokens.
    pub fn rotate_keys(&self, old: OldKey) -> Result<()> {
        self.issuer().rotate(old)
    }

    /// Returns every line that the functions have written to standard output and error.
    pub fn logs(&self) -> Vec<String> {
        self.lambda.logs().lines().into_iter().map(|line| line.text).collect()
    }

    /// Stops the functions and returns every line that they wrote.
    pub async fn final_logs(&self) -> Vec<String> {
        self.lambda.stop().await;
        self.logs()
    }

    /// Stops everything and waits for it. Dropping a stack stops it without waiting.
    pub async fn stop(self) -> Result<()> {
        self.lambda.stop().await;
        drop((self.lambda, self.webhook, self.supabase, self.openai, self.agents));
        self.database.remove().await
    }
}
