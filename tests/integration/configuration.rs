//! A function with mistakes in its environment does not start; it names all of them at once and shows no value. What it
//! does not need is not asked for, and what it must not have it is not given.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::lambda::Line;
use local_stack::{World, lambda};
use serde_json::{Value, json};

use crate::support::client::{AGENT, Caller};

// TODO /// In every wrong value, so that no part of one can be shown unnoticed.
// TODO const CANARY: &str = "c4n4ry";
// TODO
// TODO const WRONG: [(&str, &str); 13] = [
// TODO     ("SUPABASE_URL", "https://postgres:c4n4ry@db.example.com"),
// TODO     ("SUPABASE_PUBLISHABLE_KEY", "sb_secret_c4n4ry"),
// TODO     ("SUPABASE_SECRET_KEY", "sb_publishable_c4n4ry"),
// TODO     ("OPENAI_CHATKIT_SECRET", "sk-c4n4ry\nand another line"),
// TODO     ("OPENAI_CHATKIT_PROJECT", "sk-proj-c4n4ry"),
// TODO     ("OPENAI_CHATKIT_BASE_URL", "http://c4n4ry.example.com/v1"),
// TODO     ("CHATKIT_SEALING_KEYS", "k1:c4n4ry"),
// TODO     ("CORS_ALLOWED_ORIGINS", "https://app.example.com, sb_secret_c4n4ry, https://c4n4ry.example.com/"),
// TODO     ("CORS_ALLOWED_HEADERS", "x-c4n4ry, c4n4ry: 1"),
// TODO     ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "c4n4ry,,c4n4ry"),
// TODO     ("REQUIRE_AAL2_TO_DECIDE", "c4n4ry"),
// TODO     ("DATABASE_WEBHOOK_SECRET", "c4n4ry"),
// TODO     ("AGENT_CREDENTIALS", r#"{"payables":{"origin":"http://c4n4ry.example.com","bearer":"c4n4ry"}}"#),
// TODO ];
// TODO
// TODO const READING: [&str; 6] =
// TODO     ["get-session", "list-agents", "list-escalations", "list-messages", "list-sessions", "get-metrics"];
// TODO const WRITING: [&str; 3] = ["cancel-session", "create-session", "record-events"];
// TODO /// Write too. No user calls them, so they know nothing of callers and their pages.
// TODO const UNCALLED: [&str; 3] = ["erase-user", "expire-sessions", "route-events"];
// TODO /// Starts with whatever mistakes, and reports them (see `doctor`).
// TODO const OPERATED: [&str; 1] = ["doctor"];
// TODO /// Reads as the caller what it then decides as the service.
// TODO const DECIDING: &str = "decide-escalation";
// TODO
// TODO /// All functions.
// TODO fn functions() -> impl Iterator<Item = &'static str> {
// TODO     READING.into_iter().chain(WRITING).chain(UNCALLED).chain([DECIDING])
// TODO }
// TODO
// TODO /// The keys by which a function asks Supabase.
// TODO fn keys(function: &str) -> &'static [&'static str] {
// TODO     match function {
// TODO         DECIDING => &["SUPABASE_PUBLISHABLE_KEY", "SUPABASE_SECRET_KEY"],
// TODO         _ if READING.contains(&function) => &["SUPABASE_PUBLISHABLE_KEY"],
// TODO         _ => &["SUPABASE_SECRET_KEY"],
// TODO     }
// TODO }
// TODO
// TODO /// What a function reads of the above.
// TODO fn variables(function: &str) -> BTreeSet<&'static str> {
// TODO     let mut read = BTreeSet::from(["SUPABASE_URL"]);
// TODO     read.extend(keys(function));
// TODO     if !UNCALLED.contains(&function) {
// TODO         read.extend(["CORS_ALLOWED_ORIGINS", "CORS_ALLOWED_HEADERS"]);
// TODO     }
// TODO     if !function.starts_with("list-") && ![DECIDING, "get-metrics"].contains(&function) {
// TODO         read.extend(["OPENAI_CHATKIT_SECRET", "OPENAI_CHATKIT_PROJECT", "OPENAI_CHATKIT_BASE_URL"]);
// TODO     }
// TODO     if [DECIDING, "record-events"].contains(&function) {
// TODO         read.extend(["OAUTH_CLIENTS_ALLOWED_TO_DECIDE", "REQUIRE_AAL2_TO_DECIDE"]);
// TODO     }
// TODO     if function == "create-session" {
// TODO         read.insert("CHATKIT_SEALING_KEYS");
// TODO     }
// TODO     if function == "route-events" {
// TODO         read.extend(["DATABASE_WEBHOOK_SECRET", "AGENT_CREDENTIALS"]);
// TODO     }
// TODO     read
// TODO }
// TODO
// TODO pub fn trials() -> Vec<Trial> {
// TODO     // However much is logged.
// TODO     let talkative = World::builder().env("AWS_LAMBDA_LOG_LEVEL", "TRACE");
// TODO     let wrong = WRONG.iter().fold(talkative, |world, (name, value)| world.env(name, value));
// TODO     let missing = WRONG.iter().fold(World::builder(), |world, (name, _)| world.env(name, ""));
// TODO     let without = |name: &str| World::builder().env(name, "");
// TODO     vec![
// TODO         trial_in("configuration: every mistake is named at once, and no value is shown", wrong, mistakes),
// TODO         trial_in("configuration: what is missing is named, and only what is needed", missing, missing_ones),
// TODO         trial_in(
// TODO             "configuration: what only reads needs no secret key",
// TODO             without("SUPABASE_SECRET_KEY"),
// TODO             readers,
// TODO         ),
// TODO         trial_in(
// TODO             "configuration: what only reads is given no secret key",
// TODO             World::builder().legacy_tokens(true),
// TODO             given,
// TODO         ),
// TODO         trial_in(
// TODO             "configuration: where secrets are made they are sealed",
// TODO             without("CHATKIT_SEALING_KEYS"),
// TODO             unsealed,
// TODO         ),
// TODO         trial_in(
// TODO             "configuration: without ChatKit nothing is sealed",
// TODO             without("CHATKIT_SEALING_KEYS").chatkit(false),
// TODO             without_chatkit,
// TODO         ),
// TODO     ]
// TODO }

