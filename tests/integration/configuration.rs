//! A function with mistakes in its environment does not start; it names all of them at once and shows no value. What it
//! does not need is not asked for, and what it must not have it is not given.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::Builder;
use local_stack::lambda::Line;
use local_stack::{LocalStack, lambda};
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient};

/// In every wrong value, so that no part of one can be shown unnoticed.
const CANARY: &str = "c4n4ry";

const WRONG: [(&str, &str); 13] = [
    ("SUPABASE_URL", "https://postgres:c4n4ry@db.example.com"),
    ("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry"),
    ("SUPABASE_SECRET_KEY", "sb_publishable_c4n4ry"),
    ("OPENAI_CHATKIT_SECRET", "sk-c4n4ry\nand another line"),
    ("OPENAI_CHATKIT_PROJECT", "sk-proj-c4n4ry"),
    ("OPENAI_CHATKIT_BASE_URL", "http://c4n4ry.example.com/v1"),
    ("CHATKIT_SEALING_KEYS", "k1:c4n4ry"),
    ("CORS_ALLOWED_ORIGINS", "https://app.example.com, sb_secret_c4n4ry, https://c4n4ry.example.com/"),
    ("CORS_ALLOWED_HEADERS", "x-c4n4ry, c4n4ry: 1"),
    ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "c4n4ry,,c4n4ry"),
    ("REQUIRE_AAL2_TO_DECIDE", "c4n4ry"),
    ("DATABASE_WEBHOOK_SECRET", "c4n4ry"),
    ("AGENT_CREDENTIALS", r#"{"payables":{"origin":"http://c4n4ry.example.com","bearer":"c4n4ry"}}"#),
];

const READING: [&str; 6] =
    ["get-session", "list-agents", "list-escalations", "list-messages", "list-sessions", "get-metrics"];
const WRITING: [&str; 3] = ["cancel-session", "create-session", "record-events"];
/// Write too. No user calls them, so they know nothing of callers and their pages.
const UNCALLED: [&str; 3] = ["erase-user", "expire-sessions", "route-events"];
/// Starts with whatever mistakes, and reports them (see `doctor`).
const OPERATED: [&str; 1] = ["doctor"];
/// Reads as the caller what it then decides as the service.
const DECIDING: &str = "decide-escalation";

/// All functions.
fn functions() -> impl Iterator<Item = &'static str> {
    READING.into_iter().chain(WRITING).chain(UNCALLED).chain([DECIDING])
}

/// The keys by which a function asks Supabase.
fn keys(function: &str) -> &'static [&'static str] {
    match function {
        DECIDING => &["SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY"],
        _ if READING.contains(&function) => &["SUPABASE_PUBLISHABLE_KEY"],
        _ => &["SUPABASE_SECRET_KEY"],
    }
}

/// What a function reads of the above.
fn variables(function: &str) -> BTreeSet<&'static str> {
    let mut read = BTreeSet::from(["SUPABASE_URL"]);
    read.extend(keys(function));
    if !UNCALLED.contains(&function) {
        read.extend(["CORS_ALLOWED_ORIGINS", "CORS_ALLOWED_HEADERS"]);
    }
    if !function.starts_with("list-") && ![DECIDING, "get-metrics"].contains(&function) {
        read.extend(["OPENAI_CHATKIT_SECRET", "OPENAI_CHATKIT_PROJECT", "OPENAI_CHATKIT_BASE_URL"]);
    }
    if [DECIDING, "record-events"].contains(&function) {
        read.extend(["OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "REQUIRE_AAL2_TO_DECIDE"]);
    }
    if function == "create-session" {
        read.insert("CHATKIT_SEALING_KEYS");
    }
    if function == "route-events" {
        read.extend(["DATABASE_WEBHOOK_SECRET", "AGENT_CREDENTIALS"]);
    }
    read
}

fn without(name: &str) -> Builder {
    LocalStack::builder().env(name, "")
}

fn wrong() -> Builder {
    // The most verbose log level.
    let builder = LocalStack::builder().env("AWS_LAMBDA_LOG_LEVEL", "TRACE");
    WRONG.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
}

fn missing() -> Builder {
    WRONG.iter().fold(LocalStack::builder(), |builder, (name, _)| builder.env(name, ""))
}

/// Asks every function once, each of which fails to start, and answers with what they wrote.
async fn started(stack: &LocalStack) -> Result<Vec<Line>> {
    for function in stack.lambda().names() {
        let answer = local_stack::http::client().get(stack.function_url(function)).send().await?;
        ensure!(answer.status() == 502, "{function} answers {}", answer.status());
        let told = answer.text().await?;
        ensure!(!told.contains("SUPABASE") && !told.contains(CANARY), "{function} tells its caller: {told}");
    }
    stack.lambda().end().await;
    Ok(stack.lambda().logs().lines())
}

/// The one line that a function wrote.
fn only<'a>(lines: &'a [Line], function: &str) -> Result<&'a str> {
    let of: Vec<_> = lines.iter().filter(|line| line.function == function).collect();
    let [line] = of.as_slice() else { anyhow::bail!("{function} wrote {} lines: {of:#?}", of.len()) };
    Ok(&line.text)
}

