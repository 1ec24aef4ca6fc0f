//! What docs/reference/api.md shows of a page is a module that works: in Node, against the functions, whatever becomes of secret, session and token.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::openai::{Fault, On, SessionStatus};
use local_stack::{LocalStack, toolchain};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::client::{AGENT, TestClient, path};
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
/// One after the other in one stack, each with a caller and a ledger of its own.
#[tokio::test]
async fn module() -> Result<()> {
    let stack = LocalStack::start().await?;
    opened(&stack).await.context("a session is opened once, and goes on after a reload")?;
    at_once(&stack).await.context("calls that come at once share one request")?;
    runs_out(&stack).await.context("a secret that runs out is replaced")?;
    dead(&stack).await.context("a dead secret is rejected and replaced")?;
    ended(&stack).await.context("after the end another session is opened")?;
    expired_token(&stack).await.context("an expired access token is replaced once")?;
    failures(&stack).await.context("what passes is tried again, and what does not is told")
}

/// A caller of whose doing only OpenAI's stand-in remembers.
async fn caller(stack: &LocalStack) -> Result<TestClient> {
    stack.openai().clear_ledger();
    stack.openai().clear_faults();
    TestClient::new(stack).await
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
    async fn load(stack: &LocalStack, tokens: [&str; 2], session_id: Option<&Value>) -> Result<Self> {
        let mut options = json!({ "baseUrl": stack.api_url(), "agentId": AGENT, "tokens": tokens });
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

    async fn of(stack: &LocalStack, caller: &TestClient) -> Result<Self> {
        Self::load(stack, [&caller.token; 2], None).await
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

fn creations(stack: &LocalStack) -> usize {
    stack.openai().calls(On::CreateSession).len()
}

/// Whether OpenAI takes the secret.
fn works(stack: &LocalStack, secret: &Value) -> bool {
    let active = |status| status == SessionStatus::Active;
    stack.openai().sessions().iter().any(|s| json!(s.client_secret.reveal()) == *secret && active(s.status))
}

async fn opened(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let mut page = Page::of(stack, &caller).await?;
    let (secret, session) = page.secret(None).await?;
    ensure!(works(stack, &secret), "{secret} does not work");
    let keys: i64 = sqlx::query_scalar("select count(*) from idempotency_keys where session_id = $1::uuid")
        .bind(session.as_str())
        .fetch_one(stack.database())
        .await?;
    ensure!(keys == 1, "{keys} keys: were its answer lost, it would be opened twice");
    // ChatKit.js is mounted again, or the page is loaded again.
    ensure!(page.secret(None).await? == (secret.clone(), session.clone()), "another session");
    let mut reloaded = Page::load(stack, [&caller.token; 2], Some(&session)).await?;
    ensure!(reloaded.secret(None).await? == (secret, session), "another session");
    let sessions = caller.get("/chatkit/sessions").await?.expect(200)?;
    ensure!(sessions["sessions"].as_array().is_some_and(|list| list.len() == 1), "{sessions:#}");
    ensure!(creations(stack) == 1, "{} creations", creations(stack));
    Ok(())
}

async fn at_once(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let mut page = Page::of(stack, &caller).await?;
    let before = stack.lambda().requests();
    let told = page.call(&[None; 8]).await?;
    ensure!(told.results.iter().all(|secret| *secret == told.results[0] && secret.is_string()));
    ensure!(stack.lambda().requests() - before == 1, "{} requests", stack.lambda().requests() - before);
    let current = told.results[0].clone();
    let before = stack.lambda().requests();
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds'")
        .execute(stack.database())
        .await?;
    let told = page.call(&[Some(&current); 8]).await?;
    ensure!(told.results.iter().all(|secret| *secret == told.results[0] && *secret != current));
    ensure!(stack.lambda().requests() - before == 1, "{} requests", stack.lambda().requests() - before);
    Ok(())
}

async fn runs_out(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let mut page = Page::of(stack, &caller).await?;
    let (first, session) = page.secret(None).await?;
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds'")
        .execute(stack.database())
        .await?;
    let (second, same) = page.secret(Some(&first)).await?;
    ensure!(second != first && same == session && works(stack, &second), "{second} of {same}");
    // Nothing was rejected: another tab may use the old one to its end.
    let erased =
        "select count(*) from chatkit_sessions where sealed_secret is null and session_id = $1::uuid";
    let erased: i64 = sqlx::query_scalar(erased).bind(session.as_str()).fetch_one(stack.database()).await?;
    ensure!(erased == 0, "the old one was rejected");
    Ok(())
}

async fn dead(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let mut page = Page::of(stack, &caller).await?;
    let (first, session) = page.secret(None).await?;
    let killed = stack.openai().sessions().last().context("no ChatKit session")?.id.clone();
    ensure!(stack.openai().expire(&killed) && !works(stack, &first), "it lives");
    sqlx::query("update chatkit_sessions set recorded_at = recorded_at - interval '10 seconds'")
        .execute(stack.database())
        .await?;
    let (second, same) = page.secret(Some(&first)).await?;
    ensure!(second != first && same == session && works(stack, &second), "{second} of {same}");
    ensure!(creations(stack) == 2, "{} creations", creations(stack));
    Ok(())
}

async fn ended(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let mut page = Page::of(stack, &caller).await?;
    let (mut secret, mut session) = page.secret(None).await?;
    // While ChatKit.js holds a secret, and when it is mounted again.
    for current in [true, false] {
        caller.cancel(&path(&json!({ "id": session }))).await?.expect(200)?;
        let (next, another) = page.secret(current.then_some(&secret)).await?;
        ensure!(another != session && next != secret && works(stack, &next), "{next} of {another}");
        (secret, session) = (next, another);
    }
    // What could not be opened is opened the next time, and the one that has ended is asked for no more.
    caller.cancel(&path(&json!({ "id": session }))).await?.expect(200)?;
    let enabled = async |enabled: bool| {
        let set = "update agents set enabled = $1 where org_id = $2";
        sqlx::query(set).bind(enabled).bind(caller.user.org_id).execute(stack.database()).await
    };
    enabled(false).await?;
    let told = page.call(&[None]).await?;
    ensure!(told.results[0]["code"] == "agent_unavailable", "{}", told.results[0]);
    enabled(true).await?;
    let before = stack.lambda().requests();
    session = page.secret(None).await?.1;
    ensure!(stack.lambda().requests() - before == 1, "{} requests", stack.lambda().requests() - before);
    // A reload with the id of one that has ended meanwhile, or that is somebody else's.
    let stranger = TestClient::new(stack).await?.open().await?;
    caller.cancel(&path(&json!({ "id": session }))).await?.expect(200)?;
    for old in [&session, &stranger["id"]] {
        let mut reloaded = Page::load(stack, [&caller.token; 2], Some(old)).await?;
        let (next, another) = reloaded.secret(None).await?;
        ensure!(another != *old && works(stack, &next), "{next} of {another}");
    }
    Ok(())
}

async fn expired_token(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let expired = stack.issuer().forge(&caller.user).expired(100).sign();
    let mut page = Page::load(stack, [&expired, &caller.token], None).await?;
    let told = page.call(&[None]).await?;
    ensure!(told.results[0].is_string() && told.freshened == 1, "{} {}", told.results[0], told.freshened);
    // A fresh one that is no better is told of, and not asked for without end.
    let mut page = Page::load(stack, [&expired, &expired], None).await?;
    let told = page.call(&[None]).await?;
    ensure!(
        told.results[0]["code"] == "expired_token" && told.freshened == 1,
        "{} {}",
        told.results[0],
        told.freshened
    );
    Ok(())
}

async fn failures(stack: &LocalStack) -> Result<()> {
    let caller = caller(stack).await?;
    let mut page = Page::of(stack, &caller).await?;
    stack.openai().fault(Fault::new(On::CreateSession).status(503).should_retry(false).times(1));
    let (first, session) = page.secret(None).await?;
    // Another tab's refresh is under way.
    sqlx::query("update chatkit_sessions set expires_at = now() + interval '60 seconds' where recorded_at is not null")
        .execute(stack.database())
        .await?;
    stack.openai().fault(Fault::new(On::CreateSession).late(Duration::from_millis(500)).times(1));
    let mut tab = Page::load(stack, [&caller.token; 2], Some(&session)).await?;
    let current = [Some(&first)];
    let (one, two) = tokio::try_join!(page.call(&current), tab.call(&current))?;
    ensure!(one.results == two.results && one.results[0].is_string(), "{:?} {:?}", one.results, two.results);
    ensure!(one.results[0] != first && creations(stack) == 3, "{} creations", creations(stack));
    let outsider = stack.issuer().forge(&caller.user).without("app_metadata").sign();
    let mut page = Page::load(stack, [&outsider; 2], None).await?;
    let before = stack.lambda().requests();
    let told = page.call(&[None]).await?;
    ensure!(told.results[0]["code"].is_string() && told.freshened == 0, "{}", told.results[0]);
    ensure!(stack.lambda().requests() - before == 1, "it was asked for again");
    Ok(())
}
