//! Throttles: so much a minute and no more, counted in the database.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use local_stack::{World, chatkit::On};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    caller::{AGENT, Caller},
    harness::trial,
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("throttles: secrets of a user are counted, live ones handed out again are not", secrets),
        trial("throttles: a batch of events goes in whole or not at all", events),
    ]
}

async fn limits(world: &World, caller: &Caller, limits: Value) -> Result<()> {
    let mut arguments = limits;
    arguments["p_org_id"] = json!(caller.user.org_id);
    let (status, answer) = world.rpc("set_org_limits", arguments).await?;
    ensure!(status.is_success(), "{answer}");
    Ok(())
}

async fn secrets(world: World) -> Result<()> {
    let caller = Caller::new(&world).await?;
    limits(&world, &caller, json!({ "p_secrets_per_minute_user": 2 })).await?;
    let open = async || caller.post("/chatkit/sessions", json!({ "agentId": AGENT })).await;
    let first = open().await?;
    ensure!(first.headers["ratelimit-policy"] == "\"minute\";q=2;w=60", "{:?}", first.headers);
    let session = first.expect(201)?;
    let resume = json!({ "sessionId": session["id"], "purpose": "resume" });
    for _ in 0..5 {
        caller.post("/chatkit/sessions", resume.clone()).await?.expect(200)?;
    }
    open().await?.expect(201)?;
    let refused = open().await?;
    let wait: u64 = refused.headers["retry-after"].to_str()?.parse()?;
    ensure!((1..=60).contains(&wait), "{wait} seconds");
    ensure!(refused.headers["ratelimit"].to_str()?.starts_with("\"minute\";r=0;t="), "{:?}", refused.headers);
    refused.problem(429, "rate_limited")?;
    ensure!(world.chatkit().calls(On::CreateSession).len() == 2, "OpenAI was asked for what was refused");
    let stranger = Caller::new(&world).await?;
    stranger.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.expect(201)?;
    Ok(())
}

async fn events(world: World) -> Result<()> {
    let caller = Caller::new(&world).await?;
    limits(&world, &caller, json!({ "p_events_per_minute_session": 100 })).await?;
    let session = caller.open_path().await?;
    let batch =
        |n: usize| -> Value { (0..n).map(|_| json!({ "id": Uuid::new_v4(), "type": "custom_x" })).collect() };
    let first = batch(70);
    caller.post(&format!("{session}/events"), first.clone()).await?.expect(201)?;
    caller.post(&format!("{session}/events"), batch(70)).await?.problem(429, "rate_limited")?;
    // What is on record already is not counted again.
    caller.post(&format!("{session}/events"), first).await?.expect(201)?;
    let count: i64 =
        sqlx::query_scalar("select count(*) from chat_events").fetch_one(world.database()).await?;
    ensure!(count == 70, "{count} events");
    Ok(())
}
