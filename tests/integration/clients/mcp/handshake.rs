//! Responses to `initialize` and `notifications/initialized`, and sessions that a server does not
//! know.

use anyhow::{Result, ensure};
use shared::clients::mcp::CallError;

use super::failure;
use super::scripted_server::{
    Script, ScriptedResponse, TIMEOUT, call_each, call_scripted, check_ok, initialize_result, ok_result,
};

#[tokio::test]
async fn initialize_response_variants_are_accepted() -> Result<()> {
    let mut scripts = Vec::new();
    for (place, notification) in [
        ScriptedResponse::status(200),
        ScriptedResponse::status(202).header("content-type", "application/json"),
        ScriptedResponse::status(204),
        ScriptedResponse::json("{}"),
        ScriptedResponse::event_stream(": nothing\n\n"),
        ScriptedResponse::status(400),
        ScriptedResponse::status(404),
        ScriptedResponse::status(405),
        ScriptedResponse::status(500),
        ScriptedResponse::status(503),
        ScriptedResponse::no_response(),
    ]
    .into_iter()
    .enumerate()
    {
        scripts.push((format!("notification {place}"), Script { notification, ..Script::default() }));
    }
    let streamed = "id: 1\nretry: 10\ndata:\n\n: hello\n\nevent: message\ndata: ";
    let body = r#"{"jsonrpc": "2.0", "id": ID, "result": {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "s", "version": "1"}}}"#;
    for (name, response) in [
        ("2024", initialize_result("2024-11-05")),
        ("2025-03", initialize_result("2025-03-26")),
        ("2025-11", initialize_result("2025-11-25").header("mcp-protocol-version", "2025-11-25")),
        ("unknown revision", initialize_result("2025-12-31")),
        (
            "charset",
            initialize_result("2025-06-18").header("content-type", "application/json; charset=utf-8"),
        ),
        ("stream", ScriptedResponse::event_stream(format!("{streamed}{body}\n\n"))),
        ("single bytes", initialize_result("2025-06-18").in_single_bytes()),
    ] {
        scripts.push((name.to_owned(), Script { initialize: vec![response], ..Script::default() }));
    }
    call_each(scripts, check_ok).await
}

#[tokio::test]
async fn unknown_session_is_reopened_once() -> Result<()> {
    let rejection = |status, text: &str| ScriptedResponse::status(status).body(text);
    for (rejected, is_certain) in [
        (rejection(404, ""), true),
        (rejection(410, ""), true),
        (
            rejection(
                400,
                r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#,
            ),
            true,
        ),
        (rejection(400, "Bad Request: Server not initialized"), true),
        (rejection(401, "Unauthorized: Session not found"), true),
        // Some servers reject the credential instead, although they accepted it for `initialize`.
        (rejection(401, r#"{"error": "invalid_token"}"#), false),
    ] {
        let call = vec![rejected.clone(), ok_result()];
        let (server, outcome) = call_scripted(Script { call, ..Script::default() }, TIMEOUT).await?;
        check_ok(&server, outcome)?;
        let counts = ["server/discover", "initialize", "tools/call", "DELETE s-1"]
            .map(|request| server.count(request));
        assert_eq!(counts, [1, 2, 2, 2], "{:?}", server.requests());

        let (server, outcome) =
            call_scripted(Script { call: vec![rejected], ..Script::default() }, TIMEOUT).await?;
        let error = failure(outcome)?;
        assert_eq!(server.count("tools/call"), 2, "{:?}", server.requests());
        assert_eq!((error.is_retryable(), error.outcome_is_unknown()), (is_certain, false), "{error:?}");
        assert_eq!(error.code(), if is_certain { "session_lost" } else { "unauthorized" });
    }
    // Errors that are not about the session are not retried, and neither are errors without a
    // session.
    let stateless = Script { initialize: vec![initialize_result("2025-06-18")], ..Script::default() };
    for (script, rejected) in [
        (Script::default(), rejection(400, "amount is missing")),
        (Script::default(), rejection(403, "session")),
        (Script::default(), rejection(500, "session")),
        (stateless.clone(), rejection(404, "session")),
        (stateless, rejection(401, "session")),
    ] {
        let (server, outcome) = call_scripted(Script { call: vec![rejected], ..script }, TIMEOUT).await?;
        ensure!(matches!(failure(outcome)?, CallError::Answered(_)));
        assert_eq!(server.count("tools/call"), 1);
    }
    Ok(())
}
