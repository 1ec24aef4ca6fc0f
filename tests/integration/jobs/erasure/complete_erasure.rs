//! One erasure from its order to its record.

use anyhow::{Context, Result, ensure};
use local_stack::supabase::OrgRole;
use local_stack::{LocalStack, PROJECT};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{count, erase, fixture, fixture_rows, order, refusal};
use crate::support::client::{AGENT, TestClient, path};

// NAME: erasure: nothing of a person is left anywhere, and of others' nothing is touched
#[tokio::test]
async fn whole() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let colleague = fixture::colleague(&stack, &person).await?;
    fixture::live(&stack, &colleague).await?;
    let elsewhere = fixture::elsewhere(&stack, &person).await?;
    fixture::live(&stack, &elsewhere).await?;
    stack.put_user(&person.user).await?;
    let words = fixture::live(&stack, &person).await?;
    let words = &words[1..];

    let before = fixture_rows::all(&stack).await?;
    for table in fixture_rows::of_people(&stack).await? {
        ensure!(fixture_rows::of(&before, &person).contains_key(&table), "nothing is tried of {table}");
    }
    let theirs = stack.openai().threads_of(&words[words.len() - 1]);
    let others = [&colleague, &elsewhere].map(async |other| fixture::chatkit_user(&stack, other).await);
    ensure!(theirs.len() == 4, "{} threads", theirs.len());

    let report = erase(&stack, &person).await?;
    let counts = json!({
        "sessions": 3, "events": 12, "messages": 2, "tasks": 2, "escalations": 2, "deliveries": 3, "threads": 4,
    });
    ensure!(report["counts"] == counts, "{report}");

    let after = fixture_rows::all(&stack).await?;
    ensure!(fixture_rows::of(&after, &person).is_empty(), "left: {:#?}", fixture_rows::of(&after, &person));
    let said = fixture_rows::mentioning(&after, words);
    ensure!(said.is_empty(), "{said:#?}");
    ensure!(after == fixture_rows::without(&before, &person), "something of others' is not as it was");
    ensure!(stack.openai().threads_of(&words[words.len() - 1]).is_empty(), "a thread is left");
    for other in others {
        ensure!(stack.openai().threads_of(&other.await?).len() == 4, "another one's thread is gone");
    }
    Ok(())
}

// NAME: erasure: ordered again, it is the same one; who comes back is erased anew
#[tokio::test]
async fn again() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    fixture::live(&stack, &person).await?;
    let first = erase(&stack, &person).await?;
    let record: Value =
        sqlx::query_scalar("select to_jsonb(e) from erasures as e").fetch_one(stack.database()).await?;
    ensure!(record["requested_by"] == "ops-1" && record["reason"] == "ticket 4711", "{record}");
    ensure!(record["thread_ids"] == json!([]), "the threads' ids are kept: {record}");
    ensure!(first["id"] == record["id"] && first["userId"] == json!(person.user.id), "{first}");
    let mut other = order(&person);
    other["requestedBy"] = json!("ops-2");
    ensure!(stack.invoke_admin("erase-user", &other).await? == first, "another one");

    person.open().await?;
    let second = erase(&stack, &person).await?;
    ensure!(second["id"] != first["id"] && second["counts"]["sessions"] == 1, "{second}");
    for change in ["delete from erasures", "update erasures set reason = 'none'"] {
        ensure!(sqlx::query(change).execute(stack.database()).await.is_err(), "{change}");
    }
    ensure!(count(&stack, "select count(*) from erasures").await? == 2);
    // What an operator writes is for the record, and may name people.
    let lines = stack.final_logs().await;
    let told = lines.iter().find(|line| line.contains("ticket 4711") || line.contains("ops-1"));
    ensure!(told.is_none() && lines.iter().any(|line| line.contains("task completed")), "{told:?}");
    Ok(())
}

