//! One erasure, from its request to its record.

use anyhow::{Context, Result, ensure};
use local_stack::supabase::OrgRole;
use local_stack::{LocalStack, PROJECT};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{count, erase, erase_error, erase_request, fixture, table_rows};
use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn erase_user_deletes_all_data_of_the_user_only() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let colleague = fixture::colleague(&stack, &member).await?;
    fixture::create_data(&stack, &colleague).await?;
    let other_org = fixture::in_other_organisation(&stack, &member).await?;
    fixture::create_data(&stack, &other_org).await?;
    stack.upsert_user(&member.user).await?;
    let markers = fixture::create_data(&stack, &member).await?;
    let markers = &markers[1..];
    let chatkit_user = markers.last().context("no markers")?;

    let before = table_rows::read_all(&stack).await?;
    for table in table_rows::user_tables(&stack).await? {
        ensure!(table_rows::of_user(&before, &member).contains_key(&table), "{table} has no row of the user");
    }
    let threads = stack.openai().thread_ids_of_user(chatkit_user);
    let others = [&colleague, &other_org].map(async |other| fixture::chatkit_user(&stack, other).await);
    ensure!(threads.len() == 4, "expected 4 threads, found {}", threads.len());

    let report = erase(&stack, &member).await?;
    let counts = json!({
        "sessions": 3, "events": 12, "messages": 4, "tasks": 2, "escalations": 2, "deliveries": 3, "threads": 5,
    });
    ensure!(report["counts"] == counts, "{report}");

    let after = table_rows::read_all(&stack).await?;
    ensure!(
        table_rows::of_user(&after, &member).is_empty(),
        "remaining rows: {:#?}",
        table_rows::of_user(&after, &member)
    );
    let found = table_rows::containing(&after, markers);
    ensure!(found.is_empty(), "rows contain markers of the user: {found:#?}");
    ensure!(after == table_rows::without_user(&before, &member), "rows of other users have changed");
    ensure!(stack.openai().thread_ids_of_user(chatkit_user).is_empty(), "the user still has threads");
    for other in others {
        ensure!(
            stack.openai().thread_ids_of_user(&other.await?).len() == 4,
            "a thread of another user is deleted"
        );
    }
    Ok(())
}

#[tokio::test]
async fn repeated_erasure_returns_the_report_until_new_data_exists() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    fixture::create_data(&stack, &member).await?;
    let first = erase(&stack, &member).await?;
    let record: Value =
        sqlx::query_scalar("select to_jsonb(e) from erasures as e").fetch_one(stack.database()).await?;
    ensure!(record["requested_by"] == "ops-1" && record["reason"] == "ticket 4711", "{record}");
    ensure!(record["thread_ids"] == json!([]), "the record contains thread ids: {record}");
    ensure!(first["id"] == record["id"] && first["userId"] == json!(member.user.id), "{first}");
    let mut other = erase_request(&member);
    other["requestedBy"] = json!("ops-2");
    ensure!(
        stack.invoke_admin("erase-user", &other).await? == first,
        "the repeated request returned another report"
    );

    member.open_session().await?;
    let second = erase(&stack, &member).await?;
    ensure!(second["id"] != first["id"] && second["counts"]["sessions"] == 1, "{second}");
    for change in ["delete from erasures", "update erasures set reason = 'none'"] {
        ensure!(sqlx::query(change).execute(stack.database()).await.is_err(), "{change}");
    }
    ensure!(count(&stack, "select count(*) from erasures").await? == 2);
    // The operator's texts may name people, so they are stored but not logged.
    let lines = stack.final_logs().await;
    let logged = lines.iter().find(|line| line.contains("ticket 4711") || line.contains("ops-1"));
    ensure!(logged.is_none(), "the operator's text is logged: {logged:?}");
    ensure!(lines.iter().any(|line| line.contains("task completed")), "no line of the completed task");
    Ok(())
}

