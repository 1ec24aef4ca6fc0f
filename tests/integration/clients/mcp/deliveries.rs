//! The end of a delivery for every kind of response of an agent.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scripted_server::{Script, ScriptedResponse, ScriptedServer};
use crate::support::client::{TestClient, session_path};

/// Status and error of a delivery.
type End = (&'static str, Option<&'static str>);

/// The response of a tool, the end of its delivery, and the expected fields of `agent_result`.
type Row = (ScriptedResponse, End, Option<Value>);

fn rows() -> Result<Vec<Row>> {
    let done = ("done", None);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let result = |members: String| {
        ScriptedResponse::json(format!(r#"{{"jsonrpc": "2.0", "id": ID, "result": {members}}}"#))
    };
    let structured = |json: &str| result(format!(r#"{{"structuredContent": {json}}}"#));
    let output = |levels| structured(&format!(r#"{{"status": "completed", "output": {}}}"#, nested(levels)));
    let as_text =
        |levels| Some(json!({"output": nested(levels), "notices": [{"type": "output", "keptAs": "text"}]}));
    let kept_as_text =
        |text: &str| Some(json!({"output": text, "notices": [{"type": "output", "keptAs": "text"}]}));
    let twice = r#"{"status": "completed", "status": "failed", "message": "Paid."}"#;
    let amounts = r#"[{"amount": 1, "amount": 1000}]"#;
    let in_output = format!(r#"{{"status": "completed", "output": {amounts}}}"#);
    let image = format!(
        r#"{{"content": [{{"type": "image", "mimeType": "image/png", "data": "{}"}}]}}"#,
        "A".repeat(2 << 20)
    );
    let image_notice = json!({"type": "image", "mimeType": "image/png", "size": 3 << 19, "leftOut": true});
    let link = json!({"type": "resource_link", "uri": "https://example.com/42.pdf", "name": "42.pdf"});
    let files = format!(r#"{{"content": [{link}], "structuredContent": {{"status": "completed"}}}}"#);
    let large = format!(r#""{}""#, "x".repeat(300_000));
    Ok(vec![
        (output(64), done, Some(json!({"output": serde_json::from_str::<Value>(&nested(64))?}))),
        (output(65), done, as_text(65)),
        (output(127), done, as_text(127)),
        (output(3_000), done, as_text(3_000)),
        (
            structured(r#"{"status": "success", "paid": true}"#),
            done,
            Some(json!({"output": {"status": "success", "paid": true}})),
        ),
        (
            structured(r#"{"\u0000": "\u0000", "half": "\ud83d"}"#),
            done,
            Some(
                json!({"output": r#"{"\u0000": "\u0000", "half": "\ud83d"}"#, "notices": [{"type": "output", "keptAs": "text"}]}),
            ),
        ),
        (
            structured("1e999"),
            done,
            Some(json!({"output": "1e999", "notices": [{"type": "output", "keptAs": "text"}]})),
        ),
        (structured(twice), done, kept_as_text(twice)),
        (structured(&in_output), done, kept_as_text(amounts)),
        (
            structured(r#"{"status": "completed", "followUps": [], "followUps": [{"agentId": "scripted"}]}"#),
            done,
            Some(json!({"notices": [{"type": "malformed", "members":
                r#"{"followUps":[],"followUps":[{"agentId": "scripted"}]}"#}]})),
        ),
        (
            result(
                r#"{"resultType": "input_required", "requestState": "a", "requestState": "b"}"#.to_owned(),
            ),
            ("unknown", Some("bad_result")),
            None,
        ),
        (
            structured(&large),
            done,
            Some(json!({"notices": [{"type": "output", "leftOut": true, "size": 300_002}]})),
        ),
        (structured(&format!(r#""{}""#, "x".repeat(20_000))), done, Some(json!({"truncated": true}))),
        (
            structured(r#"{"status": "completed", "followUps": 7}"#),
            done,
            Some(json!({"notices": [{"type": "malformed", "members": {"followUps": 7}}]})),
        ),
        (result(image), done, Some(json!({"notices": [image_notice]}))),
        (result(files), done, Some(json!({"notices": [link]}))),
        (result("{}".to_owned()), done, Some(json!({}))),
        (result(r#"{"isError": true, "content": []}"#.to_owned()), ("dead", Some("agent_failed")), None),
        (
            ScriptedResponse::json(format!(r#""{}""#, "x".repeat(5 << 20))),
            ("unknown", Some("answer_too_large")),
            None,
        ),
        (ScriptedResponse::json("{}"), ("unknown", Some("not_mcp")), None),
        (structured(r#"{"status": "needs_hitl", "ask": {"decisions": 7}}"#), ("asked", None), None),
    ])
}

#[tokio::test]
async fn delivery_ends_and_session_is_readable_for_every_result() -> Result<()> {
    let rows = rows()?;
    let call = rows.iter().map(|(response, ..)| response.clone()).collect();
    let agent = ScriptedServer::start(Script { call, ..Script::default() }).await?;
    let hosts = agent.server().address().to_string();
    let stack = LocalStack::builder().env("AGENT_LOOPBACK_ALLOWLIST", &hosts).start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, "scripted", "Scripted").await?;
    let tool = json!({ "idempotent": false, "policy": "auto" });
    stack.register_agent_server(org_id, "scripted", &agent.url(), None, tool).await?;
    let caller = TestClient::in_organisation(&stack, org_id, OrgRole::Member).await?;
    // A delivery that is escalated or unknown blocks its session, so each row has its own.
    for (_, end, recorded) in &rows {
        let session =
            caller.post("/chatkit/sessions", json!({ "agentId": "scripted" })).await?.expect(201)?;
        let at = session_path(&session);
        caller.record_event(&at, "button_click", json!({ "action": "pay" })).await?.expect(201)?;
        let (status, error) = delivery_end(&stack, &session).await?;
        let found = (status.as_str(), error.as_deref());
        ensure!(found == *end, "expected {end:?}, found {found:?}, {recorded:?}");
        let shown = caller.get(&at).await?.expect(200)?;
        let events = shown["events"].as_array().context("no events")?;
        let payload =
            events.iter().find(|event| event["type"] == "agent_result").map(|event| &event["payload"]);
        let selected = |payload: &Value| {
            let fields = ["output", "notices", "truncated"].into_iter();
            fields.filter_map(|name| Some((name.to_owned(), payload.get(name)?.clone()))).collect::<Value>()
        };
        ensure!(payload.map(selected) == *recorded, "expected {recorded:?}, found {payload:?}");
        let is_escalated = shown["escalations"].as_array().is_some_and(|open| open.len() == 1);
        ensure!(is_escalated == (end.0 != "done"), "{end:?}: {shown:#}");
        caller.get(&format!("{at}/messages")).await?.expect(200)?;
    }
    assert_eq!(agent.count("tools/call"), rows.len());
    Ok(())
}

/// Waits for the end of a session's delivery.
async fn delivery_end(stack: &LocalStack, session: &Value) -> Result<(String, Option<String>)> {
    let id: Uuid = session["id"].as_str().context("no id")?.parse()?;
    let query =
        "select status, error from deliveries where session_id = $1 and status not in ('pending', 'running')";
    let waiting = async {
        loop {
            let found = sqlx::query_as(query).bind(id).fetch_optional(stack.database()).await?;
            if let Some(found) = found {
                return anyhow::Ok(found);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting)
        .await
        .context("the delivery did not end within 30 seconds")?
}
