//! The page in `examples/web` records the events of a chat, and its types match ChatKit.js.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::SessionStatus;
use local_stack::toolchain::{self, EXAMPLE_PAGE};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::project_files::{read_text, root};
use crate::support::skip;

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

async fn check_page_events() -> Result<()> {
    let stack = LocalStack::start().await?;
    let client = TestClient::new(&stack).await?;
    let options = json!({ "baseUrl": stack.api_url(), "agentId": AGENT, "token": client.token });
    let mut node = Command::from(toolchain::node().await?);
    node.arg(root()?.join("tests/scripts/chat_page.mjs"));
    node.arg(root()?.join("examples/web/chat.js").canonicalize()?).arg(options.to_string());
    let output = timeout(TIMEOUT, node.kill_on_drop(true).output()).await.context("the page is stuck")??;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let page: Value = serde_json::from_slice(&output.stdout)?;

    let sessions = stack.openai().sessions();
    let active = sessions.iter().filter(|session| session.status == SessionStatus::Active);
    let secrets: Vec<Value> = active.map(|session| json!(session.client_secret.reveal())).collect();
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
const TYPE_ERRORS: [(&str, &str, &str); 4] = [
    ("async getClientSecret(current)", "async getSecret(current)", "TS2353"),
    ("event.detail.threadId", "event.detail.thread", "TS2551"),
    ("async onClientTool({ name", "async onClientTols({ name", "TS2561"),
    ("createGetClientSecret({", "createGetClientSecret({ agentId: 42,", "TS2783"),
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
