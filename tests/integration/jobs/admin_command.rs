//! `cargo admin`: refusals, confirmations and exit codes.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::jobs::erasure::{count, fixture, table_rows};
use crate::support::admin_command::{AdminCommand, text};
use crate::support::client::TestClient;

#[tokio::test]
async fn erasure_by_the_command_deletes_all_data_of_the_user_only() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let colleague = fixture::colleague(&stack, &member).await?;
    fixture::create_data(&stack, &colleague).await?;
    let markers = fixture::create_data(&stack, &member).await?;
    let chatkit_user = markers.last().context("no markers")?;
    let before = table_rows::read_all(&stack).await?;
    let admin = AdminCommand::new(&stack).await?;
    let user = member.user.id;
    let org = member.user.org_id;
    let erase = format!("users erase {user} --org {org} --requested-by ops-1 --reason test --yes");
    let report = admin.json(&erase).await?;
    ensure!(report["counts"]["sessions"] == 3 && report["counts"]["threads"] == 5, "{report}");
    let after = table_rows::read_all(&stack).await?;
    ensure!(after == table_rows::without_user(&before, &member), "rows of other users have changed");
    ensure!(stack.openai().thread_ids_of_user(chatkit_user).is_empty(), "the user still has threads");
    ensure!(admin.json(&erase).await? == report, "the repeated command returned another record");
    Ok(())
}

#[tokio::test]
async fn command_without_confirmation_changes_nothing_and_exits_with_2() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let delivery = create_unknown_outcome(&stack, &member).await?;
    let admin = AdminCommand::new(&stack).await?;
    let (user, org) = (member.user.id, member.user.org_id);
    let changes = [
        (
            format!("users erase {user} --org {org} --requested-by ops-1 --reason test"),
            "select count(*) from erasures where finished_at is not null",
        ),
        (
            format!("retention set --days 1 --org {org}"),
            "select count(*) from org_retention where keep_days = 1",
        ),
        (
            format!("deliveries replay {delivery} --org {org}"),
            "select count(*) from deliveries where status = 'pending'",
        ),
    ];
    for (command, effect) in &changes {
        let refused = admin.run(command).await?;
        let message = text(&refused);
        ensure!(refused.status.code() == Some(2), "{command}: {}: {message}", refused.status);
        ensure!(message.contains("--yes") && refused.stdout.is_empty(), "{command}: {message}");
        ensure!(count(&stack, effect).await? == 0, "{command} had an effect without a confirmation");
    }
    for (command, effect) in changes.iter().rev() {
        admin.json(&format!("{command} --yes")).await?;
        ensure!(count(&stack, effect).await? == 1, "{command} --yes had no effect");
    }
    Ok(())
}

#[tokio::test]
async fn replay_of_all_leaves_unknown_outcomes_and_ended_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let unknown = create_unknown_outcome(&stack, &member).await?;
    let ended = create_dead_letter(&stack, &member, true).await?;
    let dead = create_dead_letter(&stack, &member, false).await?;
    let admin = AdminCommand::new(&stack).await?;
    let org = member.user.org_id;
    let listed = admin.json(&format!("deliveries list --org {org}")).await?;
    ensure!(listed["deliveries"].as_array().map(Vec::len) == Some(3), "{listed:#}");
    let report = admin.json(&format!("deliveries replay --all --org {org} --yes")).await?;
    let expected = json!({ "replayed": [dead], "queued": [], "ended": [ended], "refused": [] });
    ensure!(report == expected, "expected {expected:#}, found {report:#}");
    let listed = admin.json(&format!("deliveries list --org {org}")).await?;
    ensure!(listed["deliveries"].as_array().map(Vec::len) == Some(2), "{listed:#}");
    ensure!(listed.to_string().contains(&unknown.to_string()), "{listed:#}");

    let refused = admin.run(&format!("deliveries replay {ended} --org {org} --json")).await?;
    ensure!(refused.status.code() == Some(1), "{}: {}", refused.status, text(&refused));
    let report: Value = serde_json::from_slice(&refused.stdout)?;
    ensure!(
        report["refused"][0]["error"].as_str().is_some_and(|e| e.starts_with("session_ended: ")),
        "{report}"
    );
    Ok(())
}

