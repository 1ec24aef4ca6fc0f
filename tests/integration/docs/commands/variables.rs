//! The values of the variables that the pages describe.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use dev_tools::dev::SeedData;
use local_stack::LocalStack;
use local_stack::aws::FakeAws;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::docs::examples::agents::{BEARER, ExampleAgent, start_python_agent};
use crate::support::client::TestClient;

const EMAIL: &str = "clerk@example.com";
const PASSWORD: &str = "correct-horse";

pub struct Variables {
    pub all: BTreeMap<String, String>,
    _agent: ExampleAgent,
    sign_in: JoinHandle<()>,
}

impl Drop for Variables {
    fn drop(&mut self) {
        self.sign_in.abort();
    }
}

/// Starts what the commands call besides the stack.
pub async fn start(stack: &LocalStack, seed: &SeedData, aws: &FakeAws) -> Result<Variables> {
    let agent = start_python_agent().await?;
    let key = stack.supabase().publishable_key();
    let (supabase, sign_in) = serve_sign_in(key, &seed.clerk.token).await?;
    let clerk = TestClient::from_user(stack, seed.clerk.user.clone());
    let session = clerk.open_session().await?;
    let session = session["id"].as_str().context("no session")?.to_owned();
    let environment = stack.environment().all_variables();
    let webhook_secret = environment.get("DATABASE_WEBHOOK_SECRET").context("no secret")?;
    let mut all: BTreeMap<String, String> =
        seed.people().map(|person| (person.variable.to_owned(), person.token.clone())).into();
    let physical = |id: &str| Ok::<_, anyhow::Error>(aws.physical_id(id)?.to_owned());
    let more = [
        ("AGENT", agent.url()),
        ("AGENT_BEARER", BEARER.to_owned()),
        ("API", stack.api_url()),
        ("API_ID", physical("HttpApi")?),
        ("CERTIFICATE_ARN", "arn:aws:acm:eu-central-1:111122223333:certificate/c1".to_owned()),
        ("DATABASE_URL", connection(&stack.psql())?),
        ("DATABASE_WEBHOOK_SECRET", webhook_secret.clone()),
        ("EMAIL", EMAIL.to_owned()),
        ("EXPIRE_SESSIONS", physical("ExpireSessions")?),
        ("ORG", seed.clerk.user.org_id.to_string()),
        ("PASSWORD", PASSWORD.to_owned()),
        ("PROJECT", "abcdefghijklmnopqrst".to_owned()),
        ("QUEUE", physical("ExpireSessionsDeadLetters")?),
        ("SECRET", "chatkit-sessions/webhook-secret".to_owned()),
        ("SESSION_ID", session),
        ("STACK", "chat".to_owned()),
        ("SUPABASE_PUBLISHABLE_KEY", key.to_owned()),
        ("SUPABASE_URL", supabase),
        ("TOKEN", clerk.token.clone()),
        ("USER_ID", seed.clerk.user.id.to_string()),
        ("WEBHOOK_URL", stack.function_url("receive-webhook")),
    ];
    all.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Ok(Variables { all, _agent: agent, sign_in })
}

/// The connection string of `psql --host H --username U DATABASE`.
fn connection(psql: &str) -> Result<String> {
    let words: Vec<&str> = psql.split(' ').collect();
    ensure!(words.len() == 6, "expected two options and a database: {psql}");
    Ok(format!("host={} user={} dbname={}", words[2], words[4], words[5]))
}

#[derive(Clone)]
struct SignIn {
    key: String,
    token: String,
}

/// Supabase Auth, as far as one person signs in with a password.
async fn serve_sign_in(key: &str, token: &str) -> Result<(String, JoinHandle<()>)> {
    let state = SignIn { key: key.to_owned(), token: token.to_owned() };
    let app = Router::new().route("/auth/v1/token", post(sign_in)).with_state(state);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let serving = tokio::spawn(async move {
        axum::serve(listener, app).await.ok();
    });
    Ok((url, serving))
}

async fn sign_in(
    State(state): State<SignIn>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let has_key = headers.get("apikey").is_some_and(|key| key.as_bytes() == state.key.as_bytes());
    let is_password = query.get("grant_type").is_some_and(|grant| grant == "password");
    if has_key && is_password && body == json!({ "email": EMAIL, "password": PASSWORD }) {
        return (StatusCode::OK, Json(json!({ "access_token": state.token })));
    }
    (StatusCode::BAD_REQUEST, Json(json!({ "error_code": "invalid_credentials" })))
}