// NAME: erasure: however many threads and events there are, all of them go
#[tokio::test]
async fn many() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let session = person.open_path().await?;
    let name = fixture::chatkit_user(&stack, &person).await?;
    for _ in 0..230 {
        stack.openai().put_thread_in(PROJECT, &name, None, Vec::new());
    }
    let event = || json!({ "id": Uuid::new_v4(), "type": "custom_scrolled", "payload": {} });
    for _ in 0..25 {
        let events: Vec<Value> = (0..100).map(|_| event()).collect();
        person.post(&format!("{session}/events"), json!(events)).await?.expect(201)?;
    }
    let report = erase(&stack, &person).await?;
    let counts = &report["counts"];
    ensure!(counts["threads"] == 230 && counts["events"] == 2501 && counts["sessions"] == 1, "{report}");
    ensure!(stack.openai().threads_of(&name).is_empty());
    ensure!(fixture_rows::of(&fixture_rows::all(&stack).await?, &person).is_empty());
    Ok(())
}

// NAME: erasure: what the person decided for others stays
#[tokio::test]
async fn decisions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let approver = TestClient::joining(&stack, member.user.org_id, OrgRole::Approver).await?;
    approver.open().await?;
    let session = member.open_path().await?;
    let ask = json!({ "reason": "Too much", "decisions": ["approve"] });
    member.record(&session, "hitl_escalation", ask).await?.expect(201)?;
    let shown = approver.get("/chatkit/escalations").await?.expect(200)?;
    let shown = &shown["escalations"][0];
    let door = format!("/chatkit/escalations/{}/decision", shown["id"].as_str().context("no id")?);
    let decision = json!({ "decision": "approve", "subjectHash": shown["subjectHash"] });
    let key = [("idempotency-key", "d-1")];
    approver.send(http_client::Method::POST, &door, &key, Some(decision)).await?.expect(200)?;

    erase(&stack, &approver).await?;
    let kept: Uuid =
        sqlx::query_scalar("select decided_by from chat_escalations").fetch_one(stack.database()).await?;
    ensure!(kept == approver.user.id, "the decision has lost who took it");
    ensure!(
        fixture_rows::of(&fixture_rows::all(&stack).await?, &approver).is_empty(),
        "something else is left"
    );
    Ok(())
}

// NAME: erasure: an order about nobody, or that says too little, is refused
#[tokio::test]
async fn wrong_orders() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let stranger = fixture::member(&stack).await?;
    person.open().await?;
    let mut about = order(&person);
    about["orgId"] = json!(stranger.user.org_id);
    ensure!(refusal(&stack, &about).await?.contains("user_not_found"), "the id is of somebody elsewhere");
    about["userId"] = json!(Uuid::new_v4());
    ensure!(refusal(&stack, &about).await?.contains("user_not_found"), "nobody's id");
    let mut nameless = order(&person);
    nameless["requestedBy"] = json!("");
    ensure!(refusal(&stack, &nameless).await?.contains("erasures_requested_by_length"), "nobody wants it");
    let unexplained = json!({ "orgId": person.user.org_id, "userId": person.user.id, "requestedBy": "ops" });
    ensure!(refusal(&stack, &unexplained).await?.contains("missing field `reason`"), "nobody knows why");
    ensure!(count(&stack, "select count(*) from erasures").await? == 0, "something was begun");
    ensure!(person.open().await?["status"] == "active");
    Ok(())
}

// NAME: erasure: without ChatKit it goes as far as there is nothing at ChatKit
#[tokio::test]
async fn without_chatkit() -> Result<()> {
    let stack = LocalStack::builder().chatkit(false).start().await?;
    let person = fixture::member(&stack).await?;
    let session = person.open().await?;
    fixture::click(&person, &path(&session)).await?;
    erase(&stack, &person).await?;
    ensure!(fixture_rows::of(&fixture_rows::all(&stack).await?, &person).is_empty());

    // ChatKit was configured before.
    let id = person.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.expect(201)?;
    let asked = json!({
        "p_org_id": person.user.org_id, "p_user_id": person.user.id, "p_session_id": id["id"], "p_purpose": "resume",
        "p_min_life_seconds": 60, "p_chatkit_request_id": Uuid::now_v7(),
    });
    ensure!(stack.rpc("renew_chatkit_session", asked).await?.0.is_success());
    let refused = refusal(&stack, &order(&person)).await?;
    ensure!(refused.contains("chatkit_unavailable") && refused.contains("not configured"), "{refused}");
    ensure!(count(&stack, "select count(*) from chat_sessions").await? == 1, "rows went all the same");
    Ok(())
}
