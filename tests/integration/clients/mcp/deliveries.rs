//! Whatever an agent answers, its delivery comes to an end that is recorded, and its session can be read.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scripted_server::{Said, Script, Scripted};
use crate::support::client::{TestClient, path};

/// What a tool answers, how its delivery ends, and what is in its `agent_result`.
type Row = (Said, (&'static str, Option<&'static str>), Option<Value>);

fn rows() -> Result<Vec<Row>> {
    let done = ("done", None);
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let result =
        |members: String| Said::json(format!(r#"{{"jsonrpc": "2.0", "id": ID, "result": {members}}}"#));
    let structured = |json: &str| result(format!(r#"{{"structuredContent": {json}}}"#));
    let output = |levels| structured(&format!(r#"{{"status": "completed", "output": {}}}"#, nested(levels)));
    let as_text =
        |levels| Some(json!({"output": nested(levels), "notices": [{"type": "output", "keptAs": "text"}]}));
    let image = format!(
        r#"{{"content": [{{"type": "image", "mimeType": "image/png", "data": "{}"}}]}}"#,
        "A".repeat(2 << 20)
    );
    let named = json!({"type": "image", "mimeType": "image/png", "size": 3 << 19, "leftOut": true});
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
        (result(image), done, Some(json!({"notices": [named]}))),
        (result(files), done, Some(json!({"notices": [link]}))),
        (result("{}".to_owned()), done, Some(json!({}))),
        (result(r#"{"isError": true, "content": []}"#.to_owned()), ("dead", Some("agent_failed")), None),
        (Said::json(format!(r#""{}""#, "x".repeat(5 << 20))), ("unknown", Some("answer_too_large")), None),
        (Said::json("{}"), ("unknown", Some("not_mcp")), None),
        (structured(r#"{"status": "needs_hitl", "ask": {"decisions": 7}}"#), ("asked", None), None),
    ])
}

// NAME: mcp: whatever an agent answers, its delivery ends and its session can be read
#[tokio::test]
async fn ends() -> Result<()> {
    let rows = rows()?;
    let call = rows.iter().map(|(said, ..)| said.clone()).collect();
    let agent = Scripted::start(Script { call, ..Script::default() }).await?;
    let hosts = agent.server().address().to_string();
    let stack = LocalStack::builder().env("AGENT_LOOPBACK_ALLOWLIST", &hosts).start().await?;
    let org_id = Uuid::new_v4();
    stack.register_agent(org_id, "scripted", "Scripted").await?;
    let tool = json!({ "idempotent": false, "policy": "auto" });
    stack.register_agent_server(org_id, "scripted", &agent.url(), None, tool).await?;
    let caller = TestClient::joining(&stack, org_id, OrgRole::Member).await?;
    // One session each: what is asked or unknown holds up its own.
    for (_, end, recorded) in &rows {
        let session =
            caller.post("/chatkit/sessions", json!({ "agentId": "scripted" })).await?.expect(201)?;
        let at = path(&session);
        caller.record(&at, "button_click", json!({ "action": "pay" })).await?.expect(201)?;
        let ended = ended(&stack, &session).await?;
        ensure!((ended.0.as_str(), ended.1.as_deref()) == *end, "{ended:?} instead of {end:?}, {recorded:?}");
        let shown = caller.get(&at).await?.expect(200)?;
        let events = shown["events"].as_array().context("no events")?;
        let payload =
            events.iter().find(|event| event["type"] == "agent_result").map(|event| &event["payload"]);
        let of = |payload: &Value| {
            let fields = ["output", "notices", "truncated"].into_iter();
            fields.filter_map(|name| Some((name.to_owned(), payload.get(name)?.clone()))).collect::<Value>()
        };
        ensure!(payload.map(of) == *recorded, "{payload:?} instead of {recorded:?}");
        let is_asked = shown["escalations"].as_array().is_some_and(|open| open.len() == 1);
        ensure!(is_asked == (end.0 != "done"), "{end:?}: {shown:#}");
        caller.get(&format!("{at}/messages")).await?.expect(200)?;
    }
    assert_eq!(agent.count("tools/call"), rows.len());
    Ok(())
}

/// How the delivery of a session ended.
async fn ended(stack: &LocalStack, session: &Value) -> Result<(String, Option<String>)> {
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
    tokio::time::timeout(Duration::from_secs(30), waiting).await.context("the delivery does not end")?
}
