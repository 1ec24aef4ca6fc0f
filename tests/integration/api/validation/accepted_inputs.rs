//! The other side of the line: what is unusual and right is taken, and can be read again.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::request_builder::{Door, agents, cancel, open, read, record, sessions};
use crate::support::client::{AGENT, TestClient, path};

/// So deep and no deeper, as the innermost of a body.
fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

/// Payloads at the edge of what is kept.
fn payloads() -> Vec<Value> {
    vec![
        json!({ "a": "x".repeat(16 * 1024 - 8) }),
        // A body of 64 levels: the list of events, the event, its payload, and 61 more.
        json!({ "a": nested(61) }),
        json!({ "whole": [9_007_199_254_740_993_u64, u64::MAX, i64::MIN], "broken": [1e21, -0.5, 0.1 + 0.2, 2.0_f64 / 3.0, 5e-324, f64::MAX] }),
        json!({ "": "", "a/b~c": "'; drop table chat_events; --", "\u{1}\u{7f}": "\u{1F4B6}\u{202E}\u{FEFF}" }),
        json!({ "__proto__": { "constructor": null }, "id": null, "seq": -1 }),
    ]
}

// NAME: bad inputs: what was taken can be read again
/// Whatever was taken is read again: one session that cannot be read would take its user's whole list along.
#[tokio::test]
async fn read_again() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    for metadata in [
        json!({ "a": "x".repeat(8 * 1024 - 8) }),
        json!({ "a": nested(62) }),
        json!({ "": { "\u{1F4B6}": [] } }),
    ] {
        let opened = caller
            .post("/chatkit/sessions", json!({ "agentId": AGENT, "metadata": metadata }))
            .await?
            .expect(201)?;
        let resume = json!({ "sessionId": opened["id"], "purpose": "resume", "metadata": metadata });
        caller.post("/chatkit/sessions", resume).await?.expect(200)?;
        let shown = caller.get(&path(&opened)).await?.expect(200)?;
        ensure!(shown["metadata"] == metadata, "{} became {}", metadata, shown["metadata"]);
    }
    let session = caller.open_path().await?;
    let event = |payload: &Value| json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": payload });
    let events: Vec<Value> = payloads().iter().map(event).collect();
    // Again, as after a lost answer: what was kept equals what was sent.
    for _ in 0..2 {
        caller.post(&format!("{session}/events"), json!(events)).await?.expect(201)?;
    }
    let schema = json!({ "reason": "r", "decisions": ["edit"], "schema": { "a": nested(61) }, "expiresInSeconds": 2_592_000 });
    caller.record(&session, "hitl_escalation", schema.clone()).await?.expect(201)?;
    let times =
        ["1970-01-01T00:00:00Z", "2026-11-22T10:00:00.123456789+05:30", "9998-12-31T23:59:59.9999999Z"];
    for time in times {
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_t", "occurredAt": time });
        for _ in 0..2 {
            caller.post(&format!("{session}/events"), event.clone()).await?.expect(201)?;
        }
    }

    let shown = caller.get(&session).await?.expect(200)?;
    let kept: Vec<&Value> =
        shown["events"].as_array().context("no events")?.iter().map(|event| &event["payload"]).collect();
    let mut sent = payloads();
    sent.extend([schema.clone(), json!({}), json!({}), json!({})]);
    ensure!(kept == sent.iter().collect::<Vec<_>>(), "{kept:#?} instead of {sent:#?}");
    ensure!(shown["escalations"][0]["answerSchema"] == schema["schema"], "{:#}", shown["escalations"]);
    let list = caller.get("/chatkit/sessions").await?.expect(200)?;
    ensure!(list["sessions"].as_array().is_some_and(|all| all.len() == 4), "{list:#}");
    Ok(())
}

// NAME: bad inputs: what is unusual and right is taken
/// Forms that look odd and mean what they should.
#[tokio::test]
async fn taken() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let click = |id: Uuid| format!(r#"{{"id":"{id}","type":"button_click","payload":{{"action":"a"}}}}"#);
    let hundred: Vec<_> = (0..100).map(|_| click(Uuid::new_v4())).collect();
    let good = format!(r#"{{"agentId":"{AGENT}"}}"#);
    let in_capitals = Uuid::new_v4().to_string().to_uppercase();
    let lower_case = format!("bearer  {}", caller.token);
    let unusual = [
        ("a charset", open(good.clone()).header("content-type", "Application/JSON ; charset=UTF-8"), 201),
        ("256 KiB, most of them spaces", open(format!("{good}{}", " ".repeat(256 * 1024 - good.len()))), 201),
        (
            "nulls for what may be missing",
            open(format!(
                r#"{{"agentId":"{AGENT}","channel":null,"metadata":null,"sessionId":null,"purpose":null}}"#
            )),
            201,
        ),
        ("escapes where none are needed", open(r#"{"\u0061gentId":"accounts\u005fpayable"}"#), 201),
        ("a hundred events", record(format!("[{}]", hundred.join(","))), 201),
        ("the same event twice in a list", record(format!("[{0},{0}]", click(Uuid::new_v4()))), 201),
        (
            "an id in capitals and a type of 63 letters",
            record(format!(r#"{{"id":"{in_capitals}","type":"custom_{}"}}"#, "a".repeat(56))),
            201,
        ),
        ("a scheme in lower case", agents().authorization(lower_case), 200),
        ("a body that a GET has no use for", read().json(r#"{"x":1}"#), 200),
        ("the most that a page may hold", sessions("?limit=100&scope=own&status=active"), 200),
        ("an id in capitals", read().id(&session.rsplit('/').next().unwrap_or_default().to_uppercase()), 200),
        ("a cancel with an empty object", cancel().json("{}"), 200),
        (
            "a cancel of a form without fields",
            cancel().header("content-type", "application/x-www-form-urlencoded"),
            200,
        ),
    ];
    let mut wrong = Vec::new();
    for (name, ask, status) in unusual {
        for door in ask.doors() {
            let reply = ask.send(&stack, *door, &caller, &session).await?;
            if reply.status != status {
                wrong.push(format!("{name} ({door:?}): {:#}", reply.body));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The slash at the end that the HTTP API has no route for is one too many to nobody else.
    let slash =
        agents().path("/chatkit/agents/").at_url_only().send(&stack, Door::Url, &caller, &session).await?;
    slash.expect(200)?;
    Ok(())
}
