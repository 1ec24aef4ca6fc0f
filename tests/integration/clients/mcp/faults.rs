//! Failed calls: whether they may be retried, and whether the tool may have been executed.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use local_stack::agents::{Agent, Fault, Revision, Settings};
use serde_json::json;
use shared::clients::mcp::{CallError, Client, ErrorResponse, Reason, Target, ToolCall};
use shared::platform::http_client::Deadline;

use super::{call, client, completed, failure, pay, payment, start_payables, target};

#[tokio::test]
async fn http_status_determines_retry_and_outcome() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = start_payables(Settings { revision, streams: false }).await?;
        for (status, is_retryable, is_unknown) in [
            (429, true, false),
            (503, true, false),
            (500, true, true),
            (502, true, true),
            (504, true, true),
            (403, false, false),
            (400, false, false),
        ] {
            let fault = agent.add_fault(Fault::on_calls().status(status).header("retry-after", "7").times(1));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, error_response(status, Some(7), true), "{revision:?}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
            assert_eq!(
                (error.is_retryable(), error.outcome_is_unknown()),
                (is_retryable, is_unknown),
                "{status}"
            );
            assert_eq!(agent.hits(fault), 1, "the client retried the call");
        }
        // In a session, 401 can mean that the session is unknown, so the client opens one new
        // session.
        let fault = agent.add_fault(Fault::on_calls().status(401));
        let error = failure(pay(&client, &agent, "k1").await)?;
        assert_eq!((&error, error.is_retryable()), (&error_response(401, None, true), false), "{revision:?}");
        assert_eq!(agent.hits(fault), if revision == Revision::V20260728 { 1 } else { 2 });
        agent.clear_faults();
        // An error of the handshake means that the tool was not called.
        let rpc = if revision == Revision::V20260728 { "server/discover" } else { "initialize" };
        agent.add_fault(Fault::on(rpc).status(503).header("retry-after", "7").times(1));
        let error = failure(pay(&client, &agent, "k1").await)?;
        assert_eq!(error, error_response(503, Some(7), false), "{revision:?}: {rpc}");
        ensure!(error.is_retryable() && !error.outcome_is_unknown());
        agent.add_fault(Fault::everywhere().status(404));
        assert_eq!(
            failure(pay(&client, &agent, "k1").await)?,
            error_response(404, None, false),
            "{revision:?}: 404 for every request"
        );
        assert_eq!(agent.actions(), []);
    }
    Ok(())
}

#[tokio::test]
async fn retry_after_is_limited_to_an_hour() -> Result<()> {
    let (agent, client) = start_payables(Settings::default()).await?;
    for (sent, expected) in [("3600", 3600), ("3601", 3600), ("99999999999999999999999", 3600)] {
        agent.add_fault(Fault::on_calls().status(503).header("retry-after", sent).times(1));
        let error = failure(pay(&client, &agent, "k1").await)?;
        assert_eq!(error.retry_after(), Some(Duration::from_secs(expected)), "{sent}");
    }
    Ok(())
}

#[tokio::test]
async fn lost_response_is_unknown_and_key_prevents_second_payment() -> Result<()> {
    for revision in Revision::ALL {
        for (fault, payments) in [
            (Fault::on_calls().drop_before(), 0),
            (Fault::on_calls().drop_after(), 1),
            // Older revisions resume the stream, so the response is not lost.
            (Fault::on_calls().cut(), 1),
        ] {
            let (agent, client) = start_payables(Settings { revision, streams: false }).await?;
            if revision != Revision::V20260728 && format!("{fault:?}").contains("Cut") {
                continue;
            }
            agent.add_fault(fault.times(1));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, CallError::Unknown(Reason::ConnectionLost), "{revision:?}");
            assert_eq!(agent.actions().len(), payments, "{revision:?}");
            completed(pay(&client, &agent, "k1").await)?;
            assert_eq!(agent.actions().len(), 1, "{revision:?}: a second payment");
        }
    }
    Ok(())
}

#[tokio::test]
async fn interrupted_stream_without_event_id_is_lost() -> Result<()> {
    let (agent, client) = start_payables(Settings { streams: true, ..Settings::default() }).await?;
    agent.add_fault(Fault::on_calls().cut().times(1));
    let error = failure(pay(&client, &agent, "k1").await)?;
    assert_eq!(error, CallError::Unknown(Reason::ConnectionLost));
    assert_eq!(
        (agent.requests().len(), agent.actions().len()),
        (2, 1),
        "the client tried to resume the stream"
    );
    Ok(())
}

