//! Unusual but valid requests are accepted, and their values are returned unchanged.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::test_request::{
    EntryPoint, cancel_session, create_session, get_session, list_agents, list_messages, list_sessions,
    record_events, stop_response,
};
use crate::support::client::{AGENT, TestClient, session_path};

/// A session that cannot be read would also make its user's list unreadable.
#[tokio::test]
async fn accepted_values_are_returned_unchanged() -> Result<()> {
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
        let read = caller.get(&session_path(&opened)).await?.expect(200)?;
        ensure!(read["metadata"] == metadata, "expected {metadata}, found {}", read["metadata"]);
    }
    let session = caller.open_session_path().await?;
    let event = |payload: &Value| json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": payload });
    let events: Vec<Value> = payloads().iter().map(event).collect();
    // The second request repeats the first, so the recorded events must equal the sent ones.
    for _ in 0..2 {
        caller.post(&format!("{session}/events"), json!(events)).await?.expect(201)?;
    }
    let escalation = json!({
        "reason": "r", "decisions": ["edit"], "schema": { "a": nested(61) }, "expiresInSeconds": 2_592_000,
    });
    caller.record_event(&session, "hitl_escalation", escalation.clone()).await?.expect(201)?;
    let times =
        ["1970-01-01T00:00:00Z", "2026-11-22T10:00:00.123456789+05:30", "9998-12-31T23:59:59.9999999Z"];
    for time in times {
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_t", "occurredAt": time });
        for _ in 0..2 {
            caller.post(&format!("{session}/events"), event.clone()).await?.expect(201)?;
        }
    }

    let read = caller.get(&session).await?.expect(200)?;
    let events = read["events"].as_array().context("the response has no events")?;
    let recorded: Vec<&Value> = events.iter().map(|event| &event["payload"]).collect();
    let mut sent = payloads();
    sent.extend([escalation.clone(), json!({}), json!({}), json!({})]);
    ensure!(recorded == sent.iter().collect::<Vec<_>>(), "expected {sent:#?}, found {recorded:#?}");
    let (expected, found) = (&escalation["schema"], &read["escalations"][0]["answerSchema"]);
    ensure!(found == expected, "expected the schema {expected:#}, found {found:#}");
    let list = caller.get("/chatkit/sessions").await?.expect(200)?;
    let count = list["sessions"].as_array().map_or(0, Vec::len);
    ensure!(count == 4, "expected 4 sessions, found {count}");
    Ok(())
}

