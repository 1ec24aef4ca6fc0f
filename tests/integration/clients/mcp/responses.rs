//! Responses to `tools/call`: media types, streams, batches, results without a message, and errors.

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};

use super::scripted_server::{
    Script, ScriptedResponse, TIMEOUT, call_each, call_scripted, check_ok, ok_result,
};
use super::{completed, failure};

#[tokio::test]
async fn response_variants_of_a_call_are_accepted() -> Result<()> {
    let text = json!([{"type": "text", "text": "All is well."}]);
    let result = |result: Value| ScriptedResponse::rpc("result", &result);
    let body =
        r#"{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text", "text": "All is well."}]}}"#;
    let event =
        |before: &str, body: &str| ScriptedResponse::event_stream(format!("{before}data: {body}\n\n"));
    let messages = [
        r#"{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}"#,
        r#"{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "working"}}"#,
        r#"{"jsonrpc": "2.0", "method": "notifications/unknown", "params": {}}"#,
        r#"{"jsonrpc": "2.0", "id": "p", "method": "ping"}"#,
        r#"{"jsonrpc": "2.0", "id": "r", "method": "roots/list"}"#,
        "not JSON",
    ];
    let with_messages: String = messages.iter().map(|message| format!("data: {message}\n\n")).collect();
    let lines = body.replace(", ", ",\ndata: ");
    let scripts = [
        ("charset", ok_result().header("content-type", "application/json; charset=utf-8")),
        ("upper case", ok_result().header("content-type", "Application/JSON")),
        ("text", ok_result().header("content-type", "text/plain")),
        ("no media type", ScriptedResponse::status(200).body(body)),
        ("201", ScriptedResponse::status(201).header("content-type", "application/json").body(body)),
        ("single bytes", ok_result().in_single_bytes()),
        ("revision", ok_result().header("mcp-protocol-version", "2025-06-18")),
        ("id as text", ScriptedResponse::json(body.replace("ID", "\"ID\""))),
        ("white space", ScriptedResponse::json(format!("\r\n  {body}\n"))),
        ("batch", ScriptedResponse::json(format!("[{}, {body}]", messages[0]))),
        ("stream", event("", body)),
        ("stream in single bytes", event("", body).in_single_bytes()),
        (
            "primed stream",
            event(": hello\n\nid: 1\nretry: 10\ndata:\n\n: and\n\nid: 2\nevent: message\n", body),
        ),
        ("CRLF", ScriptedResponse::event_stream(format!(": x\r\n\r\ndata: {body}\r\n\r\n"))),
        ("many lines", event("", &lines)),
        ("stream with other messages", event(&with_messages, body)),
        ("stream with charset", event("", body).header("content-type", "text/event-stream; charset=utf-8")),
        (
            "stream without end",
            ScriptedResponse::event_stream(format!("data: {body}\n\n{}", ": more\n\n".repeat(1_000))),
        ),
        ("batch in a stream", event("", &format!("[{body}]"))),
        (
            "more members",
            result(
                json!({"content": text, "structuredContent": null, "isError": false, "_meta": {"a": {"b": 1}}, "x": 1}),
            ),
        ),
        (
            "annotations",
            result(
                json!({"content": [{"type": "text", "text": "All is well.", "annotations": {"audience": ["user"]}, "_meta": {}, "x": 1}]}),
            ),
        ),
        ("complete", result(json!({"content": text, "resultType": "complete"}))),
        ("null result type", result(json!({"content": text, "resultType": null}))),
        ("unknown block", result(json!({"content": [text[0], {"type": "hologram", "x": [1]}]}))),
        (
            "link without a name",
            result(json!({"content": [text[0], {"type": "resource_link", "uri": "a:b"}]})),
        ),
        ("block without text", result(json!({"content": [text[0], {"type": "text"}]}))),
    ];
    let script = |response| Script { call: vec![response], ..Script::default() };
    call_each(
        scripts.into_iter().map(|(name, response)| (name.to_owned(), script(response))).collect(),
        check_ok,
    )
    .await?;
    check_outputs().await
}

