//! What docs/reference/api.md shows of a page is a module that works: in Node, against the functions, whatever becomes of secret, session and token.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::openai::{Fault, On, SessionStatus};
use local_stack::{World, toolchain};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::client::{AGENT, Caller, path};
use crate::support::markdown;

const MODULE: &str = "examples/web/chatkit-session.js";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

// NAME: page: docs/reference/api.md shows the module as it is
#[tokio::test]
async fn quoted() -> Result<()> {
    let (page, module) = (
        std::fs::read_to_string(root().join("docs/reference/api.md"))?,
        std::fs::read_to_string(root().join(MODULE))?,
    );
    let blocks = markdown::blocks(&page, "js");
    ensure!(blocks == [module.trim_end()], "docs/reference/api.md does not show {MODULE} as it is");
    Ok(())
}

// NAME: page: the module opens, refreshes, rejects and opens anew, whatever becomes of it all
/// One after the other in one world, each with a caller and a ledger of its own.
#[tokio::test]
async fn module() -> Result<()> {
    let world = World::start().await?;
    opened(&world).await.context("a session is opened once, and goes on after a reload")?;
    at_once(&world).await.context("calls that come at once share one request")?;
    runs_out(&world).await.context("a secret that runs out is replaced")?;
    dead(&world).await.context("a dead secret is rejected and replaced")?;
    ended(&world).await.context("after the end another session is opened")?;
    expired_token(&world).await.context("an expired access token is replaced once")?;
    failures(&world).await.context("what passes is tried again, and what does not is told")
}

/// A caller of whose doing only OpenAI's stand-in remembers.
async fn caller(world: &World) -> Result<Caller> {
    world.chatkit().clear_ledger();
    world.chatkit().clear_faults();
    Caller::new(world).await
}

/// Node with the module in it. It ends when this is dropped, and with its standard input.
struct Page {
    _process: Child,
    asks: ChildStdin,
    told: Lines<BufReader<ChildStdout>>,
}

/// What came of calls of `getClientSecret`.
struct Told {
    /// A secret each, or an object with the problem's code.
    results: Vec<Value>,
    /// The session that the page was told of last.
    session: Value,
    /// How often a fresh access token was asked for.
    freshened: Value,
}

