//! The page in `examples/web` records the events of a chat, and its types match ChatKit.js.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::model::{Gate, MODEL, Script};
use local_stack::supabase::OrgRole;
use local_stack::toolchain::{self, EXAMPLE_PAGE};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::project_files::{read_text, root};
use crate::support::skip;

/// The agent to which the page hands over.
const NEXT_AGENT: &str = "cfo_strategy";

/// Time for Node.js or the compiler to finish on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn page_records_events_of_the_chat() -> Result<()> {
    skip::with_tools(check_page_events()).await
}

#[tokio::test]
async fn page_types_match_chatkit() -> Result<()> {
    skip::with_tools(check_page_types()).await
}

#[tokio::test]
async fn page_chats_with_a_self_hosted_agent() -> Result<()> {
    skip::with_tools(check_self_hosted_page()).await
}

async fn check_self_hosted_page() -> Result<()> {
    let stack = LocalStack::start().await?;
    let org_id = Uuid::new_v4();
    let screen = json!({ "greeting": "What shall I pay?" });
    let settings = json!({ "p_model": MODEL, "p_start_screen": screen });
    stack.register_self_hosted_agent(org_id, AGENT, settings).await?;
    let client = TestClient::in_organisation(&stack, org_id, OrgRole::Member).await?;
    // The answer that the user stops does not end by itself.
    let gate = Gate::new();
    stack.model().script(Script::new().deltas(["One moment."]).wait(&gate).when("Stop me"));

    let chat_url = format!("{}/chatkit", stack.function_url("serve-chatkit"));
    let options = json!({ "baseUrl": stack.api_url(), "agentId": AGENT, "token": client.token,
        "chatUrl": chat_url });
    let page = run_page("tests/scripts/self_hosted_page.mjs", &options).await?;
    ensure!(page["url"] == chat_url && page["domainKey"] == "domain_pk_local", "{page:#}");
    ensure!(page["startScreen"] == screen && page["errors"] == json!([]), "{page:#}");
    let keys = page["repeatedWords"].as_array().context("no keys")?;
    ensure!(keys.len() == 3 && keys.iter().all(Value::is_string), "{page:#}");
    ensure!(keys[0] != keys[1] && keys[1] != keys[2], "two messages have one key: {page:#}");
    let keys = page["afterBreak"].as_array().context("no keys")?;
    ensure!(keys.len() == 2 && keys[0] == keys[1], "expected that the repeat has the key, found {page:#}");
    ensure!(page["cut"] == "network error", "the response did not break off: {page:#}");
    ensure!(page["answer"].as_str().is_some_and(|text| text.contains("thread.item.done")), "{page:#}");
    let after_rejection: Vec<(&Value, &Value)> = page["afterRejection"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|request| (&request["status"], &request["body"]["rejected"]))
        .collect();
    let (ok, rejected, none) = (&json!(200), &json!(401), &Value::Null);
    let expected = [(rejected, none), (ok, none), (ok, &json!(true)), (ok, none)];
    ensure!(after_rejection == expected, "expected a refresh and a rejection, found {page:#}");
    let has_key = page["afterRejection"].as_array().into_iter().flatten().any(|one| !one["key"].is_null());
    ensure!(page["threads"] == 1 && !has_key, "{page:#}");
    ensure!(page["aborted"] == "AbortError" && page["stop"]["status"] == 200, "{page:#}");

    // Each message is in the thread once, although one was sent twice.
    let questions = "select item #>> '{content,0,text}' from public.chat_messages
        where thread_id = $1 and kind = 'user_message' and hidden_at is null order by thread_seq";
    let thread = page["thread"].as_str().context("no thread")?;
    let questions: Vec<String> =
        sqlx::query_scalar(questions).bind(thread).fetch_all(stack.database()).await?;
    assert_eq!(questions, ["Hello", "Again", "Again", "Broken", "Stop me"]);
    let stopped = "select count(*) from public.chat_runs where status = 'stopped'";
    for _ in 0..100 {
        let stopped: i64 = sqlx::query_scalar(stopped).fetch_one(stack.database()).await?;
        if stopped == 1 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the answer has not stopped within five seconds")
}

/// Runs a script with the example page, and returns what it prints.
async fn run_page(script: &str, options: &Value) -> Result<Value> {
    let mut node = Command::from(toolchain::node().await?);
    node.arg(root()?.join(script));
    node.arg(root()?.join("examples/web/chat.js").canonicalize()?).arg(options.to_string());
    let output = timeout(TIMEOUT, node.kill_on_drop(true).output()).await.context("the page is stuck")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn check_page_events() -> Result<()> {
    let stack = LocalStack::start().await?;
    let client = TestClient::new(&stack).await?;
    let settings = json!({ "p_model": MODEL });
    stack.register_self_hosted_agent(client.user.org_id, NEXT_AGENT, settings).await?;
    let options = json!({ "baseUrl": stack.api_url(), "agentId": AGENT, "token": client.token,
        "nextAgentId": NEXT_AGENT });
    let page = run_page("tests/scripts/chat_page.mjs", &options).await?;
    // The previous secret was revoked with the handover.
    let changed = json!({ "api": ["url", "domainKey", "fetch"], "threadId": null });
    ensure!(page["changed"] == changed, "expected {changed}, found {page:#}");

    let sessions = stack.openai().sessions();
    let secrets: Vec<Value> = sessions.iter().map(|session| json!(session.client_secret.reveal())).collect();
    ensure!(secrets == [page["secret"].clone()], "{page:#}");
    ensure!(page["shown"] == json!({ "shown": "42" }), "{page:#}");
    ensure!(page["unknown"] == "The page does not have the tool toString.", "{page:#}");
    ensure!(page["errors"] == json!(["The frame was not loaded."]), "{page:#}");

    let shown = client.get(&session_path(&json!({ "id": page["session"] }))).await?.expect(200)?;
    let events = shown["events"].as_array().context("no events")?;
    let mut recorded: Vec<(&str, Value)> = events
        .iter()
        .map(|event| (event["type"].as_str().unwrap_or_default(), event["payload"].clone()))
        .collect();
    let last = recorded.pop().map(|(kind, _)| kind);
    ensure!(last == Some("handover"), "expected the handover, found {last:?}");
    // Each call has an id of its own, which its failure repeats.
    let call_ids: Vec<Value> =
        recorded.iter_mut().filter_map(|(_, payload)| payload.as_object_mut()?.remove("callId")).collect();
    ensure!(call_ids.len() == 3 && call_ids[0] != call_ids[1] && call_ids[1] == call_ids[2], "{call_ids:?}");
    let thread = "cthr_page";
    let expected = [
        ("thread_changed", json!({ "threadId": null })),
        ("thread_changed", json!({ "threadId": thread })),
        (
            "tool_call",
            json!({ "name": "show_invoice", "arguments": { "invoice": "42" }, "threadId": thread }),
        ),
        ("tool_call", json!({ "name": "toString", "arguments": {}, "threadId": thread })),
        ("tool_failed", json!({ "name": "toString", "message": page["unknown"], "threadId": thread })),
        ("error", json!({ "name": "TypeError", "message": "The frame was not loaded.", "threadId": thread })),
        (
            "button_click",
            json!({ "action": "pay", "widgetId": "widget_1", "threadId": thread,
            "data": { "invoice": "42", "amountCents": 90_000 } }),
        ),
    ];
    assert_eq!(recorded, expected);
    Ok(())
}

/// Errors that the compiler finds: the text of `chat.js`, its replacement, and the reported code.
const TYPE_ERRORS: [(&str, &str, &str); 6] = [
    ("async getClientSecret(current)", "async getSecret(current)", "TS2353"),
    ("event.detail.threadId", "event.detail.thread", "TS2551"),
    ("async onClientTool({ name", "async onClientTols({ name", "TS2561"),
    ("createGetClientSecret({", "createGetClientSecret({ agentId: 42,", "TS2783"),
    ("domainKey: chat.domainKey", "domain: chat.domainKey", "TS2322"),
    ("fetch: chatFetch", "fetch: onStop", "TS2322"),
];

async fn check_page_types() -> Result<()> {
    let packages = EXAMPLE_PAGE.install_async().await?;
    let folder = TempDir::new()?;
    for entry in std::fs::read_dir(root()?.join("examples/web"))? {
        let file = entry?.path();
        let is_source = file.extension().is_some_and(|extension| extension == "js" || extension == "json");
        if let (true, Some(name)) = (is_source, file.file_name()) {
            std::fs::copy(&file, folder.path().join(name))?;
        }
    }
    symlink(packages.folder().join("node_modules"), folder.path().join("node_modules"))?;
    let compiler = packages.folder().join("node_modules/typescript/bin/tsc");
    let compile = || compile(packages.node(), compiler.as_os_str(), folder.path());
    let (valid, output) = compile().await?;
    ensure!(valid, "{output}");

    let chat = folder.path().join("chat.js");
    let source = std::fs::read_to_string(&chat)?;
    for (text, replacement, code) in TYPE_ERRORS {
        ensure!(source.contains(text), "chat.js does not contain {text}");
        std::fs::write(&chat, source.replacen(text, replacement, 1))?;
        let (valid, output) = compile().await?;
        ensure!(!valid && output.contains(code), "expected {code} for {replacement}, found: {output}");
    }

    // The page loads the version that its types describe.
    let manifest: Value = serde_json::from_str(EXAMPLE_PAGE.manifest)?;
    let version = manifest["devDependencies"]["@supabase/supabase-js"].as_str().context("no version")?;
    let import = format!("https://esm.sh/@supabase/supabase-js@{version}\"");
    ensure!(read_text("examples/web/index.html")?.contains(&import), "index.html does not import {import}");
    Ok(())
}

/// Runs the command of the script `check`, and returns whether it succeeds, and its output.
async fn compile(node: std::process::Command, compiler: &OsStr, folder: &Path) -> Result<(bool, String)> {
    let mut node = Command::from(node);
    node.arg(compiler).current_dir(folder).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(TIMEOUT, node.output()).await.context("the compiler is stuck")??;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}
