//! The documentation's `cargo admin` commands run as they stand.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::jobs::erasure::{count, fixture};
use crate::support::admin_command::AdminCommand;
use crate::support::client::{TestClient, session_path};
use crate::support::project_files::{ensure_same, read_text, root};
use crate::support::{markdown, skip};

/// The pages with commands, in the order in which the test runs them. The last one erases the user.
const PAGES: [&str; 9] = [
    "docs/operations/admin.md",
    "docs/guides/deploy.md",
    "docs/operations/runbook.md",
    "docs/operations/scheduled-jobs.md",
    "docs/guides/register-an-agent.md",
    "docs/guides/self-hosted-chat.md",
    "docs/guides/write-an-agent.md",
    "docs/reference/limits.md",
    "docs/concepts/retention-and-erasure.md",
];

/// The page of the example. Its commands run in the test of the example's agents.
const EXAMPLE_PAGE: &str = "examples/agent-python/README.md";

#[tokio::test]
async fn each_page_with_commands_is_run() -> Result<()> {
    let mut pages = Vec::new();
    for folder in ["docs", "examples", "web"] {
        find_pages(&root()?.join(folder), &mut pages)?;
    }
    pages.extend(["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md"].map(str::to_owned));
    let mut found = BTreeSet::new();
    for page in pages {
        if !command_blocks(&read_text(&page)?).is_empty() {
            found.insert(page);
        }
    }
    let run = PAGES.into_iter().chain([EXAMPLE_PAGE]).map(str::to_owned).collect();
    ensure_same(("the pages", &found), ("this test", &run))
}

#[tokio::test]
async fn commands_of_the_pages_run_as_they_stand() -> Result<()> {
    if Command::new("python3").arg("--version").output().is_err() {
        return skip::skip("no python3, which runs commands in a terminal");
    }
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let session = open_session_with_thread(&stack, &member).await?;
    let dead = create_dead_letters(&stack, &member).await?;
    let admin = AdminCommand::new(&stack).await?;
    let variables = [
        ("ORG", member.user.org_id.to_string()),
        ("USER_ID", member.user.id.to_string()),
        ("SESSION", session.to_string()),
        ("DELIVERY", dead[0].to_string()),
    ];
    let chatkit_user = fixture::chatkit_user(&stack, &member).await?;
    for page in PAGES {
        let text = read_text(page)?;
        write_files(&text, admin.folder())?;
        for block in command_blocks(&text) {
            let shown = admin.run_in_terminal(&block, &variables).await.context(page)?;
            check_secrets(&stack, &shown)?;
            check_effect(&stack, &block, &shown)
                .await
                .with_context(|| format!("{page}\n{block}\n{shown}"))?;
        }
    }
    ensure!(stack.openai().thread_ids_of_user(&chatkit_user).is_empty(), "the user still has threads");
    Ok(())
}

/// Running Cargo itself in a test would wait for other builds.
#[tokio::test]
async fn alias_runs_the_program_of_these_tests() -> Result<()> {
    let alias = "\nadmin = \"run --quiet --package admin --example admin --\"\n";
    ensure!(read_text(".cargo/config.toml")?.contains(alias), "expected the alias {alias}");
    Ok(())
}