#[tokio::test]
async fn unusual_but_valid_requests_are_accepted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let click = |id: Uuid| format!(r#"{{"id":"{id}","type":"button_click","payload":{{"action":"a"}}}}"#);
    let hundred: Vec<_> = (0..100).map(|_| click(Uuid::new_v4())).collect();
    let body = format!(r#"{{"agentId":"{AGENT}"}}"#);
    let upper_case = Uuid::new_v4().to_string().to_uppercase();
    let lower_case = format!("bearer  {}", caller.token);
    let unusual = [
        (
            "a charset",
            create_session(body.clone()).header("content-type", "Application/JSON ; charset=UTF-8"),
            201,
        ),
        (
            "a body of 256 KiB, mostly spaces",
            create_session(format!("{body}{}", " ".repeat(256 * 1024 - body.len()))),
            201,
        ),
        (
            "null in optional fields",
            create_session(format!(
                r#"{{"agentId":"{AGENT}","channel":null,"metadata":null,"sessionId":null,"purpose":null}}"#
            )),
            201,
        ),
        ("unnecessary escapes", create_session(r#"{"\u0061gentId":"accounts\u005fpayable"}"#), 201),
        ("a hundred events", record_events(format!("[{}]", hundred.join(","))), 201),
        ("the same event twice in a list", record_events(format!("[{0},{0}]", click(Uuid::new_v4()))), 201),
        (
            "an id in upper case and a type of 63 letters",
            record_events(format!(r#"{{"id":"{upper_case}","type":"custom_{}"}}"#, "a".repeat(56))),
            201,
        ),
        ("a scheme in lower case", list_agents().authorization(lower_case), 200),
        ("a GET with a body", get_session().json(r#"{"x":1}"#), 200),
        ("the largest limit of a page", list_sessions("?limit=100&scope=own&status=active"), 200),
        (
            "an id in upper case",
            get_session().session_id(&session.rsplit('/').next().unwrap_or_default().to_uppercase()),
            200,
        ),
        ("messages of every kind", list_messages("?kinds=all&limit=100"), 200),
        ("messages of the default kinds", list_messages("?kinds=messages"), 200),
        ("a stop with an empty object", stop_response().json("{}"), 200),
        ("a stop without a body", stop_response(), 200),
        ("a cancel with an empty object", cancel_session().json("{}"), 200),
        (
            "a cancel with the content type of a form, and without a body",
            cancel_session().header("content-type", "application/x-www-form-urlencoded"),
            200,
        ),
    ];
    let mut failures = Vec::new();
    for (name, request, status) in unusual {
        for entry_point in request.entry_points() {
            let response = request.send(&stack, *entry_point, &caller, &session).await?;
            if response.status != status {
                failures.push(format!("{name} ({entry_point:?}): expected {status}, found {response:?}"));
            }
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    // The HTTP API does not have a route with a slash at the end.
    let with_slash = list_agents().path("/chatkit/agents/").function_url_only();
    with_slash.send(&stack, EntryPoint::FunctionUrl, &caller, &session).await?.expect(200)?;
    Ok(())
}

/// Each text has the maximum number of characters. All but ids have two bytes per character.
#[tokio::test]
async fn texts_of_maximum_length_are_accepted() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let long_agent = "a".repeat(63);
    stack.register_agent(caller.user.org_id, &long_agent, "Accounts payable").await?;
    let opened = caller.post("/chatkit/sessions", json!({ "agentId": long_agent })).await?.expect(201)?;
    ensure!(opened["agentId"] == long_agent, "expected the agent {long_agent}, found {opened:#}");
    let session = caller.open_session_path().await?;
    let id = "Z_-9".repeat(32);
    let [name, text, summary] = [200, 2000, 8000].map(|length| "é".repeat(length));
    let escalation =
        |seconds: u32| json!({ "reason": text, "decisions": ["approve"], "expiresInSeconds": seconds });
    let events = [
        ("button_click", json!({ "action": name, "label": name, "widgetId": name, "threadId": id })),
        ("form_submit", json!({ "form": name, "values": {}, "threadId": id })),
        ("tool_call", json!({ "name": name, "callId": name, "threadId": id })),
        ("tool_failed", json!({ "name": name, "message": text, "callId": name, "threadId": id })),
        ("thread_changed", json!({ "threadId": id })),
        ("feedback", json!({ "rating": "positive", "comment": text, "itemId": id, "threadId": id })),
        ("error", json!({ "message": text, "name": name, "threadId": id })),
        ("hitl_escalation", escalation(60)),
        ("hitl_escalation", escalation(2_592_000)),
        ("session_updated", json!({ "title": name, "deviceLabel": "é".repeat(100) })),
        ("handover", json!({ "agentId": long_agent, "fromAgentId": AGENT, "reason": text })),
        ("handover", json!({ "agentId": AGENT, "fromAgentId": long_agent, "summary": summary })),
    ];
    for (kind, payload) in &events {
        let recorded = caller.record_event(&session, kind, payload.clone()).await?;
        recorded.expect(201).with_context(|| (*kind).to_owned())?;
    }
    let read = caller.get(&session).await?.expect(200)?;
    let recorded = read["events"].as_array().context("the response has no events")?;
    let recorded: Vec<&Value> = recorded.iter().map(|event| &event["payload"]).collect();
    let sent: Vec<&Value> = events.iter().map(|(_, payload)| payload).collect();
    ensure!(recorded == sent, "expected {sent:#?}, found {recorded:#?}");
    Ok(())
}

fn nested(levels: usize) -> Value {
    (1..levels).fold(json!([]), |inner, _| json!([inner]))
}

/// Payloads of maximum size or depth, and with unusual values.
fn payloads() -> Vec<Value> {
    vec![
        json!({ "a": "x".repeat(16 * 1024 - 8) }),
        // 64 levels in the body: the list of events, the event, its payload, and 61 more.
        json!({ "a": nested(61) }),
        json!({
            "integers": [9_007_199_254_740_993_u64, u64::MAX, i64::MIN],
            "fractions": [1e21, -0.5, 0.1 + 0.2, 2.0_f64 / 3.0, 5e-324, f64::MAX],
        }),
        json!({
            "": "",
            "a/b~c": "'; drop table chat_events; --",
            "\u{1}\u{7f}": "\u{1F4B6}\u{202E}\u{FEFF}",
        }),
        json!({ "__proto__": { "constructor": null }, "id": null, "seq": -1 }),
    ]
}
