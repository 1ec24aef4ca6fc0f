//! What goes wrong is told apart by what may be done next.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use local_stack::agents::{Agent, Fault, Revision, Settings};
use serde_json::json;
use shared::clients::mcp::{CallError, Client, ErrorResponse, Reason, Target, ToolCall};
use shared::platform::http_client::Deadline;

use super::{call, client, completed, failure, pay, payables, payment, target};

fn answered(status: u16, retry_after: Option<u64>, called: bool) -> CallError {
    let retry_after = retry_after.map(Duration::from_secs);
    CallError::Answered(ErrorResponse { status, rpc: None, retry_after, called })
}

// NAME: mcp: a status is an answer, of the tool or of the door before it
#[tokio::test]
async fn statuses() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = payables(Settings { revision, streams: false }).await?;
        for (status, passing, perhaps_done) in [
            (429, true, false),
            (503, true, false),
            (500, true, true),
            (504, true, true),
            (403, false, false),
            (400, false, false),
        ] {
            let fault = agent.fault(Fault::on_calls().status(status).header("retry-after", "7").times(1));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, answered(status, Some(7), true), "{revision:?}");
            assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
            assert_eq!(
                (error.is_retryable(), error.outcome_is_unknown()),
                (passing, perhaps_done),
                "{status}"
            );
            assert_eq!(agent.hits(fault), 1, "no repeat of our own");
        }
        // In a session it may be the session that is not known, so it is begun anew, once.
        let fault = agent.fault(Fault::on_calls().status(401));
        let error = failure(pay(&client, &agent, "k1").await)?;
        assert_eq!((&error, error.is_retryable()), (&answered(401, None, true), false), "{revision:?}");
        assert_eq!(agent.hits(fault), if revision == Revision::V20260728 { 1 } else { 2 });
        agent.clear_faults();
        // The handshake is no call of the tool.
        let rpc = if revision == Revision::V20260728 { "server/discover" } else { "initialize" };
        agent.fault(Fault::on(rpc).status(503).header("retry-after", "7").times(1));
        let error = failure(pay(&client, &agent, "k1").await)?;
        assert_eq!(error, answered(503, Some(7), false), "{revision:?}: {rpc}");
        ensure!(error.is_retryable() && !error.outcome_is_unknown());
        agent.fault(Fault::everywhere().status(404));
        assert_eq!(
            failure(pay(&client, &agent, "k1").await)?,
            answered(404, None, false),
            "{revision:?}: not there"
        );
        assert_eq!(agent.deeds(), []);
    }
    Ok(())
}

// NAME: mcp: a lost answer is unknown, and the key makes the repeat harmless
#[tokio::test]
async fn lost_answers() -> Result<()> {
    for revision in Revision::ALL {
        for (fault, done) in [
            (Fault::on_calls().drop_before(), 0),
            (Fault::on_calls().drop_after(), 1),
            // A stream of theirs can be taken up again.
            (Fault::on_calls().cut(), 1),
        ] {
            let (agent, client) = payables(Settings { revision, streams: false }).await?;
            if revision != Revision::V20260728 && format!("{fault:?}").contains("Cut") {
                continue;
            }
            agent.fault(fault.times(1));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, CallError::Unknown(Reason::ConnectionLost), "{revision:?}");
            assert_eq!(agent.deeds().len(), done, "{revision:?}");
            completed(pay(&client, &agent, "k1").await)?;
            assert_eq!(agent.deeds().len(), 1, "{revision:?}: a second payment");
        }
    }
    Ok(())
}

// NAME: mcp: a stream that stopped without an id is lost
#[tokio::test]
async fn stopped() -> Result<()> {
    let (agent, client) = payables(Settings { streams: true, ..Settings::default() }).await?;
    agent.fault(Fault::on_calls().cut().times(1));
    let error = failure(pay(&client, &agent, "k1").await)?;
    assert_eq!(error, CallError::Unknown(Reason::ConnectionLost));
    assert_eq!((agent.requests().len(), agent.deeds().len()), (2, 1), "there was nothing to take up");
    Ok(())
}