// NAME: configuration: every mistake is named at once, and no value is shown
#[tokio::test]
async fn mistakes() -> Result<()> {
    let stack = wrong().start().await?;
    let lines = started(&stack).await?;
    for function in functions() {
        let line: Value = serde_json::from_str(only(&lines, function)?)?;
        ensure!(line["level"] == "ERROR" && line["message"] == "the function cannot start", "{line}");
        let error = line["error"].as_str().context("no error")?;
        let expected = variables(function);
        let named: BTreeSet<_> =
            WRONG.iter().map(|(name, _)| *name).filter(|name| error.contains(name)).collect();
        ensure!(named == expected, "{function} names {named:?} instead of {expected:?}: {error}");
        ensure!(error.contains(&format!("{} mistake(s)", expected.len())), "{function}: {error}");
    }
    let shown = lines.iter().find(|line| line.text.contains(CANARY));
    ensure!(shown.is_none(), "a value is shown: {shown:?}");
    Ok(())
}

// NAME: configuration: what is missing is named, and only what is needed
#[tokio::test]
async fn missing_ones() -> Result<()> {
    let stack = missing().start().await?;
    let lines = started(&stack).await?;
    for function in functions() {
        let (line, keys) = (only(&lines, function)?, keys(function));
        // ChatKit, origins and what agents are shown may be left out.
        let woken = (function == "route-events").then_some("DATABASE_WEBHOOK_SECRET");
        let missing: Vec<_> =
            ["SUPABASE_URL"].iter().copied().chain(keys.iter().copied()).chain(woken).collect();
        let named = missing.iter().map(|name| format!("; {name} is not set")).collect::<String>();
        let expected = format!("{} mistake(s){named}", missing.len());
        ensure!(line.contains(&expected), "{function}: {line}");
    }
    Ok(())
}

// NAME: configuration: what only reads needs no secret key
#[tokio::test]
async fn readers() -> Result<()> {
    let stack = without("SUPABASE_SECRET_KEY").start().await?;
    let caller = TestClient::new(&stack).await?;
    for path in ["/chatkit/agents", "/chatkit/sessions", "/chatkit/escalations"] {
        caller.get(path).await?.expect(200)?;
    }
    let nowhere = "/chatkit/sessions/01981d3c-0000-7000-8000-000000000000";
    for path in [nowhere.to_owned(), format!("{nowhere}/messages")] {
        caller.get(&path).await?.problem(404, "session_not_found")?;
    }
    let decision = "/chatkit/escalations/01981d3c-0000-7000-8000-000000000000/decision".to_owned();
    for path in
        ["/chatkit/sessions".to_owned(), format!("{nowhere}/events"), format!("{nowhere}/cancel"), decision]
    {
        let refused = caller.post(&path, json!({})).await?;
        ensure!(
            refused.status == 500 && refused.body == json!({ "message": "Internal Server Error" }),
            "{refused:?}"
        );
    }
    for function in UNCALLED {
        ensure!(stack.run_job(function).await.is_err(), "a run of {function} without the key that it needs");
    }
    stack.lambda().end().await;
    for function in WRITING.into_iter().chain(UNCALLED).chain([DECIDING]) {
        let lines = stack.lambda().logs().lines();
        let line = only(&lines, function)?;
        ensure!(line.contains("1 mistake(s); SUPABASE_SECRET_KEY is not set"), "{line}");
    }
    Ok(())
}

// NAME: configuration: what only reads is given no secret key
#[tokio::test]
async fn given() -> Result<()> {
    let stack = LocalStack::builder().legacy_tokens(true).start().await?;
    let template = &lambda::workspace().await?.template;
    let secret = stack.supabase().secret_key();
    for function in functions() {
        let environment = stack.environment().of(template.function(function)?);
        let (writes, seals) = (!READING.contains(&function), function == "create-session");
        // What makes tokens is for those who are shown some.
        let verifies = !UNCALLED.contains(&function);
        for (name, needed) in [
            ("SUPABASE_SECRET_KEY", writes),
            ("CHATKIT_SEALING_KEYS", seals),
            ("SUPABASE_JWT_SECRET", verifies),
        ] {
            ensure!(environment.contains_key(name) == needed, "{function} has {name}: {}", !needed);
        }
        let under_another_name = environment.iter().find(|(name, value)| {
            *name != "SUPABASE_SECRET_KEY" && (value.contains(secret) || value.contains("service_role"))
        });
        ensure!(under_another_name.is_none(), "{function} has the key as {under_another_name:?}");
    }
    let all: BTreeSet<_> = stack.lambda().names().collect();
    let listed = functions().chain(OPERATED).collect();
    ensure!(all == listed, "a function is not listed here: {all:?}");
    Ok(())
}

// NAME: configuration: where secrets are made they are sealed
#[tokio::test]
async fn unsealed() -> Result<()> {
    let stack = without("CHATKIT_SEALING_KEYS").start().await?;
    let caller = TestClient::new(&stack).await?;
    let refused = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    ensure!(refused.status == 500, "{refused:?}");
    caller.get("/chatkit/sessions").await?.expect(200)?;
    let nowhere = "/chatkit/sessions/01981d3c-0000-7000-8000-000000000000";
    caller.cancel(nowhere).await?.problem(404, "session_not_found")?;
    stack.lambda().end().await;
    let lines = stack.lambda().logs().lines();
    let line = only(&lines, "create-session")?;
    ensure!(line.contains("1 mistake(s); CHATKIT_SEALING_KEYS is not set"), "{line}");
    Ok(())
}

// NAME: configuration: without ChatKit nothing is sealed
#[tokio::test]
async fn without_chatkit() -> Result<()> {
    let stack = without("CHATKIT_SEALING_KEYS").chatkit(false).start().await?;
    let session = TestClient::new(&stack).await?.open().await?;
    ensure!(session["chatkit"].is_null(), "{session}");
    Ok(())
}