#[tokio::test]
async fn invalid_registration_names_the_rule_and_the_place() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let admin = AdminCommand::new(&stack).await?;
    let org = member.user.org_id;
    let server = |agent: &str, tool: &str| {
        format!("agent_id = '{agent}'\nurl = 'https://a.example'\nroutes = []\n{tool}")
    };
    let tools =
        |policy: &str| format!("[[tools]]\nname = 'pay'\n[[tools]]\nname = 'ask'\npolicy = '{policy}'\n");
    let cases = [
        // The file, the exit code, and parts of the message.
        (
            server("accounts_payable", &tools("allow")),
            1,
            "invalid_agent_server (agent_tools_policy_known, at /tools/1)",
        ),
        (server("nobody", &tools("ask")), 1, "Register the agent first."),
        (server("accounts_payable", "[[tools]]\nname = 'pay'\npolcy = 'ask'"), 1, "unknown_field:polcy"),
        (server("accounts_payable", "colour = 'red'"), 2, "unknown field `colour`"),
        (server("accounts_payable", "colour = red"), 2, "server.toml: line 4: "),
    ];
    let before = count(&stack, "select count(*) from agent_tools").await?;
    for (file, exit_code, part) in cases {
        std::fs::write(admin.folder().join("server.toml"), &file)?;
        let output = admin.run(&format!("servers register server.toml --org {org}")).await?;
        let message = text(&output);
        ensure!(output.status.code() == Some(exit_code), "{file}\n{}: {message}", output.status);
        ensure!(message.contains(part), "{file}\nexpected {part:?}, found {message}");
    }
    ensure!(count(&stack, "select count(*) from agent_tools").await? == before, "a tool has changed");
    let output = admin.run(&format!("limits set keys_per_day_user=1 --org {org}")).await?;
    ensure!(output.status.code() == Some(1) && text(&output).contains("limits.md"), "{}", text(&output));
    Ok(())
}

#[tokio::test]
async fn refused_key_is_reported_and_not_shown() -> Result<()> {
    let stack = LocalStack::start().await?;
    let admin = AdminCommand::new(&stack).await?;
    let key = "sb_secret_c4n4ryc4n4ryc4n4ryc4n_12345678";
    let file = admin.folder().join("production.env");
    let variables = std::fs::read_to_string(&file)?;
    let lines = variables.lines().map(|line| match line.split_once('=') {
        Some(("SUPABASE_SECRET_KEY", _)) => format!("SUPABASE_SECRET_KEY='{key}'\n"),
        _ => format!("{line}\n"),
    });
    std::fs::write(&file, lines.collect::<String>())?;
    let output = admin.run(&format!("limits show --org {}", Uuid::new_v4())).await?;
    let message = text(&output);
    ensure!(output.status.code() == Some(1), "{}: {message}", output.status);
    ensure!(message.contains("supabase_key_refused: ") && !message.contains("c4n4ry"), "{message}");
    Ok(())
}

async fn create_unknown_outcome(stack: &LocalStack, member: &TestClient) -> Result<Uuid> {
    finish_call(stack, member, json!({ "kind": "unknown", "error": "connection_lost" }))
        .await
        .map(|(id, _)| id)
}

async fn create_dead_letter(stack: &LocalStack, member: &TestClient, ends_session: bool) -> Result<Uuid> {
    let (id, session) =
        finish_call(stack, member, json!({ "kind": "failed", "error": "call_refused" })).await?;
    if ends_session {
        member.cancel(&session).await?.expect(200)?;
    }
    Ok(id)
}

/// Finishes the call of a click in a new session. Returns the ids of the delivery and the session's
/// path.
async fn finish_call(stack: &LocalStack, member: &TestClient, outcome: Value) -> Result<(Uuid, String)> {
    let session = member.open_session_path().await?;
    fixture::record_click(member, &session).await?;
    let calls = stack.claim_deliveries().await?;
    ensure!(calls.len() == 1, "expected one call, claimed {calls:#?}");
    stack.finish_delivery(&calls[0], outcome).await?;
    Ok((serde_json::from_value(calls[0]["id"].clone())?, session))
}