// NAME: mcp: nonsense is unknown once the call was made, and nothing before
#[tokio::test]
async fn nonsense() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = payables(Settings { revision, streams: false }).await?;
        for fault in [Fault::on_calls().nonsense(), Fault::on_calls().body(json!({"ok": true}))] {
            agent.fault(fault.times(1));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, CallError::Unknown(Reason::NotMcp), "{revision:?}");
        }
        agent.fault(Fault::everywhere().nonsense());
        let error = failure(pay(&client, &agent, "k2").await)?;
        assert_eq!(error, CallError::NotSent(Reason::NotMcp), "{revision:?}");
        assert_eq!(agent.deeds().len(), 1);
    }
    Ok(())
}

async fn impatient(client: &Client, agent: &Agent) -> (Result<(), CallError>, Duration) {
    let started = Instant::now();
    let target = Target { timeout: Duration::from_millis(700), ..target("") };
    let outcome = call(client, &Target { url: &agent.url(), ..target }, payment("k1", 7.0), None).await;
    (outcome.map(|_| ()), started.elapsed())
}

// NAME: mcp: a slow server does not hold us up
#[tokio::test]
async fn slow() -> Result<()> {
    let long = Duration::from_secs(5);
    for revision in Revision::ALL {
        let (agent, client) = payables(Settings { revision, streams: false }).await?;
        for (fault, error) in [
            (Fault::on("server/discover").delay(long), CallError::NotSent(Reason::TimedOut)),
            (Fault::on_calls().late(long), CallError::Unknown(Reason::TimedOut)),
        ] {
            agent.fault(fault.times(1));
            let (outcome, took) = impatient(&client, &agent).await;
            assert_eq!(outcome, Err(error), "{revision:?}");
            ensure!(took < Duration::from_millis(1_700), "{revision:?}: {took:?}");
        }
        assert_eq!(agent.deeds().len(), 1, "{revision:?}: done, and nobody was there to hear it");
        completed(pay(&client, &agent, "k1").await)?;
        assert_eq!(agent.deeds().len(), 1);
    }
    // The caller's own deadline, where that is earlier than the server's.
    let (agent, client) = payables(Settings::default()).await?;
    agent.fault(Fault::on_calls().delay(long));
    let (started, deadline) = (Instant::now(), Deadline::after(Duration::from_millis(500)));
    let call = ToolCall { tool: "handle_event", arguments: payment("k1", 7.0), resume: None };
    let outcome = client.call(&target(&agent.url()), call, deadline).await;
    assert_eq!(outcome, Err(CallError::Unknown(Reason::TimedOut)));
    ensure!(started.elapsed() < Duration::from_millis(1_500), "{:?}", started.elapsed());
    Ok(())
}

// NAME: mcp: nothing is done at a server that cannot be reached
#[tokio::test]
async fn unreachable() -> Result<()> {
    let agent = Agent::accounts_payable(Settings::default()).await?;
    let (client, url) = (client(&[agent.address()], "{}")?, agent.url());
    drop(agent);
    let error = failure(call(&client, &target(&url), payment("k1", 7.0), None).await)?;
    assert_eq!(error, CallError::NotSent(Reason::Unreachable));
    ensure!(error.is_retryable() && !error.outcome_is_unknown());
    Ok(())
}

// NAME: mcp: an answer without end is not read to its end
#[tokio::test]
async fn endless() -> Result<()> {
    let large = json!({"content": [{"type": "text", "text": "x".repeat(5 << 20)}]});
    for revision in Revision::ALL {
        for streams in [false, true] {
            let (agent, client) = payables(Settings { revision, streams }).await?;
            agent.fault(Fault::on_calls().result(large.clone()));
            let error = failure(pay(&client, &agent, "k1").await)?;
            assert_eq!(error, CallError::Unknown(Reason::TooLarge), "{revision:?}, streams: {streams}");
        }
    }
    Ok(())
}

// NAME: mcp: a server that refuses the call is not asked again
#[tokio::test]
async fn refusals() -> Result<()> {
    for revision in Revision::ALL {
        for streams in [false, true] {
            let (agent, client) = payables(Settings { revision, streams }).await?;
            let (url, deadline) = (agent.url(), Deadline::after(Duration::from_secs(20)));
            let unknown = ToolCall { tool: "no_such_tool", arguments: payment("k1", 7.0), resume: None };
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
