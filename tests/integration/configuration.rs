//! The environment of functions: a function with an invalid environment does not start and reports
//! every error without values. It receives only the variables that it needs.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::lambda::LogLine;
use local_stack::{Builder, LocalStack, lambda};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};

/// A part of every invalid value, by which a test finds a value in a log line.
const CANARY: &str = "c4n4ry";

const INVALID: [(&str, &str); 18] = [
    ("SUPABASE_URL", "https://postgres:c4n4ry@db.example.com"),
    ("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry"),
    ("SUPABASE_SECRET_KEY", "sb_publishable_c4n4ry"),
    ("OPENAI_CHATKIT_SECRET", "sk-c4n4ry\nand another line"),
    ("OPENAI_CHATKIT_PROJECT", "sk-proj-c4n4ry"),
    ("OPENAI_CHATKIT_BASE_URL", "http://c4n4ry.example.com/v1"),
    ("CHATKIT_API_URL", "http://c4n4ry.example.com/chatkit"),
    ("CHATKIT_DOMAIN_KEY", "c4n4ry c4n4ry"),
    ("MODEL_BASE_URL", "http://c4n4ry.example.com/v1"),
    ("MODEL_API_KEY", "sk-c4n4ry\nand another line"),
    ("CHATKIT_SEALING_KEYS", "k1:c4n4ry"),
    ("CORS_ALLOWED_ORIGINS", "https://app.example.com, sb_secret_c4n4ry, https://c4n4ry.example.com/"),
    ("CORS_ALLOWED_HEADERS", "x-c4n4ry, c4n4ry: 1"),
    ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "c4n4ry,,c4n4ry"),
    ("REQUIRE_AAL2_TO_DECIDE", "c4n4ry"),
    ("DATABASE_WEBHOOK_SECRET", "c4n4ry"),
    ("ROUTE_EVENTS_FUNCTION", "c4n4ry/c4n4ry"),
    ("AGENT_CREDENTIALS", r#"{"payables":{"origin":"http://c4n4ry.example.com","bearer":"c4n4ry"}}"#),
];

const READ_ONLY: [&str; 9] = [
    "get-escalation",
    "get-session",
    "list-agents",
    "list-changes",
    "list-escalations",
    "list-events",
    "list-messages",
    "list-sessions",
    "get-metrics",
];
const WRITING: [&str; 6] = [
    "cancel-session",
    "claim-escalation",
    "create-session",
    "record-events",
    "release-escalation",
    "stop-response",
];
/// Functions that write and have no HTTP callers, so that they do not verify tokens.
const NON_HTTP: [&str; 3] = ["erase-user", "expire-sessions", "route-events"];
/// Streams the chat, for callers with a client secret.
const STREAMING: &str = "serve-chatkit";
/// Receives the database webhook, and has no key of Supabase.
const RECEIVING: &str = "receive-webhook";
/// Starts with an invalid environment and reports its errors (see `doctor`).
const DOCTOR: [&str; 1] = ["doctor"];
/// Reads with the caller's token and writes with the secret key.
const DECIDING: &str = "decide-escalation";

/// All functions except the doctor.
fn functions() -> impl Iterator<Item = &'static str> {
    READ_ONLY.into_iter().chain(WRITING).chain(NON_HTTP).chain([DECIDING, STREAMING, RECEIVING])
}

/// The Supabase keys of a function.
fn keys(function: &str) -> &'static [&'static str] {
    match function {
        DECIDING => &["SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY"],
        RECEIVING => &[],
        _ if READ_ONLY.contains(&function) => &["SUPABASE_PUBLISHABLE_KEY"],
        _ => &["SUPABASE_SECRET_KEY"],
    }
}

