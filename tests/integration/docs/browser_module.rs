//! `examples/web/chatkit-session.js`, which `docs/reference/api.md` shows, in Node against the
//! functions.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::openai::{Fault, Operation, SessionStatus};
use local_stack::{LocalStack, toolchain};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::project_files::{read_text, root};
use crate::support::{markdown, skip};

const MODULE: &str = "examples/web/chatkit-session.js";

#[tokio::test]
async fn api_page_shows_module_unchanged() -> Result<()> {
    let (page, module) = (read_text("docs/reference/api.md")?, read_text(MODULE)?);
    let blocks = markdown::blocks(&page, "js");
    ensure!(blocks == [module.trim_end()], "the code in docs/reference/api.md is not {MODULE}");
    Ok(())
}

#[tokio::test]
async fn module_handles_reload_expiry_cancellation_and_failures() -> Result<()> {
    skip::with_tools(run_module()).await
}

/// The cases share a stack. Each has a caller of its own.
async fn run_module() -> Result<()> {
    let stack = LocalStack::start().await?;
    open_once(&stack).await.context("the session is opened once and continues after a reload")?;
    share_requests(&stack).await.context("concurrent calls share a request")?;
    replace_expiring_secret(&stack).await.context("a secret that expires soon is replaced")?;
    replace_rejected_secret(&stack).await.context("a rejected secret is reported and replaced")?;
    replace_ended_session(&stack).await.context("an ended session is replaced by another")?;
    refresh_expired_token(&stack).await.context("an expired access token is refreshed once")?;
    retry_failures(&stack).await.context("temporary failures are retried, others reported")
}

/// A new caller. Clears faults and the log of requests to OpenAI.
async fn new_caller(stack: &LocalStack) -> Result<TestClient> {
    stack.openai().clear_requests();
    stack.openai().clear_faults();
    TestClient::new(stack).await
}