#[tokio::test]
async fn invalid_response_is_unknown_only_after_the_call() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = start_payables(Settings { revision, streams: false }).await?;
        for fault in [Fault::on_calls().html_body(), Fault::on_calls().body(json!({"ok": true}))] {
            agent.add_fault(fault.times(1));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, CallError::Unknown(Reason::NotMcp), "{revision:?}");
        }
        agent.add_fault(Fault::everywhere().html_body());
        let error = failure(pay(&client, &agent, "k2").await)?;
        assert_eq!(error, CallError::NotSent(Reason::NotMcp), "{revision:?}");
        assert_eq!(agent.actions().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn slow_server_times_out() -> Result<()> {
    let delay = Duration::from_secs(5);
    for revision in Revision::ALL {
        let (agent, client) = start_payables(Settings { revision, streams: false }).await?;
        for (fault, error) in [
            (Fault::on("server/discover").delay(delay), CallError::NotSent(Reason::TimedOut)),
            (Fault::on_calls().delay_response(delay), CallError::Unknown(Reason::TimedOut)),
        ] {
            agent.add_fault(fault.times(1));
            let (outcome, duration) = call_with_short_timeout(&client, &agent).await;
            assert_eq!(outcome, Err(error), "{revision:?}");
            ensure!(duration < Duration::from_millis(1_700), "{revision:?}: {duration:?}");
        }
        assert_eq!(agent.actions().len(), 1, "{revision:?}: payments before the timeout");
        completed(pay(&client, &agent, "k1").await)?;
        assert_eq!(agent.actions().len(), 1);
    }
    // The caller's deadline applies if it is earlier than the target's timeout.
    let (agent, client) = start_payables(Settings::default()).await?;
    agent.add_fault(Fault::on_calls().delay(delay));
    let (started, deadline) = (Instant::now(), Deadline::after(Duration::from_millis(500)));
    let call = ToolCall {
        tool: "handle_event",
        arguments: payment("k1", 7.0),
        meta: serde_json::Map::new(),
        resume: None,
    };
    let outcome = client.call(&target(&agent.url()), call, deadline).await;
    assert_eq!(outcome, Err(CallError::Unknown(Reason::TimedOut)));
    ensure!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
    Ok(())
}

#[tokio::test]
async fn unreachable_server_is_retryable() -> Result<()> {
    let agent = Agent::accounts_payable(Settings::default()).await?;
    let (client, url) = (client(&[agent.address()], "{}")?, agent.url());
    drop(agent);
    let error = failure(call(&client, &target(&url), payment("k1", 7.0), None).await)?;
    assert_eq!(error, CallError::NotSent(Reason::Unreachable));
    ensure!(error.is_retryable() && !error.outcome_is_unknown());
    Ok(())
}

#[tokio::test]
async fn oversized_response_is_rejected() -> Result<()> {
    let large = json!({"content": [{"type": "text", "text": "x".repeat(5 << 20)}]});
    for revision in Revision::ALL {
        for streams in [false, true] {
            let (agent, client) = start_payables(Settings { revision, streams }).await?;
            agent.add_fault(Fault::on_calls().result(large.clone()));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, CallError::Unknown(Reason::TooLarge), "{revision:?}, streams: {streams}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn json_rpc_error_is_not_retried() -> Result<()> {
    for revision in Revision::ALL {
        for streams in [false, true] {
            let (agent, client) = start_payables(Settings { revision, streams }).await?;
            let (url, deadline) = (agent.url(), Deadline::after(Duration::from_secs(20)));
            let unknown = ToolCall {
                tool: "no_such_tool",
                arguments: payment("k1", 7.0),
                meta: serde_json::Map::new(),
                resume: None,
            };
            let error = failure(client.call(&target(&url), unknown, deadline).await)?;
            let CallError::Answered(ErrorResponse { rpc: Some(-32602), called: true, .. }) = error else {
                anyhow::bail!("{revision:?}: {error:?}");
            };
            ensure!(!error.is_retryable() && !error.outcome_is_unknown());
            assert_eq!(error.code(), "call_refused");
        }
    }
    Ok(())
}

fn error_response(status: u16, retry_after: Option<u64>, called: bool) -> CallError {
    let retry_after = retry_after.map(Duration::from_secs);
    CallError::Answered(ErrorResponse { status, rpc: None, retry_after, called })
}

/// Calls with a timeout of 700 ms, and returns the outcome and the duration.
async fn call_with_short_timeout(client: &Client, agent: &Agent) -> (Result<(), CallError>, Duration) {
    let started = Instant::now();
    let target = Target { timeout: Duration::from_millis(700), ..target("") };
    let outcome = call(client, &Target { url: &agent.url(), ..target }, payment("k1", 7.0), None).await;
    (outcome.map(|_| ()), started.elapsed())
}
