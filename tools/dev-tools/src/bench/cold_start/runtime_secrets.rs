//! Functions that fetch their secrets at start, and a server in the role of AWS Secrets Manager. It
//! has no TLS, and its time counts as the upstreams' time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use local_stack::http::{Port, Server};
use local_stack::lambda::Binaries;
use local_stack::openai::ApiKey;
use local_stack::{LocalStack, PROJECT, sealing_key};
use serde_json::{Value, json};
use uuid::Uuid;

/// The variables whose values are references.
const SECRETS: [&str; 5] = [
    "SUPABASE_SECRET_KEY",
    "OPENAI_CHATKIT_SECRET",
    "CHATKIT_SEALING_KEYS",
    "DATABASE_WEBHOOK_SECRET",
    "AGENT_CREDENTIALS",
];

type Values = Arc<Mutex<HashMap<String, String>>>;

/// A stack whose functions fetch their secrets.
pub struct FetchingStack {
    pub stack: LocalStack,
    pub webhook_secret: String,
    /// The server of the secrets.
    pub secrets: Server,
}

impl FetchingStack {
    /// Starts a stack with these programs.
    pub async fn start(programs: Binaries) -> Result<Self> {
        let values = Values::default();
        let router = Router::new().fallback(answer).with_state(values.clone());
        let secrets = Port::free().await?.serve(router);
        let mut builder = LocalStack::builder()
            .binaries(programs)
            .env("AWS_LAMBDA_LOG_LEVEL", "INFO")
            .env("AWS_ENDPOINT_URL", &secrets.url());
        for name in SECRETS {
            builder = builder.env(name, &format!("secretsmanager:{name}"));
        }
        let stack = builder.start().await?;
        let openai = format!("sk-proj-{}", Uuid::new_v4().simple());
        stack.openai().replace_api_keys(ApiKey { key: openai.clone(), project: Some(PROJECT.to_owned()) });
        let webhook_secret = Uuid::new_v4().simple().to_string();
        let stored = [
            stack.supabase().secret_key().to_owned(),
            openai,
            sealing_key("k1")?,
            webhook_secret.clone(),
            stack.agents().credentials(),
        ];
        let stored = SECRETS.map(str::to_owned).into_iter().zip(stored);
        values.lock().unwrap_or_else(PoisonError::into_inner).extend(stored);
        Ok(Self { stack, webhook_secret, secrets })
    }
}

async fn answer(State(values): State<Values>, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    let name = request["SecretId"].as_str().unwrap_or_default();
    let value = values.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
    let (status, body) = match value {
        Some(value) => {
            let version = Uuid::new_v4();
            (StatusCode::OK, json!({ "Name": name, "SecretString": value, "VersionId": version }))
        }
        None => (StatusCode::BAD_REQUEST, json!({ "__type": "ResourceNotFoundException" })),
    };
    (status, [(CONTENT_TYPE, "application/x-amz-json-1.1")], body.to_string()).into_response()
}