/// Asks every function once, each of which fails to start, and answers with what they wrote.
async fn started(world: &World) -> Result<Vec<Line>> {
    for function in world.lambda().names() {
        let answer = local_stack::http::client().get(world.function_url(function)).send().await?;
        ensure!(answer.status() == 502, "{function} answers {}", answer.status());
        let told = answer.text().await?;
        ensure!(!told.contains("SUPABASE") && !told.contains(CANARY), "{function} tells its caller: {told}");
    }
    world.lambda().end().await;
    Ok(world.lambda().logs().lines())
}

/// The one line that a function wrote.
fn only<'a>(lines: &'a [Line], function: &str) -> Result<&'a str> {
    let of: Vec<_> = lines.iter().filter(|line| line.function == function).collect();
    let [line] = of.as_slice() else { anyhow::bail!("{function} wrote {} lines: {of:#?}", of.len()) };
    Ok(&line.text)
}

async fn mistakes(world: World) -> Result<()> {
    let lines = started(&world).await?;
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
    let world = WRONG.iter().fold(World::builder(), |world, (name, _)| world.env(name, "")).start().await?;
    let lines = started(&world).await?;
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

async fn readers(world: World) -> Result<()> {
    let caller = Caller::new(&world).await?;
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
        ensure!(world.tick(function).await.is_err(), "a run of {function} without the key that it needs");
    }
    world.lambda().end().await;
    for function in WRITING.into_iter().chain(UNCALLED).chain([DECIDING]) {
        let lines = world.lambda().logs().lines();
        let line = only(&lines, function)?;
        ensure!(line.contains("1 mistake(s); SUPABASE_SECRET_KEY is not set"), "{line}");
    }
    Ok(())
}

// NAME: configuration: what only reads is given no secret key
#[tokio::test]
async fn given() -> Result<()> {
    let world = World::builder().legacy_tokens(true).start().await?;
    let template = &lambda::workspace().await?.template;
    let secret = world.supabase().secret_key();
    for function in functions() {
        let environment = world.environment().of(template.function(function)?);
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
    let all: BTreeSet<_> = world.lambda().names().collect();
    let listed = functions().chain(OPERATED).collect();
    ensure!(all == listed, "a function is not listed here: {all:?}");
    Ok(())
}

async fn unsealed(world: World) -> Result<()> {
    let caller = Caller::new(&world).await?;
    let refused = caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?;
    ensure!(refused.status == 500, "{refused:?}");
    caller.get("/chatkit/sessions").await?.expect(200)?;
    let nowhere = "/chatkit/sessions/01981d3c-0000-7000-8000-000000000000";
    caller.cancel(nowhere).await?.problem(404, "session_not_found")?;
    world.lambda().end().await;
    let lines = world.lambda().logs().lines();
    let line = only(&lines, "create-session")?;
    ensure!(line.contains("1 mistake(s); CHATKIT_SEALING_KEYS is not set"), "{line}");
    Ok(())
}

async fn without_chatkit(world: World) -> Result<()> {
    let session = Caller::new(&world).await?.open().await?;
    ensure!(session["chatkit"].is_null(), "{session}");
    Ok(())
}
