//! Responses to `server/discover`, the first request of a call. Servers of older revisions do not
//! know it and receive `initialize` afterwards.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use shared::clients::mcp::{CallError, ErrorResponse, Reason};

use super::failure;
use super::scripted_server::{
    Script, ScriptedResponse, TIMEOUT, call_each, call_scripted, check_ok, discover_result,
};

#[tokio::test]
async fn unusable_discover_response_is_followed_by_initialize() -> Result<()> {
    let error = |code: i32| ScriptedResponse::rpc("error", &json!({"code": code, "message": "no"}));
    let page = "<html><p>An error page.";
    let mut responses: Vec<(String, ScriptedResponse)> =
        [400, 402, 403, 404, 405, 406, 408, 409, 415, 422, 500, 501, 502, 503, 504, 520, 530]
            .map(|status| (format!("{status}"), ScriptedResponse::status(status).body(page)))
            .into();
    responses.extend(
        [-32_601, -32_600, -32_602, -32_603, -32_700, -32_000, -32_001, -32_020, -32_021]
            .map(|code| (format!("{code}"), error(code))),
    );
    let older = json!({"code": -32_022, "message": "no", "data": {"supported": ["2025-06-18"]}});
    let mismatched =
        error(-32_601).body(r#"{"jsonrpc": "2.0", "id": 4711, "error": {"code": -32601, "message": ""}}"#);
    responses.extend(
        [
            ("HTML", ScriptedResponse::status(200).header("content-type", "text/html").body(page)),
            ("an empty body", ScriptedResponse::status(200)),
            ("202", ScriptedResponse::status(202)),
            ("204", ScriptedResponse::status(204)),
            ("other JSON", ScriptedResponse::json(r#"{"ok": true}"#)),
            ("an empty result", ScriptedResponse::rpc("result", &json!({}))),
            ("another result", ScriptedResponse::rpc("result", &json!({"tools": []}))),
            ("older revisions", ScriptedResponse::rpc("error", &older)),
            ("an error of 400", error(-32_000).with_status(400)),
            ("older revisions by 400", ScriptedResponse::rpc("error", &older).with_status(400)),
            ("a result of 400", discover_result().with_status(400)),
            ("no response", ScriptedResponse::no_response()),
            ("an error with another id", mismatched),
            ("an error without id", ScriptedResponse::json(r#"{"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": ""}}"#)),
            ("a stream without a message", ScriptedResponse::event_stream(": hello\n\n")),
            ("a stream with an error", ScriptedResponse::event_stream("data: {\"jsonrpc\": \"2.0\", \"id\": ID, \"error\": {\"code\": -32601, \"message\": \"\"}}\n\n")),
            ("a stream without end", ScriptedResponse::event_stream("").stalled()),
            ("a body without end", ScriptedResponse::json("").stalled()),
        ]
        .map(|(name, response)| (name.to_owned(), response)),
    );
    let script = |response| Script { discover: vec![response], ..Script::default() };
    call_each(
        responses.into_iter().map(|(name, response)| (name, script(response))).collect(),
        |server, outcome| {
            ensure!(server.count("initialize") == 1);
            check_ok(server, outcome)
        },
    )
    .await
}

#[tokio::test]
async fn rejected_discover_request_ends_the_call() -> Result<()> {
    for (status, is_retryable) in [(301, false), (308, false), (401, false), (407, false), (429, true)] {
        let script = Script { discover: vec![ScriptedResponse::status(status)], ..Script::default() };
        let (server, outcome) = call_scripted(script, TIMEOUT).await?;
        let error = failure(outcome)?;
        let expected = ErrorResponse { status, rpc: None, retry_after: None, called: false };
        assert_eq!((&error, error.is_retryable()), (&CallError::Answered(expected), is_retryable));
        assert_eq!(server.requests(), ["server/discover"], "{status}");
    }
    let newer = json!({"code": -32_022, "message": "no", "data": {"supported": ["2031-01-01"]}});
    let newer = ScriptedResponse::rpc("error", &newer);
    for response in [newer.clone(), newer.with_status(400)] {
        let script = Script { discover: vec![response], ..Script::default() };
        let error = failure(call_scripted(script, TIMEOUT).await?.1)?;
        assert_eq!((&error, error.is_retryable()), (&CallError::NotSent(Reason::Incompatible), false));
    }
    Ok(())
}

/// The server does not know `initialize`, so the response to `server/discover` determines the
/// outcome.
#[tokio::test]
async fn slow_server_of_latest_revision_is_not_treated_as_older() -> Result<()> {
    let unknown_method = [
        ScriptedResponse::status(400),
        ScriptedResponse::status(404),
        ScriptedResponse::rpc("error", &json!({"code": -32_601, "message": "no"})),
    ];
    for initialize in unknown_method {
        let script =
            |discover| Script { discover, initialize: vec![initialize.clone()], ..Script::default() };
        let unavailable = vec![ScriptedResponse::status(503).header("retry-after", "7")];
        let error = failure(call_scripted(script(unavailable), TIMEOUT).await?.1)?;
        ensure!(error.is_retryable() && error.status() == Some(503), "{error:?}");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
        // The first `server/discover` may take half of the timeout, the second one the rest.
        let slow = vec![ScriptedResponse::json("").stalled(), discover_result()];
        let (server, outcome) = call_scripted(script(slow), Duration::from_secs(4)).await?;
        check_ok(&server, outcome)?;
        assert_eq!(server.requests(), ["server/discover", "initialize", "server/discover", "tools/call"]);
        // The error of a server that knows neither method is permanent.
        let error = failure(call_scripted(script(vec![ScriptedResponse::status(404)]), TIMEOUT).await?.1)?;
        ensure!(!error.is_retryable() && !error.outcome_is_unknown(), "{error:?}");
    }
    Ok(())
}

#[tokio::test]
async fn session_opened_by_discover_is_closed() -> Result<()> {
    let opened = |response: ScriptedResponse| response.header("mcp-session-id", "p-1");
    let responses = [
        ScriptedResponse::status(400),
        ScriptedResponse::rpc("error", &json!({"code": -32_601, "message": ""})),
        ScriptedResponse::event_stream("").stalled(),
        discover_result(),
        ScriptedResponse::status(401),
    ];
    let scripts = responses.into_iter().enumerate().map(|(place, response)| {
        (format!("{place}"), Script { discover: vec![opened(response)], ..Script::default() })
    });
    call_each(scripts.collect(), |server, outcome| {
        ensure!(server.count("DELETE p-1") == 1);
        let is_older = server.count("initialize") == 1;
        ensure!(server.count("DELETE s-1") == usize::from(is_older));
        ensure!(outcome.is_ok() || server.requests().len() == 2, "{outcome:?}");
        Ok(())
    })
    .await
}