#[tokio::test]
async fn erasure_of_many_threads_and_events_deletes_all() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let session = member.open_session_path().await?;
    let name = fixture::chatkit_user(&stack, &member).await?;
    for _ in 0..230 {
        stack.openai().put_thread_in(PROJECT, &name, None, Vec::new());
    }
    let event = || json!({ "id": Uuid::new_v4(), "type": "custom_scrolled", "payload": {} });
    for _ in 0..25 {
        let events: Vec<Value> = (0..100).map(|_| event()).collect();
        member.post(&format!("{session}/events"), json!(events)).await?.expect(201)?;
    }
    let report = erase(&stack, &member).await?;
    let counts = &report["counts"];
    ensure!(counts["threads"] == 230 && counts["events"] == 2501 && counts["sessions"] == 1, "{report}");
    ensure!(stack.openai().thread_ids_of_user(&name).is_empty());
    ensure!(table_rows::of_user(&table_rows::read_all(&stack).await?, &member).is_empty());
    Ok(())
}

#[tokio::test]
async fn erasure_keeps_decisions_about_other_users() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let approver = TestClient::in_organisation(&stack, member.user.org_id, OrgRole::Approver).await?;
    approver.open_session().await?;
    let session = member.open_session_path().await?;
    let escalation = json!({ "reason": "Too much", "decisions": ["approve"] });
    member.record_event(&session, "hitl_escalation", escalation).await?.expect(201)?;
    let list = approver.get("/chatkit/escalations").await?.expect(200)?;
    let escalation = &list["escalations"][0];
    let decision_path =
        format!("/chatkit/escalations/{}/decision", escalation["id"].as_str().context("no id")?);
    let decision = json!({ "decision": "approve", "subjectHash": escalation["subjectHash"] });
    let key = [("idempotency-key", "d-1")];
    approver.send(http_client::Method::POST, &decision_path, &key, Some(decision)).await?.expect(200)?;

    erase(&stack, &approver).await?;
    let decided_by: Uuid =
        sqlx::query_scalar("select decided_by from chat_escalations").fetch_one(stack.database()).await?;
    ensure!(decided_by == approver.user.id, "the decision has lost its approver: {decided_by}");
    ensure!(
        table_rows::of_user(&table_rows::read_all(&stack).await?, &approver).is_empty(),
        "rows of the approver remain"
    );
    Ok(())
}

#[tokio::test]
async fn invalid_erasure_request_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let foreign = fixture::member(&stack).await?;
    member.open_session().await?;
    let mut unknown_user = erase_request(&member);
    unknown_user["orgId"] = json!(foreign.user.org_id);
    let error = erase_error(&stack, &unknown_user).await?;
    ensure!(error.contains("user_not_found"), "user of another organisation: {error}");
    unknown_user["userId"] = json!(Uuid::new_v4());
    let error = erase_error(&stack, &unknown_user).await?;
    ensure!(error.contains("user_not_found"), "unknown id: {error}");
    let mut without_operator = erase_request(&member);
    without_operator["requestedBy"] = json!("");
    let error = erase_error(&stack, &without_operator).await?;
    ensure!(error.contains("erasures_requested_by_length"), "empty requestedBy: {error}");
    let without_reason =
        json!({ "orgId": member.user.org_id, "userId": member.user.id, "requestedBy": "ops" });
    let error = erase_error(&stack, &without_reason).await?;
    ensure!(error.contains("missing field `reason`"), "no reason: {error}");
    ensure!(count(&stack, "select count(*) from erasures").await? == 0, "an erasure was recorded");
    ensure!(member.open_session().await?["status"] == "active");
    Ok(())
}

#[tokio::test]
async fn erasure_without_chatkit_requires_no_chatkit_sessions() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    let member = fixture::member(&stack).await?;
    let session = member.open_session().await?;
    fixture::record_click(&member, &session_path(&session)).await?;
    erase(&stack, &member).await?;
    ensure!(table_rows::of_user(&table_rows::read_all(&stack).await?, &member).is_empty());

    // This session was opened while ChatKit was configured.
    let session = member.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.expect(201)?;
    let renewal = json!({
        "p_org_id": member.user.org_id, "p_user_id": member.user.id, "p_session_id": session["id"], "p_purpose": "resume",
        "p_min_life_seconds": 60, "p_chatkit_request_id": Uuid::now_v7(), "p_providers": ["openai_hosted"],
    });
    ensure!(stack.rpc("renew_chatkit_session", renewal).await?.0.is_success());
    let error = erase_error(&stack, &erase_request(&member)).await?;
    ensure!(error.contains("chatkit_unavailable") && error.contains("not configured"), "{error}");
    ensure!(
        count(&stack, "select count(*) from chat_sessions").await? == 1,
        "rows were deleted although the erasure failed"
    );
    Ok(())
}
