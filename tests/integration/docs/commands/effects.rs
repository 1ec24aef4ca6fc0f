//! What the commands of a page have shown and changed.

use std::fs;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::Value;

use super::sandbox::Sandbox;
use crate::jobs::erasure::count;

pub async fn check(page: &str, shown: &str, stack: &LocalStack, sandbox: &Sandbox) -> Result<()> {
    let times = |text: &str| shown.matches(text).count();
    match page {
        "docs/getting-started.md" => return check_tutorial(shown),
        "docs/guides/deploy.md" => {
            ensure!(times("HTTP/1.1 200") == 1 && times("HTTP/1.1 201") == 1, "another status");
            let library = fs::read_to_string(sandbox.path().join("shared/Cargo.toml"))?;
            ensure!(library.contains("\ndefault = [\"runtime-secrets\"]\n"), "the feature is not on");
            // The functions find the project's own file with another default.
            ensure!(library.contains("\nruntime-secrets = ["), "the feature does not exist");
            let webhooks = "select count(*) from chatkit_private.webhook";
            ensure!(count(stack, webhooks).await? == 1, "no webhook is set");
            ensure!(shown.contains("arn:aws:iam::111122223333:user/operator"), "no identity");
        }
        "docs/guides/self-hosted-chat.md" => ensure!(times("\"stopping\":0") == 1, "not stopped"),
        "docs/operations/doctor.md" => ensure!(times("All is well.") == 3, "a fault"),
        "docs/operations/runbook.md" => {
            ensure!(times("ExpireSessions") > 0 && times("found") == 1, "nothing is found");
        }
        "docs/reference/configuration.md" => {
            let is_hex = |line: &str| line.len() == 64 && line.bytes().all(|b| b.is_ascii_hexdigit());
            let is_key = |line: &str| line.starts_with("k1:") && line.len() == 47;
            ensure!(shown.lines().any(is_hex) && shown.lines().any(is_key), "other values");
        }
        "examples/agent-python/README.md" => ensure!(shown.contains("paymentId"), "nothing is paid"),
        _ => {}
    }
    Ok(())
}

/// The answers of the tutorial: each command of `jq` prints one.
fn check_tutorial(shown: &str) -> Result<()> {
    let answers = serde_json::Deserializer::from_str(shown).into_iter::<Value>();
    let answers: Vec<Value> = answers.collect::<Result<_, _>>().context("expected JSON only")?;
    let [agents, event, escalation, decided, messages, session, hidden, cancelled] = &answers[..] else {
        anyhow::bail!("expected eight answers, found {}", answers.len());
    };
    let has =
        |value: &Value, id: &str| value.as_array().is_some_and(|all| all.iter().any(|one| one["id"] == id));
    ensure!(has(&agents["agents"], "accounts_payable"), "{agents:#}");
    ensure!(event["events"][0]["type"] == "button_click", "{event:#}");
    ensure!(escalation["id"].is_string() && escalation["subjectHash"].is_string(), "{escalation:#}");
    ensure!(decided["escalation"]["decision"] == "approve", "{decided:#}");
    ensure!(messages["messages"].is_array(), "{messages:#}");
    ensure!(session["status"] == "active", "{session:#}");
    ensure!(hidden["status"] == 404 && hidden["code"] == "session_not_found", "{hidden:#}");
    ensure!(cancelled["status"] == "ended", "{cancelled:#}");
    // The agent was called again, and has paid.
    let paid = session["events"].as_array().into_iter().flatten().any(|one| one["type"] == "agent_result");
    ensure!(paid, "{session:#}");
    Ok(())
}
