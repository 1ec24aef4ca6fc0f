//! What servers may say, and some say that may not: none of it is blamed on the wrong one, and none of it loses what was done.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use shared::clients::mcp::{CallError, ErrorResponse, Reason, Target, ToolResult};

use super::scripted_server::{Said, Script, Scripted, discovered, initialized, well};
use super::{call, client, completed, failure, payment, target};

async fn called(script: Script, timeout: Duration) -> Result<(Scripted, Result<ToolResult, CallError>)> {
    let scripted = Scripted::start(script).await?;
    let (client, url) = (client(&[scripted.server().address()], "{}")?, scripted.url());
    let target = Target { timeout, ..target(&url) };
    let outcome = call(&client, &target, payment("k1", 7.0), None).await;
    Ok((scripted, outcome))
}

const LONG: Duration = Duration::from_secs(20);

/// Makes a call by each of these scripts, and looks at what came of it.
async fn each(
    scripts: Vec<(String, Script)>,
    look: impl Fn(&Scripted, Result<ToolResult, CallError>) -> Result<()>,
) -> Result<()> {
    let calls = scripts.into_iter().map(async |(name, script)| {
        let (scripted, outcome) = called(script, LONG).await?;
        look(&scripted, outcome).with_context(|| format!("{name}: {:?}", scripted.seen()))
    });
    try_join_all(calls).await?;
    Ok(())
}

fn is_well(_: &Scripted, outcome: Result<ToolResult, CallError>) -> Result<()> {
    let message = completed(outcome)?.message;
    ensure!(message.as_deref() == Some("All is well."), "{message:?}");
    Ok(())
}