/// Checks what a block of commands has changed, and what it shows.
async fn check_effect(stack: &LocalStack, block: &str, shown: &str) -> Result<()> {
    let has_all = |texts: &[&str]| texts.iter().all(|text| shown.contains(text));
    let is_expected = match block.split_whitespace().skip(2).take(2).collect::<Vec<_>>()[..] {
        ["--help", _] => has_all(&["Usage: cargo admin", "--all"]),
        ["deliveries", "list"] => {
            let pending = "select count(*) from deliveries where status = 'pending'";
            has_all(&["unreachable", "Replayed: 1.", "This calls agents again for 1 dead letters."])
                && count(stack, pending).await? == 2
        }
        ["transcripts", "request"] => {
            has_all(&["threads: 1."]) && count(stack, "select count(*) from transcripts_due").await? == 1
        }
        ["agents", "register"] if block.contains("tax_compliance.toml") => {
            let agent = "select count(*) from agents where id = 'tax_compliance'
                and model = '<a model of your server>' and instructions like 'You answer%'";
            has_all(&["tax_compliance is registered", "self_hosted"]) && count(stack, agent).await? == 1
        }
        ["agents", "register"] => {
            let agent = "select count(*) from agents where id = 'accounts_payable'
                and chatkit_workflow_id like 'wf_<%' and idle_timeout_seconds = 28800";
            has_all(&["accounts_payable is registered"]) && count(stack, agent).await? == 1
        }
        ["servers", "register"] => {
            let tool = "select count(*) from agent_tools where name = 'handle_event'
                and ask_above = 10000 and currency_pointer = '/data/currency'";
            let routes = "select count(*) from agent_routes where tool = 'handle_event'";
            has_all(&["handle_event  auto; button_click, agent_follow_up, handover"])
                && count(stack, tool).await? == 1
                && count(stack, routes).await? == 3
        }
        ["agents", "list"] => {
            has_all(&["accounts_payable  openai_hosted", "self_hosted", "  credential ", "pay  auto; "])
        }
        ["members", "set-role"] => {
            let approvers =
                "select count(*) from auth.users where raw_app_meta_data ->> 'org_role' = 'approver'";
            has_all(&["approver"]) && count(stack, approvers).await? == 1
        }
        ["members", "remove"] => {
            let users = "select count(*) from auth.users where raw_app_meta_data ? 'org_id'";
            has_all(&["This ends the membership", "Continue?", "The role was approver."])
                && count(stack, users).await? == 0
        }
        ["limits", "set"] => {
            // The user's organisation has other limits than the defaults.
            let limits = "select count(*) from org_limits
                where events_per_minute_session = 1200 and keys_per_day_user = 1000000";
            has_all(&["events_per_minute_user", "1200"]) && count(stack, limits).await? == 1
        }
        ["limits", "reset"] => {
            let limits = "select count(*) from org_limits where num_nonnulls(
                events_per_minute_session, events_per_minute_user, keys_per_day_user) > 0";
            has_all(&["events_per_minute_session     300", "keys_per_day_user             10000"])
                && count(stack, limits).await? == 0
        }
        ["retention", "set"] => {
            let retention = "select count(*) from org_retention where keep_days = 365";
            has_all(&["This cannot be undone. Continue?", "365 days"]) && count(stack, retention).await? == 1
        }
        ["retention", "clear"] => {
            has_all(&["forever"]) && count(stack, "select count(*) from org_retention").await? == 0
        }
        ["users", "erase"] => {
            let erasure = "select count(*) from erasures where finished_at is not null
                and requested_by = 'dpo@example.com' and reason = 'request 4711 of 22 November'";
            has_all(&["Continue?", "sessions ended", "rows erased", "is erased in"])
                && count(stack, erasure).await? == 1
                && count(stack, "select count(*) from chat_sessions").await? == 0
        }
        _ => anyhow::bail!("the test does not know this command"),
    };
    ensure!(is_expected, "the command did not have its effect");
    Ok(())
}

/// Checks that no secret of the stack is shown.
fn check_secrets(stack: &LocalStack, shown: &str) -> Result<()> {
    for (name, value) in stack.environment().all_variables() {
        let is_secret = ["SECRET", "KEY", "CREDENTIALS"].iter().any(|word| name.contains(word));
        ensure!(!is_secret || !shown.contains(&value), "the command shows {name}");
    }
    Ok(())
}

/// Opens a session with a thread of OpenAI, and returns its id.
async fn open_session_with_thread(stack: &LocalStack, member: &TestClient) -> Result<Uuid> {
    let session = member.open_session().await?;
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let thread = stack.openai().post_message(secret, None, "Is invoice 42 paid?").await?.thread_id;
    let payload = json!({ "threadId": thread });
    member.record_event(&session_path(&session), "thread_changed", payload).await?.expect(201)?;
    Ok(serde_json::from_value(session["id"].clone())?)
}

/// Creates two dead letters in two sessions, and returns their ids.
async fn create_dead_letters(stack: &LocalStack, member: &TestClient) -> Result<Vec<Uuid>> {
    for _ in 0..2 {
        fixture::record_click(member, &member.open_session_path().await?).await?;
    }
    let calls = stack.claim_deliveries().await?;
    ensure!(calls.len() == 2, "expected two calls, claimed {calls:#?}");
    for call in &calls {
        sqlx::query("update deliveries set attempts = 5").execute(stack.database()).await?;
        stack.finish_delivery(call, json!({ "kind": "retry", "error": "unreachable" })).await?;
    }
    let id = |call: &Value| Ok(serde_json::from_value(call["id"].clone())?);
    calls.iter().map(id).collect()
}

/// The blocks of shell commands that begin with the command.
fn command_blocks(page: &str) -> Vec<String> {
    let blocks = markdown::blocks(page, "sh").into_iter();
    blocks.filter(|block| block.contains("cargo admin ")).collect()
}

/// Writes the files that a page shows: TOML whose first line is a comment with the file's name.
fn write_files(page: &str, folder: &Path) -> Result<()> {
    for block in markdown::blocks(page, "toml") {
        let name = block.lines().next().and_then(|line| line.strip_prefix("# "));
        if let Some(name) = name.filter(|name| name.ends_with(".toml")) {
            std::fs::write(folder.join(name), block.as_bytes())?;
        }
    }
    Ok(())
}

/// Finds Markdown pages, without those of installed packages.
fn find_pages(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("node_modules") {
            find_pages(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path.strip_prefix(root()?)?.display().to_string());
        }
    }
    Ok(())
}