/// A Node process that has loaded the module. It ends when this value is dropped.
struct Page {
    _process: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

/// The results of concurrent calls of `getClientSecret`.
struct CallResults {
    /// A secret per call, or an object with the code of the problem.
    results: Vec<Value>,
    /// The argument of the last call of `onSession`.
    session: Value,
    /// The number of requests for a fresh access token.
    refreshes: Value,
}

impl Page {
    async fn load(stack: &LocalStack, tokens: [&str; 2], session_id: Option<&Value>) -> Result<Self> {
        let mut options = json!({ "baseUrl": stack.api_url(), "agentId": AGENT, "tokens": tokens });
        if let Some(id) = session_id {
            options["sessionId"] = id.clone();
        }
        let mut node = Command::from(toolchain::node().await?);
        node.arg(root()?.join("tests/scripts/browser_module.mjs")).arg(root()?.join(MODULE).canonicalize()?);
        node.arg(options.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut process = node.spawn().context("starting Node")?;
        let input = process.stdin.take().context("Node has no standard input")?;
        let output = process.stdout.take().context("Node has no standard output")?;
        Ok(Self { _process: process, input, output: BufReader::new(output).lines() })
    }

    async fn load_for(stack: &LocalStack, caller: &TestClient) -> Result<Self> {
        Self::load(stack, [&caller.token; 2], None).await
    }

    /// Calls `getClientSecret` concurrently, with these current secrets.
    async fn call(&mut self, currents: &[Option<&Value>]) -> Result<CallResults> {
        self.input.write_all(format!("{}\n", json!(currents)).as_bytes()).await?;
        let line = self.output.next_line().await?.context("Node has ended")?;
        let answer: Value = serde_json::from_str(&line)?;
        let results = answer["results"].as_array().context("the line has no results")?.clone();
        Ok(CallResults {
            results,
            session: answer["session"].clone(),
            refreshes: answer["refreshes"].clone(),
        })
    }

    /// Calls it once and returns the secret and the session.
    async fn secret(&mut self, current: Option<&Value>) -> Result<(Value, Value)> {
        let called = self.call(&[current]).await?;
        ensure!(called.results[0].is_string(), "expected a secret, found {}", called.results[0]);
        Ok((called.results[0].clone(), called.session))
    }
}

fn check_one_request(stack: &LocalStack, before: usize) -> Result<()> {
    let count = stack.lambda().requests() - before;
    ensure!(count == 1, "expected one request, found {count}");
    Ok(())
}

/// Lets all secrets expire in 60 seconds.
async fn expire_secrets_soon(stack: &LocalStack) -> Result<()> {
    let update = "update chatkit_sessions set expires_at = now() + interval '60 seconds'";
    sqlx::query(update).execute(stack.database()).await?;
    Ok(())
}

/// The number of requests to OpenAI for a session.
fn creations(stack: &LocalStack) -> usize {
    stack.openai().calls(Operation::CreateSession).len()
}

/// Whether OpenAI accepts the secret.
fn is_valid(stack: &LocalStack, secret: &Value) -> bool {
    let active = |status| status == SessionStatus::Active;
    stack.openai().sessions().iter().any(|s| json!(s.client_secret.reveal()) == *secret && active(s.status))
}

async fn open_once(stack: &LocalStack) -> Result<()> {
    let caller = new_caller(stack).await?;
    let mut page = Page::load_for(stack, &caller).await?;
    let (secret, session) = page.secret(None).await?;
    ensure!(is_valid(stack, &secret), "OpenAI rejects {secret}");
    let keys: i64 = sqlx::query_scalar("select count(*) from idempotency_keys where session_id = $1::uuid")
        .bind(session.as_str())
        .fetch_one(stack.database())
        .await?;
    ensure!(keys == 1, "expected one idempotency key, found {keys}");
    // As when ChatKit.js is mounted again.
    ensure!(page.secret(None).await? == (secret.clone(), session.clone()), "found another session");
    let mut reloaded = Page::load(stack, [&caller.token; 2], Some(&session)).await?;
    ensure!(reloaded.secret(None).await? == (secret, session), "found another session after a reload");
    let sessions = caller.get("/chatkit/sessions").await?.expect(200)?;
    ensure!(
        sessions["sessions"].as_array().is_some_and(|list| list.len() == 1),
        "expected one session, found {sessions:#}"
    );
    ensure!(creations(stack) == 1, "expected one session at OpenAI, found {}", creations(stack));
    Ok(())
}

async fn share_requests(stack: &LocalStack) -> Result<()> {
    let caller = new_caller(stack).await?;
    let mut page = Page::load_for(stack, &caller).await?;
    let before = stack.lambda().requests();
    let called = page.call(&[None; 8]).await?;
    ensure!(called.results.iter().all(|secret| *secret == called.results[0] && secret.is_string()));
    check_one_request(stack, before)?;
    let current = called.results[0].clone();
    let before = stack.lambda().requests();
    expire_secrets_soon(stack).await?;
    let called = page.call(&[Some(&current); 8]).await?;
    ensure!(called.results.iter().all(|secret| *secret == called.results[0] && *secret != current));
    check_one_request(stack, before)?;
    Ok(())
}

async fn replace_expiring_secret(stack: &LocalStack) -> Result<()> {
    let caller = new_caller(stack).await?;
    let mut page = Page::load_for(stack, &caller).await?;
    let (first, session) = page.secret(None).await?;
    expire_secrets_soon(stack).await?;
    let (second, same) = page.secret(Some(&first)).await?;
    ensure!(second != first && same == session && is_valid(stack, &second), "{second} of {same}");
    // Another tab may use the old secret until it expires, so the module does not report it.
    let erased =
        "select count(*) from chatkit_sessions where sealed_secret is null and session_id = $1::uuid";
    let erased: i64 = sqlx::query_scalar(erased).bind(session.as_str()).fetch_one(stack.database()).await?;
    ensure!(erased == 0, "expected that the old secret is kept, found {erased} erased");
    Ok(())
}

async fn replace_rejected_secret(stack: &LocalStack) -> Result<()> {
    let caller = new_caller(stack).await?;
    let mut page = Page::load_for(stack, &caller).await?;
    let (first, session) = page.secret(None).await?;
    let expired = stack.openai().sessions().last().context("OpenAI has no session")?.id.clone();
    ensure!(stack.openai().expire(&expired), "OpenAI has no session {expired}");
    ensure!(!is_valid(stack, &first), "expected that OpenAI rejects {first}");
    sqlx::query("update chatkit_sessions set recorded_at = recorded_at - interval '10 seconds'")
        .execute(stack.database())
        .await?;
    let (second, same) = page.secret(Some(&first)).await?;
    ensure!(second != first && same == session && is_valid(stack, &second), "{second} of {same}");
    ensure!(creations(stack) == 2, "expected two sessions at OpenAI, found {}", creations(stack));
    Ok(())
}

async fn replace_ended_session(stack: &LocalStack) -> Result<()> {
    let caller = new_caller(stack).await?;
    let mut page = Page::load_for(stack, &caller).await?;
    let (mut secret, mut session) = page.secret(None).await?;
    // With a secret in ChatKit.js, and after it is mounted again.
    for current in [true, false] {
        caller.cancel(&session_path(&json!({ "id": session }))).await?.expect(200)?;
        let (next, another) = page.secret(current.then_some(&secret)).await?;
        ensure!(another != session && next != secret && is_valid(stack, &next), "{next} of {another}");
        (secret, session) = (next, another);
    }
    // After a failure the next call opens a session, and does not request the ended one.
    caller.cancel(&session_path(&json!({ "id": session }))).await?.expect(200)?;
    let set_enabled = async |enabled: bool| {
        let update = "update agents set enabled = $1 where org_id = $2";
        sqlx::query(update).bind(enabled).bind(caller.user.org_id).execute(stack.database()).await
    };
    set_enabled(false).await?;
    let called = page.call(&[None]).await?;
    ensure!(
        called.results[0]["code"] == "agent_unavailable",
        "expected agent_unavailable, found {}",
        called.results[0]
    );
    set_enabled(true).await?;
    let before = stack.lambda().requests();
    session = page.secret(None).await?.1;
    check_one_request(stack, before)?;
    // A reload with the id of an ended session, or of another user's session.
    let foreign = TestClient::new(stack).await?.open_session().await?;
    caller.cancel(&session_path(&json!({ "id": session }))).await?.expect(200)?;
    for old in [&session, &foreign["id"]] {
        let mut reloaded = Page::load(stack, [&caller.token; 2], Some(old)).await?;
        let (next, another) = reloaded.secret(None).await?;
        ensure!(another != *old && is_valid(stack, &next), "{next} of {another}");
    }
    Ok(())
}

async fn refresh_expired_token(stack: &LocalStack) -> Result<()> {
    let caller = new_caller(stack).await?;
    let expired = stack.issuer().token_builder(&caller.user).expired(100).sign();
    let mut page = Page::load(stack, [&expired, &caller.token], None).await?;
    let called = page.call(&[None]).await?;
    ensure!(called.results[0].is_string(), "expected a secret, found {}", called.results[0]);
    ensure!(called.refreshes == 1, "expected one refresh, found {}", called.refreshes);
    // If the fresh token has expired too, the module reports it and does not request another.
    let mut page = Page::load(stack, [&expired, &expired], None).await?;
    let called = page.call(&[None]).await?;
    ensure!(
        called.results[0]["code"] == "expired_token",
        "expected expired_token, found {}",
        called.results[0]
    );
    ensure!(called.refreshes == 1, "expected one refresh, found {}", called.refreshes);
    Ok(())
}

async fn retry_failures(stack: &LocalStack) -> Result<()> {
    let caller = new_caller(stack).await?;
    let mut page = Page::load_for(stack, &caller).await?;
    stack.openai().add_fault(Fault::new(Operation::CreateSession).status(503).should_retry(false).times(1));
    let (first, session) = page.secret(None).await?;
    // Another tab refreshes the secret at the same time.
    let update = "update chatkit_sessions set expires_at = now() + interval '60 seconds'
        where recorded_at is not null";
    sqlx::query(update).execute(stack.database()).await?;
    stack
        .openai()
        .add_fault(Fault::new(Operation::CreateSession).delay_response(Duration::from_millis(500)).times(1));
    let mut other_tab = Page::load(stack, [&caller.token; 2], Some(&session)).await?;
    let current = [Some(&first)];
    let (one, two) = tokio::try_join!(page.call(&current), other_tab.call(&current))?;
    ensure!(one.results[0].is_string(), "expected a secret, found {}", one.results[0]);
    ensure!(
        one.results == two.results,
        "expected equal results, found {:?} and {:?}",
        one.results,
        two.results
    );
    ensure!(one.results[0] != first, "expected another secret than {first}");
    ensure!(creations(stack) == 3, "expected three sessions at OpenAI, found {}", creations(stack));
    let without_org = stack.issuer().token_builder(&caller.user).without("app_metadata").sign();
    let mut page = Page::load(stack, [&without_org; 2], None).await?;
    let before = stack.lambda().requests();
    let called = page.call(&[None]).await?;
    ensure!(called.results[0]["code"].is_string(), "expected a problem, found {}", called.results[0]);
    ensure!(called.refreshes == 0, "expected no refresh, found {}", called.refreshes);
    check_one_request(stack, before)?;
    Ok(())
}