// NAME: mcp: the probe may be answered by anything
#[tokio::test]
async fn probes() -> Result<()> {
    let error = |code: i32| Said::rpc("error", &json!({"code": code, "message": "no"}));
    let page = "<html><p>Not what you asked for.";
    let mut probes: Vec<(String, Said)> =
        [400, 402, 403, 404, 405, 406, 408, 409, 415, 422, 500, 501, 502, 503, 504, 520, 530]
            .map(|status| (format!("{status}"), Said::status(status).body(page)))
            .into();
    probes.extend(
        [-32_601, -32_600, -32_602, -32_603, -32_700, -32_000, -32_001, -32_020, -32_021]
            .map(|code| (format!("{code}"), error(code))),
    );
    let older = json!({"code": -32_022, "message": "no", "data": {"supported": ["2025-06-18"]}});
    let mismatched =
        error(-32_601).body(r#"{"jsonrpc": "2.0", "id": 4711, "error": {"code": -32601, "message": ""}}"#);
    probes.extend(
        [
            ("HTML", Said::status(200).header("content-type", "text/html").body(page)),
            ("nothing", Said::status(200)),
            ("202", Said::status(202)),
            ("204", Said::status(204)),
            ("other JSON", Said::json(r#"{"ok": true}"#)),
            ("an empty result", Said::rpc("result", &json!({}))),
            ("another result", Said::rpc("result", &json!({"tools": []}))),
            ("older revisions", Said::rpc("error", &older)),
            ("an error of 400", error(-32_000).with_status(400)),
            ("older revisions by 400", Said::rpc("error", &older).with_status(400)),
            ("a result of 400", discovered().with_status(400)),
            ("silence", Said::silence()),
            ("an error with another id", mismatched),
            ("an error without id", Said::json(r#"{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": ""}}"#)),
            ("a stream of nothing", Said::events(": hello\n\n")),
            ("a stream with an error", Said::events("data: {\"jsonrpc\": \"2.0\", \"id\": ID, \"error\": {\"code\": -32601, \"message\": \"\"}}\n\n")),
            ("a stream without end", Said::events("").hanging()),
            ("an answer without end", Said::json("").hanging()),
        ]
        .map(|(name, said)| (name.to_owned(), said)),
    );
    let script = |said| Script { probe: vec![said], ..Script::default() };
    each(probes.into_iter().map(|(name, said)| (name, script(said))).collect(), |scripted, outcome| {
        ensure!(scripted.count("initialize") == 1);
        is_well(scripted, outcome)
    })
    .await
}

// NAME: mcp: a refusal of the probe that is one ends the call
#[tokio::test]
async fn refused_probes() -> Result<()> {
    for (status, passing) in [(301, false), (308, false), (401, false), (407, false), (429, true)] {
        let script = Script { probe: vec![Said::status(status)], ..Script::default() };
        let (scripted, outcome) = called(script, LONG).await?;
        let error = failure(outcome)?;
        let answered = ErrorResponse { status, rpc: None, retry_after: None, called: false };
        assert_eq!((&error, error.is_retryable()), (&CallError::Answered(answered), passing));
        assert_eq!(scripted.seen(), ["server/discover"], "{status}");
    }
    let newer = json!({"code": -32_022, "message": "no", "data": {"supported": ["2031-01-01"]}});
    let newer = Said::rpc("error", &newer);
    for said in [newer.clone(), newer.with_status(400)] {
        let script = Script { probe: vec![said], ..Script::default() };
        let error = failure(called(script, LONG).await?.1)?;
        assert_eq!((&error, error.is_retryable()), (&CallError::NotSent(Reason::Incompatible), false));
    }
    Ok(())
}

// NAME: mcp: a server of the newest revision that is slow or in trouble is not taken for an older one
/// It does not know `initialize`. What it said to the probe is what counts.
#[tokio::test]
async fn newest() -> Result<()> {
    let unknown = [
        Said::status(400),
        Said::status(404),
        Said::rpc("error", &json!({"code": -32_601, "message": "no"})),
    ];
    for initialize in unknown {
        let script = |probe| Script { probe, initialize: vec![initialize.clone()], ..Script::default() };
        let trouble = vec![Said::status(503).header("retry-after", "7")];
        let error = failure(called(script(trouble), LONG).await?.1)?;
        ensure!(error.is_retryable() && error.status() == Some(503), "{error:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        // Half of the time is the probe's; what is left is its second one's.
        let slow = vec![Said::json("").hanging(), discovered()];
        let (scripted, outcome) = called(script(slow), Duration::from_secs(4)).await?;
        is_well(&scripted, outcome)?;
        assert_eq!(scripted.seen(), ["server/discover", "initialize", "server/discover", "tools/call"]);
        // A server that knows neither is told apart from one that is in trouble.
        let error = failure(called(script(vec![Said::status(404)]), LONG).await?.1)?;
        ensure!(!error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
    }
    Ok(())
}

// NAME: mcp: the session that a probe opened is closed
#[tokio::test]
async fn probe_sessions() -> Result<()> {
    let opened = |said: Said| said.header("mcp-session-id", "p-1");
    let probes = [
        Said::status(400),
        Said::rpc("error", &json!({"code": -32_601, "message": ""})),
        Said::events("").hanging(),
        discovered(),
        Said::status(401),
    ];
    let scripts = probes
        .into_iter()
        .enumerate()
        .map(|(place, said)| (format!("{place}"), Script { probe: vec![opened(said)], ..Script::default() }));
    each(scripts.collect(), |scripted, outcome| {
        ensure!(scripted.count("DELETE p-1") == 1);
        let is_older = scripted.count("initialize") == 1;
        ensure!(scripted.count("DELETE s-1") == usize::from(is_older));
        ensure!(outcome.is_ok() || scripted.seen().len() == 2, "{outcome:?}");
        Ok(())
    })
    .await
}

// NAME: mcp: the handshake may be answered in any way
#[tokio::test]
async fn handshakes() -> Result<()> {
    let mut scripts = Vec::new();
    for (place, notice) in [
        Said::status(200),
        Said::status(202).header("content-type", "application/json"),
        Said::status(204),
        Said::json("{}"),
        Said::events(": nothing\n\n"),
        Said::status(400),
        Said::status(404),
        Said::status(405),
        Said::status(500),
        Said::status(503),
        Said::silence(),
    ]
    .into_iter()
    .enumerate()
    {
        scripts.push((format!("notice {place}"), Script { notice, ..Script::default() }));
    }
    let streamed = "id: 1\nretry: 10\ndata:\n\n: hello\n\nevent: message\ndata: ";
    let body = r#"{"jsonrpc": "2.0", "id": ID, "result": {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}}"#;
    for (name, said) in [
        ("2024", initialized("2024-11-05")),
        ("2025-03", initialized("2025-03-26")),
        ("2025-11", initialized("2025-11-25").header("mcp-protocol-version", "2025-11-25")),
        ("unheard of", initialized("2025-12-31")),
        ("charset", initialized("2025-06-18").header("content-type", "application/json; charset=utf-8")),
        ("stream", Said::events(format!("{streamed}{body}\n\n"))),
        ("pieces", initialized("2025-06-18").in_pieces()),
    ] {
        scripts.push((name.to_owned(), Script { initialize: vec![said], ..Script::default() }));
    }
    each(scripts, is_well).await
}

// NAME: mcp: a session that is not known is begun anew, once
#[tokio::test]
async fn lost_sessions() -> Result<()> {
    let about = |status, text: &str| Said::status(status).body(text);
    for (lost, is_certain) in [
        (about(404, ""), true),
        (about(410, ""), true),
        (
            about(
                400,
                r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#,
            ),
            true,
        ),
        (about(400, "Bad Request: Server not initialized"), true),
        (about(401, "Unauthorized: Session not found"), true),
        // Some say it as if it were the credential, with which `initialize` was just taken.
        (about(401, r#"{"error": "invalid_token"}"#), false),
    ] {
        let call = vec![lost.clone(), well()];
        let (scripted, outcome) = called(Script { call, ..Script::default() }, LONG).await?;
        is_well(&scripted, outcome)?;
        let counts =
            ["server/discover", "initialize", "tools/call", "DELETE s-1"].map(|what| scripted.count(what));
        assert_eq!(counts, [1, 2, 2, 2], "{:?}", scripted.seen());

        let (scripted, outcome) = called(Script { call: vec![lost], ..Script::default() }, LONG).await?;
        let error = failure(outcome)?;
        assert_eq!(scripted.count("tools/call"), 2, "{:?}", scripted.seen());
        assert_eq!((error.is_retryable(), error.outcome_is_unknown()), (is_certain, false), "{error:?}");
        assert_eq!(error.code(), if is_certain { "session_lost" } else { "unauthorized" });
    }
    // What is not about the session is not repeated, nor what is said where there is none.
    let stateless = Script { initialize: vec![initialized("2025-06-18")], ..Script::default() };
    for (script, lost) in [
        (Script::default(), about(400, "amount is missing")),
        (Script::default(), about(403, "session")),
        (Script::default(), about(500, "session")),
        (stateless.clone(), about(404, "session")),
        (stateless, about(401, "session")),
    ] {
        let (scripted, outcome) = called(Script { call: vec![lost], ..script }, LONG).await?;
        ensure!(matches!(failure(outcome)?, CallError::Answered(_)));
        assert_eq!(scripted.count("tools/call"), 1);
    }
    Ok(())
}

// NAME: mcp: what a server may answer to a call is read
#[tokio::test]
async fn answers() -> Result<()> {
    let text = json!([{"type": "text", "text": "All is well."}]);
    let result = |result: Value| Said::rpc("result", &result);
    let body =
        r#"{"jsonrpc": "2.0", "id": ID, "result": {"content": [{"type": "text", "text": "All is well."}]}}"#;
    let event = |before: &str, body: &str| Said::events(format!("{before}data: {body}\n\n"));
    let requests = [
        r#"{"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 1}}"#,
        r#"{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "working"}}"#,
        r#"{"jsonrpc": "2.0", "method": "notifications/unheard_of", "params": {}}"#,
        r#"{"jsonrpc": "2.0", "id": "p", "method": "ping"}"#,
        r#"{"jsonrpc": "2.0", "id": "r", "method": "roots/list"}"#,
        "no JSON at all",
    ];
    let chatty: String = requests.iter().map(|request| format!("data: {request}\n\n")).collect();
    let lines = body.replace(", ", ",\ndata: ");
    let scripts = [
        ("charset", well().header("content-type", "application/json; charset=utf-8")),
        ("upper case", well().header("content-type", "Application/JSON")),
        ("text", well().header("content-type", "text/plain")),
        ("no media type", Said::status(200).body(body)),
        ("201", Said::status(201).header("content-type", "application/json").body(body)),
        ("pieces", well().in_pieces()),
        ("revision", well().header("mcp-protocol-version", "2025-06-18")),
        ("id as text", Said::json(body.replace("ID", "\"ID\""))),
        ("white space", Said::json(format!("\r\n  {body}\n"))),
        ("batch", Said::json(format!("[{}, {body}]", requests[0]))),
        ("stream", event("", body)),
        ("stream in pieces", event("", body).in_pieces()),
        (
            "primed stream",
            event(": hello\n\nid: 1\nretry: 10\ndata:\n\n: and\n\nid: 2\nevent: message\n", body),
        ),
        ("CRLF", Said::events(format!(": x\r\n\r\ndata: {body}\r\n\r\n"))),
        ("many lines", event("", &lines)),
        ("chatty stream", event(&chatty, body)),
        ("stream with charset", event("", body).header("content-type", "text/event-stream; charset=utf-8")),
        ("stream without end", Said::events(format!("data: {body}\n\n{}", ": more\n\n".repeat(1_000)))),
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
        ("no kind", result(json!({"content": text, "resultType": null}))),
        ("unknown block", result(json!({"content": [text[0], {"type": "hologram", "x": [1]}]}))),
        ("odd link", result(json!({"content": [text[0], {"type": "resource_link", "uri": "a:b"}]}))),
        ("block without text", result(json!({"content": [text[0], {"type": "text"}]}))),
    ];
    let script = |said| Script { call: vec![said], ..Script::default() };
    each(scripts.into_iter().map(|(name, said)| (name.to_owned(), script(said))).collect(), is_well).await?;
    outputs().await
}

/// What has no message: nothing is lost of it that can be kept.
async fn outputs() -> Result<()> {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let result =
        |members: &str| Said::json(format!(r#"{{"jsonrpc": "2.0", "id": ID, "result": {members}}}"#));
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
        let kept = if levels > 64 { json!(deep) } else { serde_json::from_str(&deep)? };
        rows.push((format!(r#"{{"structuredContent": {deep}}}"#), kept.clone(), usize::from(levels > 64)));
        rows.push((
            format!(r#"{{"structuredContent": {{"status": "completed", "output": {deep}}}}}"#),
            kept,
            usize::from(levels > 64),
        ));
    }
    let calls = rows.into_iter().flat_map(|(members, output, notices)| {
        let streamed =
            Said::events(format!("data: {{\"jsonrpc\": \"2.0\", \"id\": ID, \"result\": {members}}}\n\n"));
        [result(&members), streamed].map(|said| (said, output.clone(), notices))
    });
    let calls = calls.map(async |(said, output, notices)| {
        let done = completed(called(Script { call: vec![said], ..Script::default() }, LONG).await?.1)?;
        let of = (done.message, done.output.unwrap_or_default(), done.notices.len());
        ensure!(of == (None, output, notices), "{of:?}");
        anyhow::Ok(())
    });
    try_join_all(calls).await?;
    Ok(())
}

// NAME: mcp: an error that does not know its call is its answer all the same
/// Nobody waits until the time is over for an answer that has come.
#[tokio::test]
async fn errors() -> Result<()> {
    let bodies = [
        r#"{"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "no"}}"#,
        r#"{"jsonrpc": "2.0", "error": {"code": -32602, "message": "no", "data": {"a": 1}}}"#,
        r#"{"jsonrpc": "2.0", "id": ID, "result": null, "error": {"code": -32602, "message": "no"}}"#,
        r#"{"jsonrpc": "2.0", "id": ID, "error": {"code": "bad", "message": 7}}"#,
    ];
    let scripts =
        bodies.iter().flat_map(|body| [Said::json(*body), Said::events(format!("data: {body}\n\n"))]);
    let scripts = scripts
        .enumerate()
        .map(|(place, said)| (format!("{place}"), Script { call: vec![said], ..Script::default() }));
    each(scripts.collect(), |scripted, outcome| {
        let error = failure(outcome)?;
        // Said where the time was over.
        ensure!(scripted.count("notifications/cancelled") == 0, "it was waited for in vain");
        ensure!(error.code() == "call_refused" && !error.outcome_is_unknown(), "{error:?}");
        Ok(())
    })
    .await
}