impl Page {
    async fn load(world: &World, tokens: [&str; 2], session_id: Option<&Value>) -> Result<Self> {
        let mut options = json!({ "baseUrl": world.api_url(), "agentId": AGENT, "tokens": tokens });
        if let Some(id) = session_id {
            options["sessionId"] = id.clone();
        }
        let mut node = Command::from(toolchain::node().await?);
        node.arg(root().join("tests/scripts/browser_module.mjs")).arg(root().join(MODULE).canonicalize()?);
        node.arg(options.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = node.spawn().context("starting Node")?;
        let asks = process.stdin.take().context("no pipe to Node")?;
        let told = BufReader::new(process.stdout.take().context("no pipe from Node")?).lines();
        Ok(Self { _process: process, asks, told })
    }

    async fn of(world: &World, caller: &Caller) -> Result<Self> {
        Self::load(world, [&caller.token; 2], None).await
    }

    /// Calls it as ChatKit.js does, all at once.
    async fn call(&mut self, currents: &[Option<&Value>]) -> Result<Told> {
        self.asks.write_all(format!("{}\n", json!(currents)).as_bytes()).await?;
        let line = self.told.next_line().await?.context("the page ended")?;
        let told: Value = serde_json::from_str(&line)?;
        let results = told["results"].as_array().context("no results")?.clone();
        Ok(Told { results, session: told["session"].clone(), freshened: told["freshened"].clone() })
    }

    /// Calls it once, and takes the secret.
    async fn secret(&mut self, current: Option<&Value>) -> Result<(Value, Value)> {
        let told = self.call(&[current]).await?;
        ensure!(told.results[0].is_string(), "no secret: {}", told.results[0]);
        Ok((told.results[0].clone(), told.session))
    }
}

fn creations(world: &World) -> usize {
    world.chatkit().calls(On::CreateSession).len()
}

/// Whether OpenAI takes the secret.
fn works(world: &World, secret: &Value) -> bool {
    let active = |status| status == SessionStatus::Active;
    world.chatkit().sessions().iter().any(|s| json!(s.client_secret.reveal()) == *secret && active(s.status))
}

async fn opened(world: &World) -> Result<()> {
    let caller = caller(world).await?;
    let mut page = Page::of(world, &caller).await?;
    let (secret, session) = page.secret(None).await?;
    ensure!(works(world, &secret), "{secret} does not work");
    let keys: i64 = sqlx::query_scalar("select count(*) from idempotency_keys where session_id = $1::uuid")
        .bind(session.as_str())
        .fetch_one(world.database())
        .await?;
    ensure!(keys == 1, "{keys} keys: were its answer lost, it would be opened twice");
    // ChatKit.js is mounted again, or the page is loaded again.
    ensure!(page.secret(None).await? == (secret.clone(), session.clone()), "another session");
    let mut reloaded = Page::load(world, [&caller.token; 2], Some(&session)).await?;
    ensure!(reloaded.secret(None).await? == (secret, session), "another session");
    let sessions = caller.get("/chatkit/sessions").await?.expect(200)?;
    ensure!(sessions["sessions"].as_array().is_some_and(|list| list.len() == 1), "{sessions:#}");
    ensure!(creations(world) == 1, "{} creations", creations(world));
    Ok(())
}

async fn at_once(world: &World) -> Result<()> {
    let caller = caller(world).await?;
    let mut page = Page::of(world, &caller).await?;
    let before = world.lambda().requests();
    let told = page.call(&[None; 8]).await?;
    ensure!(told.results.iter().all(|secret| *secret == told.results[0] && secret.is_string()));
    ensure!(world.lambda().requests() - before == 1, "{} requests", world.lambda().requests() - before);
    let current = told.results[0].clone();
    let before = world.lambda().requests();
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds'")
        .execute(world.database())
        .await?;
    let told = page.call(&[Some(&current); 8]).await?;
    ensure!(told.results.iter().all(|secret| *secret == told.results[0] && *secret != current));
    ensure!(world.lambda().requests() - before == 1, "{} requests", world.lambda().requests() - before);
    Ok(())
}

async fn runs_out(world: &World) -> Result<()> {
    let caller = caller(world).await?;
    let mut page = Page::of(world, &caller).await?;
    let (first, session) = page.secret(None).await?;
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds'")
        .execute(world.database())
        .await?;
    let (second, same) = page.secret(Some(&first)).await?;
    ensure!(second != first && same == session && works(world, &second), "{second} of {same}");
    // Nothing was rejected: another tab may use the old one to its end.
    let erased =
        "select count(*) from chatkit_sessions where sealed_secret is null and session_id = $1::uuid";
    let erased: i64 = sqlx::query_scalar(erased).bind(session.as_str()).fetch_one(world.database()).await?;
    ensure!(erased == 0, "the old one was rejected");
    Ok(())
}

async fn dead(world: &World) -> Result<()> {
    let caller = caller(world).await?;
    let mut page = Page::of(world, &caller).await?;
    let (first, session) = page.secret(None).await?;
    let killed = world.chatkit().sessions().last().context("no ChatKit session")?.id.clone();
    ensure!(world.chatkit().expire(&killed) && !works(world, &first), "it lives");
    sqlx::query("update chatkit_sessions set recorded_at = recorded_at - interval '10 seconds'")
        .execute(world.database())
        .await?;
    let (second, same) = page.secret(Some(&first)).await?;
    ensure!(second != first && same == session && works(world, &second), "{second} of {same}");
    ensure!(creations(world) == 2, "{} creations", creations(world));
    Ok(())
}

async fn ended(world: &World) -> Result<()> {
    let caller = caller(world).await?;
    let mut page = Page::of(world, &caller).await?;
    let (mut secret, mut session) = page.secret(None).await?;
    // While ChatKit.js holds a secret, and when it is mounted again.
    for current in [true, false] {
        caller.cancel(&path(&json!({ "id": session }))).await?.expect(200)?;
        let (next, another) = page.secret(current.then_some(&secret)).await?;
        ensure!(another != session && next != secret && works(world, &next), "{next} of {another}");
        (secret, session) = (next, another);
    }
    // What could not be opened is opened the next time, and the one that has ended is asked for no more.
    caller.cancel(&path(&json!({ "id": session }))).await?.expect(200)?;
    let enabled = async |enabled: bool| {
        let set = "update agents set enabled = $1 where org_id = $2";
        sqlx::query(set).bind(enabled).bind(caller.user.org_id).execute(world.database()).await
    };
    enabled(false).await?;
    let told = page.call(&[None]).await?;
    ensure!(told.results[0]["code"] == "agent_unavailable", "{}", told.results[0]);
    enabled(true).await?;
    let before = world.lambda().requests();
    session = page.secret(None).await?.1;
    ensure!(world.lambda().requests() - before == 1, "{} requests", world.lambda().requests() - before);
    // A reload with the id of one that has ended meanwhile, or that is somebody else's.
    let stranger = Caller::new(world).await?.open().await?;
    caller.cancel(&path(&json!({ "id": session }))).await?.expect(200)?;
    for old in [&session, &stranger["id"]] {
        let mut reloaded = Page::load(world, [&caller.token; 2], Some(old)).await?;
        let (next, another) = reloaded.secret(None).await?;
        ensure!(another != *old && works(world, &next), "{next} of {another}");
    }
    Ok(())
}

async fn expired_token(world: &World) -> Result<()> {
    let caller = caller(world).await?;
    let expired = world.issuer().forge(&caller.user).expired(100).sign();
    let mut page = Page::load(world, [&expired, &caller.token], None).await?;
    let told = page.call(&[None]).await?;
    ensure!(told.results[0].is_string() && told.freshened == 1, "{} {}", told.results[0], told.freshened);
    // A fresh one that is no better is told of, and not asked for without end.
    let mut page = Page::load(world, [&expired, &expired], None).await?;
    let told = page.call(&[None]).await?;
    ensure!(
        told.results[0]["code"] == "expired_token" && told.freshened == 1,
        "{} {}",
        told.results[0],
        told.freshened
    );
    Ok(())
}

async fn failures(world: &World) -> Result<()> {
    let caller = caller(world).await?;
    let mut page = Page::of(world, &caller).await?;
    world.chatkit().fault(Fault::new(On::CreateSession).status(503).should_retry(false).times(1));
    let (first, session) = page.secret(None).await?;
    // Another tab's refresh is under way.
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds' where recorded_at is not null")
        .execute(world.database())
        .await?;
    world.chatkit().fault(Fault::new(On::CreateSession).late(Duration::from_millis(500)).times(1));
    let mut tab = Page::load(world, [&caller.token; 2], Some(&session)).await?;
    let current = [Some(&first)];
    let (one, two) = tokio::try_join!(page.call(&current), tab.call(&current))?;
    ensure!(one.results == two.results && one.results[0].is_string(), "{:?} {:?}", one.results, two.results);
    ensure!(one.results[0] != first && creations(world) == 3, "{} creations", creations(world));
    let outsider = world.issuer().forge(&caller.user).without("app_metadata").sign();
    let mut page = Page::load(world, [&outsider; 2], None).await?;
    let before = world.lambda().requests();
    let told = page.call(&[None]).await?;
    ensure!(told.results[0]["code"].is_string() && told.freshened == 0, "{}", told.results[0]);
    ensure!(world.lambda().requests() - before == 1, "it was asked for again");
    Ok(())
}
