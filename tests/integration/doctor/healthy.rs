//! A deployment without faults: the doctor reports none, keeps nothing and reveals nothing.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::{Operation, SessionStatus};
use local_stack::postgres::Grants;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{expect_faults, run_doctor, seed, start};
use crate::support::project_files::read_text;

#[tokio::test]
async fn deployment_without_faults_is_healthy() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    expect_faults(&stack, &[], &[]).await
}

/// A page whose domain is missing on the list shows no chat, and the doctor cannot read the list.
#[tokio::test]
async fn openai_domain_allowlist_is_named_by_report_and_deployment_guide() -> Result<()> {
    let stack = start(LocalStack::builder()).await?;
    let report = run_doctor(&stack).await?;
    let findings = report["findings"].as_array().context("a report without findings")?;
    let chatkit = findings.iter().find(|finding| finding["check"] == "chatkit").context("no chatkit")?;
    let detail = chatkit["detail"].as_str().unwrap_or_default();
    ensure!(detail.contains("OpenAI's domain allow-list"), "the finding does not name it: {chatkit}");
    for page in ["docs/guides/deploy.md", "docs/operations/doctor.md", "docs/operations/runbook.md"] {
        let text = read_text(page)?.split_whitespace().collect::<Vec<_>>().join(" ");
        ensure!(text.to_lowercase().contains("domain allowlist"), "{page} does not name it");
    }
    Ok(())
}

#[tokio::test]
async fn older_project_with_legacy_keys_is_healthy() -> Result<()> {
    let older = LocalStack::builder().default_grants(Grants::Before20261030).legacy_keys(true);
    let stack = start(older).await?;
    expect_faults(&stack, &[], &[]).await
}

#[tokio::test]
async fn chatkit_checks_without_chatkit_are_skipped() -> Result<()> {
    let stack = start(LocalStack::builder().chatkit(false)).await?;
    expect_faults(&stack, &[], &["chatkit", "workflow", "sealing_keys"]).await
}

#[tokio::test]
async fn agent_checks_without_agents_are_skipped() -> Result<()> {
    let stack = LocalStack::start().await?;
    expect_faults(&stack, &[], &["workflow", "agent_server"]).await
}

#[tokio::test]
async fn chatkit_sessions_last_one_second_and_are_cancelled() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = seed(&stack).await?;
    stack.register_agent(caller.user.org_id, "tax_compliance", "Tax").await?;
    let before = stack.openai().sessions().len();
    expect_faults(&stack, &[], &[]).await?;
    let sessions = stack.openai().sessions().split_off(before);
    ensure!(sessions.len() == 2, "expected one session per enabled agent, found {sessions:?}");
    let cancels = stack.openai().calls(Operation::CancelSession);
    for session in sessions {
        // It may have expired before the cancel: OpenAI rounds to whole seconds.
        ensure!(session.status != SessionStatus::Active && !session.tracing, "{session:?}");
        let path = format!("/{}/", session.id);
        let cancelled = cancels.iter().filter(|call| call.path.contains(&path)).count();
        ensure!(cancelled == 1, "expected 1 cancel, found {cancelled}: {session:?}");
        ensure!(Uuid::try_parse(&session.user).is_err(), "the session has the id of a user: {session:?}");
    }
    for call in stack.openai().calls(Operation::CreateSession).split_off(before) {
        let lifetime = json!({ "anchor": "created_at", "seconds": 1 });
        let body: Value = serde_json::from_slice(&call.body)?;
        ensure!(body["expires_after"] == lifetime, "expected {lifetime}, found {body}");
    }
    ensure!(stack.agents().iter().all(|agent| agent.calls().is_empty()), "the doctor called a tool");
    Ok(())
}

#[tokio::test]
async fn report_and_log_contain_no_secrets_and_no_ids() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = seed(&stack).await?;
    let session_id = caller.open_session().await?["id"].as_str().unwrap_or_default().to_owned();
    let report = run_doctor(&stack).await?.to_string();
    let sessions = stack.openai().sessions();
    let lines = stack.final_logs().await.join("\n");
    let environment = stack.environment().all_variables();
    let variables = [
        "SUPABASE_SECRET_KEY",
        "SUPABASE_PUBLISHABLE_KEY",
        "OPENAI_CHATKIT_SECRET",
        "DATABASE_WEBHOOK_SECRET",
    ];
    let mut secrets: Vec<String> = variables.iter().map(|name| environment[*name].clone()).collect();
    secrets.push(environment["CHATKIT_SEALING_KEYS"].trim_start_matches("k1:").to_owned());
    secrets.push(stack.agents().bearer().to_owned());
    secrets.extend(sessions.iter().map(|session| session.client_secret.reveal().to_owned()));
    for secret in secrets {
        ensure!(!report.contains(&secret), "the report contains {secret}: {report}");
        ensure!(!lines.contains(&secret), "the log contains {secret}: {lines}");
    }
    let (_, state) = stack.rpc("deployment_state", json!({})).await?;
    for id in [caller.user.id.to_string(), caller.user.org_id.to_string(), session_id] {
        ensure!(!report.contains(&id), "the report contains the id {id}: {report}");
        ensure!(!state.to_string().contains(&id), "deployment_state contains the id {id}: {state}");
    }
    Ok(())
}

#[tokio::test]
async fn input_that_is_not_an_empty_object_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    for input in [json!({ "check": "schema" }), json!([]), json!("all"), json!(null)] {
        let outcome = stack.invoke_admin("doctor", &input).await;
        let error = outcome.err().map(|error| error.to_string()).unwrap_or_default();
        ensure!(error.contains("invalid_request: "), "{input}: expected invalid_request, found {error:?}");
    }
    expect_faults(&stack, &[], &["workflow", "agent_server"]).await
}

#[tokio::test]
async fn http_request_does_not_run_the_doctor() -> Result<()> {
    let stack = LocalStack::start().await?;
    let deployed = local_stack::lambda::workspace().await?.template.function("doctor")?.clone();
    ensure!(deployed.routes.is_empty(), "expected no routes, found {:?}", deployed.routes);
    // An operator could still add a function URL. The function rejects the event of a request.
    let response = local_stack::http::client().get(stack.function_url("doctor")).send().await?;
    ensure!(response.status() == 502, "expected 502, found {}", response.status());
    Ok(())
}
