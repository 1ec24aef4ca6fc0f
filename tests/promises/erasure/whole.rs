//! One erasure from its order to its record.

use anyhow::{Context, Result, ensure};
use libtest_mimic::Trial;
use local_stack::{PROJECT, World, supabase::OrgRole};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{count, erase, order, person, refusal, rows};
use crate::{
    caller::{AGENT, Caller, path},
    harness::{trial, trial_in},
};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("erasure: nothing of a person is left anywhere, and of others' nothing is touched", whole),
        trial("erasure: ordered again, it is the same one; who comes back is erased anew", again),
        trial("erasure: however many threads and events there are, all of them go", many),
        trial("erasure: what the person decided for others stays", decisions),
        trial("erasure: an order about nobody, or that says too little, is refused", wrong_orders),
        trial_in(
            "erasure: without ChatKit it goes as far as there is nothing at ChatKit",
            World::builder().chatkit(false),
            without_chatkit,
        ),
    ]
}

async fn whole(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    let colleague = person::colleague(&world, &person).await?;
    person::live(&world, &colleague).await?;
    let elsewhere = person::elsewhere(&world, &person).await?;
    person::live(&world, &elsewhere).await?;
    world.put_user(&person.user).await?;
    let words = person::live(&world, &person).await?;
    let words = &words[1..];

    let before = rows::all(&world).await?;
    for table in rows::of_people(&world).await? {
        ensure!(rows::of(&before, &person).contains_key(&table), "nothing is tried of {table}");
    }
    let theirs = world.chatkit().threads_of(&words[words.len() - 1]);
    let others = [&colleague, &elsewhere].map(async |other| person::chatkit_user(&world, other).await);
    ensure!(theirs.len() == 4, "{} threads", theirs.len());

    let report = erase(&world, &person).await?;
    let counts = json!({
        "sessions": 3, "events": 12, "messages": 2, "tasks": 2, "escalations": 2, "deliveries": 3, "threads": 4,
    });
    ensure!(report["counts"] == counts, "{report}");

    let after = rows::all(&world).await?;
    ensure!(rows::of(&after, &person).is_empty(), "left: {:#?}", rows::of(&after, &person));
    let said = rows::mentioning(&after, words);
    ensure!(said.is_empty(), "{said:#?}");
    ensure!(after == rows::without(&before, &person), "something of others' is not as it was");
    ensure!(world.chatkit().threads_of(&words[words.len() - 1]).is_empty(), "a thread is left");
    for other in others {
        ensure!(world.chatkit().threads_of(&other.await?).len() == 4, "another one's thread is gone");
    }
    Ok(())
}

async fn again(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    person::live(&world, &person).await?;
    let first = erase(&world, &person).await?;
    let record: Value =
        sqlx::query_scalar("select to_jsonb(e) from erasures as e").fetch_one(world.database()).await?;
    ensure!(record["requested_by"] == "ops-1" && record["reason"] == "ticket 4711", "{record}");
    ensure!(record["thread_ids"] == json!([]), "the threads' ids are kept: {record}");
    ensure!(first["id"] == record["id"] && first["userId"] == json!(person.user.id), "{first}");
    let mut other = order(&person);
    other["requestedBy"] = json!("ops-2");
    ensure!(world.order("erase-user", &other).await? == first, "another one");

    person.open().await?;
    let second = erase(&world, &person).await?;
    ensure!(second["id"] != first["id"] && second["counts"]["sessions"] == 1, "{second}");
    for change in ["delete from erasures", "update erasures set reason = 'none'"] {
        ensure!(sqlx::query(change).execute(world.database()).await.is_err(), "{change}");
    }
    ensure!(count(&world, "select count(*) from erasures").await? == 2);
    // What an operator writes is for the record, and may name people.
    let lines = world.final_logs().await;
    let told = lines.iter().find(|line| line.contains("ticket 4711") || line.contains("ops-1"));
    ensure!(told.is_none() && lines.iter().any(|line| line.contains("task completed")), "{told:?}");
    Ok(())
}

async fn many(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    let session = person.open_path().await?;
    let name = person::chatkit_user(&world, &person).await?;
    for _ in 0..230 {
        world.chatkit().put_thread_in(PROJECT, &name, None, Vec::new());
    }
    let event = || json!({ "id": Uuid::new_v4(), "type": "custom_scrolled", "payload": {} });
    for _ in 0..25 {
        let events: Vec<Value> = (0..100).map(|_| event()).collect();
        person.post(&format!("{session}/events"), json!(events)).await?.expect(201)?;
    }
    let report = erase(&world, &person).await?;
    let counts = &report["counts"];
    ensure!(counts["threads"] == 230 && counts["events"] == 2501 && counts["sessions"] == 1, "{report}");
    ensure!(world.chatkit().threads_of(&name).is_empty());
    ensure!(rows::of(&rows::all(&world).await?, &person).is_empty());
    Ok(())
}

async fn decisions(world: World) -> Result<()> {
    let member = person::member(&world).await?;
    let approver = Caller::joining(&world, member.user.org_id, OrgRole::Approver).await?;
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

    erase(&world, &approver).await?;
    let kept: Uuid =
        sqlx::query_scalar("select decided_by from chat_escalations").fetch_one(world.database()).await?;
    ensure!(kept == approver.user.id, "the decision has lost who took it");
    ensure!(rows::of(&rows::all(&world).await?, &approver).is_empty(), "something else is left");
    Ok(())
}

async fn wrong_orders(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    let stranger = person::member(&world).await?;
    person.open().await?;
    let mut about = order(&person);
    about["orgId"] = json!(stranger.user.org_id);
    ensure!(refusal(&world, &about).await?.contains("user_not_found"), "the id is of somebody elsewhere");
    about["userId"] = json!(Uuid::new_v4());
    ensure!(refusal(&world, &about).await?.contains("user_not_found"), "nobody's id");
    let mut nameless = order(&person);
    nameless["requestedBy"] = json!("");
    ensure!(refusal(&world, &nameless).await?.contains("erasures_requested_by_length"), "nobody wants it");
    let unexplained = json!({ "orgId": person.user.org_id, "userId": person.user.id, "requestedBy": "ops" });
    ensure!(refusal(&world, &unexplained).await?.contains("missing field `reason`"), "nobody knows why");
    ensure!(count(&world, "select count(*) from erasures").await? == 0, "something was begun");
    ensure!(person.open().await?["status"] == "active");
    Ok(())
}

async fn without_chatkit(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    let session = person.open().await?;
    person::click(&person, &path(&session)).await?;
    erase(&world, &person).await?;
    ensure!(rows::of(&rows::all(&world).await?, &person).is_empty());

    // ChatKit was configured before.
    let id = person.post("/chatkit/sessions", json!({ "agentId": AGENT })).await?.expect(201)?;
    let asked = json!({
        "p_org_id": person.user.org_id, "p_user_id": person.user.id, "p_session_id": id["id"], "p_purpose": "resume",
        "p_min_life_seconds": 60, "p_chatkit_request_id": Uuid::now_v7(),
    });
    ensure!(world.rpc("renew_chatkit_session", asked).await?.0.is_success());
    let refused = refusal(&world, &order(&person)).await?;
    ensure!(refused.contains("chatkit_unavailable") && refused.contains("not configured"), "{refused}");
    ensure!(count(&world, "select count(*) from chat_sessions").await? == 1, "rows went all the same");
    Ok(())
}