/// The client does not wait for another response until the timeout.
#[tokio::test]
async fn json_rpc_error_without_request_id_ends_the_call() -> Result<()> {
    let bodies = [
        r#"{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "no"}}"#,
        r#"{"jsonrpc": "2.0", "error": {"code": -32602, "message": "no", "data": {"a": 1}}}"#,
        r#"{"jsonrpc": "2.0", "id": ID, "result": null, "error": {"code": -32602, "message": "no"}}"#,
        r#"{"jsonrpc": "2.0", "id": ID, "error": {"code": "bad", "message": 7}}"#,
    ];
    let scripts = bodies.iter().flat_map(|body| {
        [ScriptedResponse::json(*body), ScriptedResponse::event_stream(format!("data: {body}\n\n"))]
    });
    let scripts = scripts
        .enumerate()
        .map(|(place, response)| (format!("{place}"), Script { call: vec![response], ..Script::default() }));
    call_each(scripts.collect(), |server, outcome| {
        let error = failure(outcome)?;
        // The client sends this notification after a timeout.
        ensure!(server.count("notifications/cancelled") == 0, "the call timed out");
        ensure!(error.code() == "call_refused" && !error.outcome_is_unknown(), "{error:?}");
        Ok(())
    })
    .await
}

/// Checks the outputs and notices of results without a message.
async fn check_outputs() -> Result<()> {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let result = |members: &str| {
        ScriptedResponse::json(format!(r#"{{"jsonrpc": "2.0", "id": ID, "result": {members}}}"#))
    };
    let mut rows = vec![
        ("{}".to_owned(), Value::Null, 0),
        (r#"{"content": []}"#.to_owned(), Value::Null, 0),
        (r#"{"content": [], "structuredContent": null}"#.to_owned(), Value::Null, 0),
        (r#"{"_meta": {"a": 1}}"#.to_owned(), Value::Null, 0),
        (r#"{"structuredContent": {"a": 1}}"#.to_owned(), json!({"a": 1}), 0),
        (
            r#"{"structuredContent": [1], "content": [{"type": "text", "text": "[1]"}]}"#.to_owned(),
            json!([1]),
            0,
        ),
        (r#"{"paid": true}"#.to_owned(), json!({"paid": true}), 0),
        (r#""done""#.to_owned(), json!("done"), 0),
        (
            format!(
                r#"{{"content": [{{"type": "image", "mimeType": "image/png", "data": "{}"}}]}}"#,
                "A".repeat(3 << 20)
            ),
            Value::Null,
            1,
        ),
    ];
    for levels in [60, 64, 65, 100, 124, 125, 126, 127, 128, 2_000] {
        let deep = nested(levels);
        let expected = if levels > 64 { json!(deep) } else { serde_json::from_str(&deep)? };
        rows.push((
            format!(r#"{{"structuredContent": {deep}}}"#),
            expected.clone(),
            usize::from(levels > 64),
        ));
        rows.push((
            format!(r#"{{"structuredContent": {{"status": "completed", "output": {deep}}}}}"#),
            expected,
            usize::from(levels > 64),
        ));
    }
    let calls = rows.into_iter().flat_map(|(members, output, notices)| {
        let streamed = ScriptedResponse::event_stream(format!(
            "data: {{\"jsonrpc\": \"2.0\", \"id\": ID, \"result\": {members}}}\n\n"
        ));
        [result(&members), streamed].map(|response| (response, output.clone(), notices))
    });
    let calls = calls.map(async |(response, output, notices)| {
        let completed =
            completed(call_scripted(Script { call: vec![response], ..Script::default() }, TIMEOUT).await?.1)?;
        let found = (completed.message, completed.output.unwrap_or_default(), completed.notices.len());
        let expected = (None, output, notices);
        ensure!(found == expected, "expected {expected:?}, found {found:?}");
        anyhow::Ok(())
    });
    try_join_all(calls).await?;
    Ok(())
}