/// The variables of [`INVALID`] that a function reads.
fn variables(function: &str) -> BTreeSet<&'static str> {
    if function == RECEIVING {
        return BTreeSet::from(["DATABASE_WEBHOOK_SECRET", "ROUTE_EVENTS_FUNCTION"]);
    }
    let mut read = BTreeSet::from(["SUPABASE_URL"]);
    read.extend(keys(function));
    if !NON_HTTP.contains(&function) {
        read.extend(["CORS_ALLOWED_ORIGINS", "CORS_ALLOWED_HEADERS"]);
    }
    if !function.starts_with("list-")
        && !function.ends_with("-escalation")
        && ![DECIDING, "get-metrics", "stop-response", STREAMING].contains(&function)
    {
        read.extend(["OPENAI_CHATKIT_SECRET", "OPENAI_CHATKIT_PROJECT", "OPENAI_CHATKIT_BASE_URL"]);
    }
    if function.contains("-escalation") || ["record-events", "get-session", STREAMING].contains(&function) {
        read.extend(["OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "REQUIRE_AAL2_TO_DECIDE"]);
    }
    if function == "create-session" {
        read.extend(["CHATKIT_API_URL", "CHATKIT_DOMAIN_KEY", "CHATKIT_SEALING_KEYS"]);
    }
    if function == STREAMING {
        read.extend(["MODEL_BASE_URL", "MODEL_API_KEY", "AGENT_CREDENTIALS"]);
    }
    if function == "route-events" {
        read.insert("AGENT_CREDENTIALS");
    }
    read
}

#[tokio::test]
async fn invalid_variables_are_all_reported_without_values() -> Result<()> {
    let stack = stack_with_invalid_variables().start().await?;
    let lines = start_errors(&stack).await?;
    for function in functions() {
        let line: Value = serde_json::from_str(only_line(&lines, function)?)?;
        ensure!(line["level"] == "ERROR" && line["message"] == "the function cannot start", "{line}");
        let error = line["error"].as_str().context("no error")?;
        let expected = variables(function);
        let reported: BTreeSet<_> =
            INVALID.iter().map(|(name, _)| *name).filter(|name| error.contains(name)).collect();
        ensure!(reported == expected, "{function} reports {reported:?} instead of {expected:?}: {error}");
        ensure!(error.contains(&format!("{} mistake(s)", expected.len())), "{function}: {error}");
    }
    let leak = lines.iter().find(|line| line.text.contains(CANARY));
    ensure!(leak.is_none(), "a log line contains a value: {leak:?}");
    Ok(())
}

#[tokio::test]
async fn missing_variables_are_reported_if_required() -> Result<()> {
    let stack = stack_without_variables().start().await?;
    let lines = start_errors(&stack).await?;
    for function in functions() {
        let (line, keys) = (only_line(&lines, function)?, keys(function));
        // ChatKit, CORS origins and agent credentials are optional.
        let missing = match function {
            RECEIVING => vec!["DATABASE_WEBHOOK_SECRET", "ROUTE_EVENTS_FUNCTION"],
            STREAMING => [&["SUPABASE_URL"], keys, &["MODEL_API_KEY"]].concat(),
            _ => [&["SUPABASE_URL"], keys].concat(),
        };
        let named = missing.iter().map(|name| format!("; {name} is not set")).collect::<String>();
        let expected = format!("{} mistake(s){named}", missing.len());
        ensure!(line.contains(&expected), "{function}: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn read_only_functions_start_without_secret_key() -> Result<()> {
    let stack = stack_without("SUPABASE_SECRET_KEY").start().await?;
    let caller = TestClient::new(&stack).await?;
    for path in ["/chatkit/agents", "/chatkit/changes", "/chatkit/sessions", "/chatkit/escalations"] {
        caller.get(path).await?.expect(200)?;
    }
    let unknown_session = "/chatkit/sessions/01981d3c-0000-7000-8000-000000000000";
    let lists = ["/events", "/messages"].map(|list| format!("{unknown_session}{list}"));
    for path in [unknown_session.to_owned()].into_iter().chain(lists) {
        caller.get(&path).await?.problem(404, "session_not_found")?;
    }
    let escalation = "/chatkit/escalations/01981d3c-0000-7000-8000-000000000000";
    caller.get(escalation).await?.problem(404, "escalation_not_found")?;
    for path in [
        "/chatkit/sessions".to_owned(),
        format!("{unknown_session}/events"),
        format!("{unknown_session}/cancel"),
        format!("{unknown_session}/stop"),
        format!("{escalation}/claim"),
        format!("{escalation}/release"),
        format!("{escalation}/decision"),
    ] {
        let response = caller.post(&path, json!({})).await?;
        ensure!(
            response.status == 500 && response.body == json!({ "message": "Internal Server Error" }),
            "{response:?}"
        );
    }
    for function in NON_HTTP {
        ensure!(stack.run_job(function).await.is_err(), "{function} ran without its key");
    }
    stack.lambda().stop().await;
    for function in WRITING.into_iter().chain(NON_HTTP).chain([DECIDING]) {
        let lines = stack.lambda().logs().lines();
        let line = only_line(&lines, function)?;
        ensure!(line.contains("1 mistake(s); SUPABASE_SECRET_KEY is not set"), "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn functions_receive_only_secrets_that_they_need() -> Result<()> {
    let stack = LocalStack::builder().legacy_tokens(true).start().await?;
    let template = &lambda::workspace().await?.template;
    let secret = stack.supabase().secret_key();
    for function in functions() {
        let environment = stack.environment().for_function(template.function(function)?);
        let writes = !READ_ONLY.contains(&function) && function != RECEIVING;
        let seals = function == "create-session";
        // The JWT secret is for functions that verify tokens.
        let verifies = !NON_HTTP.contains(&function) && ![STREAMING, RECEIVING].contains(&function);
        for (name, needed) in [
            ("SUPABASE_SECRET_KEY", writes),
            ("CHATKIT_SEALING_KEYS", seals),
            ("SUPABASE_JWT_SECRET", verifies),
            ("MODEL_API_KEY", function == STREAMING),
            ("DATABASE_WEBHOOK_SECRET", function == RECEIVING),
        ] {
            ensure!(
                environment.contains_key(name) == needed,
                "{function}: {name} is set: {}, needed: {needed}",
                !needed
            );
        }
        let under_another_name = environment.iter().find(|(name, value)| {
            *name != "SUPABASE_SECRET_KEY" && (value.contains(secret) || value.contains("service_role"))
        });
        ensure!(under_another_name.is_none(), "{function} has the key in {under_another_name:?}");
    }
    let all: BTreeSet<_> = stack.lambda().names().collect();
    let listed = functions().chain(DOCTOR).collect();
    ensure!(all == listed, "the lists of this file and the functions differ: {all:?}");
    Ok(())
}

#[tokio::test]
async fn create_session_without_sealing_keys_does_not_start() -> Result<()> {
    let stack = stack_without("CHATKIT_SEALING_KEYS").start().await?;
    let caller = TestClient::new(&stack).await?;
    let response = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    ensure!(response.status == 500, "{response:?}");
    caller.get("/chatkit/sessions").await?.expect(200)?;
    let unknown_session = "/chatkit/sessions/01981d3c-0000-7000-8000-000000000000";
    caller.cancel(unknown_session).await?.problem(404, "session_not_found")?;
    stack.lambda().stop().await;
    let lines = stack.lambda().logs().lines();
    let line = only_line(&lines, "create-session")?;
    ensure!(line.contains("1 mistake(s); CHATKIT_SEALING_KEYS is not set"), "{line}");
    Ok(())
}

#[tokio::test]
async fn sealing_keys_are_optional_without_chatkit() -> Result<()> {
    let stack = stack_without("CHATKIT_SEALING_KEYS").chatkit(false).start().await?;
    let session = TestClient::new(&stack).await?.open_session().await?;
    ensure!(session["chatkit"].is_null(), "{session}");
    Ok(())
}

fn stack_without(name: &str) -> Builder {
    LocalStack::builder().env(name, "")
}

fn stack_with_invalid_variables() -> Builder {
    // At the most verbose log level.
    let builder = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "TRACE");
    INVALID.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
}

fn stack_without_variables() -> Builder {
    INVALID.iter().fold(LocalStack::builder(), |builder, (name, _)| builder.env(name, ""))
}

/// Calls every function once, checks that it does not start, and returns the log lines.
async fn start_errors(stack: &LocalStack) -> Result<Vec<LogLine>> {
    for function in stack.lambda().names() {
        let response = local_stack::http::client().get(stack.function_url(function)).send().await?;
        ensure!(response.status() == 502, "{function} returned {}", response.status());
        let body = response.text().await?;
        let is_opaque = !body.contains("SUPABASE") && !body.contains(CANARY);
        ensure!(is_opaque, "{function} returned its configuration to the caller: {body}");
    }
    stack.lambda().stop().await;
    Ok(stack.lambda().logs().lines())
}

/// Returns the log line of a function that wrote exactly one.
fn only_line<'a>(lines: &'a [LogLine], function: &str) -> Result<&'a str> {
    let own: Vec<_> = lines.iter().filter(|line| line.function == function).collect();
    let [line] = own.as_slice() else { anyhow::bail!("{function} wrote {} lines: {own:#?}", own.len()) };
    Ok(&line.text)
}
