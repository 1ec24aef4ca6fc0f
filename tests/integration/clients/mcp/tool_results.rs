//! What agents answer, in every revision.

use anyhow::{Context, Result, anyhow, ensure};
use local_stack::agents::{Agent, Fault, LIMIT, Revision, Settings};
use serde_json::{Value, json};
use shared::clients::mcp::{
    Approver, CallError, Decision, ElicitationAnswer, NeedsHuman, Reason, Risk, ToolResult,
};

use super::{arguments, call, client, completed, pay, payables, payment, target};

// NAME: mcp: a tool is called in every revision, with JSON and with streams
#[tokio::test]
async fn every_revision() -> Result<()> {
    for revision in Revision::ALL {
        for streams in [false, true] {
            let (agent, client) = payables(Settings { revision, streams }).await?;
            let completed =
                completed(pay(&client, &agent, "k1").await).with_context(|| format!("{revision:?}"))?;
            assert_eq!(completed.message.as_deref(), Some("Invoice 42 is paid."));
            assert_eq!(completed.output, Some(json!({"invoice": "42", "amount": 7.0})));
            assert_eq!(
                (completed.tasks[0].id.as_str(), completed.tasks[0].status.as_str()),
                ("pay-42", "completed")
            );
            let requests = agent.requests();
            let said: Vec<&str> =
                requests.iter().filter(|r| r.method == "POST").map(|r| r.rpc.as_str()).collect();
            let handshake: &[&str] = match revision {
                Revision::V20260728 => &["server/discover", "tools/call"],
                _ => &["server/discover", "initialize", "notifications/initialized", "tools/call"],
            };
            assert_eq!(said, handshake, "{revision:?}");
            let call = agent.calls().pop().context("no call")?;
            assert_eq!(call.header("mcp-protocol-version"), Some(revision.as_str()));
            ensure!(call.header("mcp-session-id").is_some() == (revision != Revision::V20260728));
            // Nobody listens to a stream that belongs to no request.
            ensure!(!requests.iter().any(|request| request.method == "GET"), "{revision:?}: {requests:?}");
        }
    }
    Ok(())
}

fn asked(outcome: Result<ToolResult, CallError>) -> Result<NeedsHuman> {
    match outcome {
        Ok(ToolResult::Asked(asked)) => Ok(asked),
        other => Err(anyhow!("not asked: {other:?}")),
    }
}

// NAME: mcp: an agent asks, is answered and goes on
#[tokio::test]
async fn asked_and_answered() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = payables(Settings { revision, streams: false }).await?;
        let (url, above) = (agent.url(), LIMIT + 1.0);
        let asked = asked(call(&client, &target(&url), payment("k1", above), None).await)?;
        assert_eq!(asked.ask.decisions, [Decision::Approve, Decision::Edit, Decision::Reject]);
        assert_eq!((asked.ask.risk, asked.ask.approver), (Some(Risk::Medium), Some(Approver::OtherOnly)));
        assert_eq!((asked.ask.expires_in_seconds, asked.request_state), (Some(86_400), None));
        assert_eq!(asked.ask.schema.context("no schema")?["type"], "object");
        ensure!(asked.tasks[0].requires_hitl);
        assert_eq!(agent.deeds(), [], "{revision:?}: done before it was decided");

        for (key, decision, paid) in [("k2", "reject", 0), ("k3", "approve", 1)] {
            let mut arguments = payment(key, above);
            arguments.insert("decision".to_owned(), json!({"decision": decision}));
            completed(call(&client, &target(&url), arguments, None).await)?;
            assert_eq!(agent.deeds().len(), paid, "{revision:?}: {decision}");
        }
    }
    Ok(())
}

// NAME: mcp: a follow-up and a handover are read
#[tokio::test]
async fn follow_up_and_handover() -> Result<()> {
    let (payables, tax) = (
        Agent::accounts_payable(Settings::default()).await?,
        Agent::tax_compliance(Settings::default()).await?,
    );
    let cfo = Agent::cfo_strategy(Settings::default()).await?;
    let client = client(&[payables.address(), tax.address(), cfo.address()], "{}")?;

    let paid = completed(pay(&client, &payables, "k1").await)?;
    let follow_up = paid.follow_ups.first().context("no follow-up")?;
    assert_eq!(follow_up.agent_id, tax.id());
    let mut given = arguments("k2", &json!({}));
    given.insert("objective".to_owned(), json!(follow_up.objective));
    given.insert("inputs".to_owned(), json!(follow_up.inputs));
    let checked = completed(call(&client, &target(&tax.url()), given, None).await)?;
    assert_eq!(checked.output, Some(json!({"invoice": "42", "vat": 1.12})));
    assert_eq!(tax.deeds()[0].what, "vat_checked");

    let forecast = arguments("k3", &json!({"action": "forecast", "data": {"invoice": 42}}));
    let handover = completed(call(&client, &target(&payables.url()), forecast, None).await)?.handover;
    let handover = handover.context("no handover")?;
    assert_eq!(
        (handover.agent_id.as_str(), handover.reason.as_deref()),
        (cfo.id(), Some("a question of strategy"))
    );
    let told = arguments("k4", &json!({"summary": handover.summary}));
    let message = completed(call(&client, &target(&cfo.url()), told, None).await)?.message;
    assert_eq!(message.as_deref(), Some("I have taken over. Invoice 42 is on the table."));
    Ok(())
}

// NAME: mcp: what is done under a key is done once
#[tokio::test]
async fn once_under_a_key() -> Result<()> {
    let (agent, client) = payables(Settings::default()).await?;
    let first = completed(pay(&client, &agent, "k1").await)?;
    assert_eq!(completed(pay(&client, &agent, "k1").await)?, first);
    assert_eq!((agent.calls().len(), agent.deeds().len()), (2, 1));
    agent.forget_keys(true);
    completed(pay(&client, &agent, "k1").await)?;
    assert_eq!(agent.deeds().len(), 2, "one that does not honour keys");
    Ok(())
}

// NAME: mcp: a server may ask in MCP's own way
#[tokio::test]
async fn asked_by_protocol() -> Result<()> {
    for streams in [false, true] {
        let (agent, client) = payables(Settings { streams, ..Settings::default() }).await?;
        agent.ask_by_protocol(true);
        let (url, above) = (agent.url(), LIMIT + 1.0);
        let asked = asked(call(&client, &target(&url), payment("k1", above), None).await)?;
        assert_eq!(asked.ask.reason, "Which cost centre pays?");
        assert_eq!(asked.ask.decisions, [Decision::Respond, Decision::Reject]);
        assert_eq!(asked.ask.schema.context("no schema")?["required"], json!(["costCentre"]));
        assert_eq!(agent.deeds(), []);

        // It is kept as JSON for hours.
        let kept: Value = serde_json::from_str(&asked.request_state.context("no state")?.to_string())?;
        let answer = json!({"costCentre": "4711"});
        for (key, decision, paid) in [("k1", Decision::Reject, 0), ("k1", Decision::Respond, 1)] {
            let resume = ElicitationAnswer { request_state: &kept, decision, answer: Some(&answer) };
            completed(call(&client, &target(&url), payment(key, above), Some(resume)).await)?;
            assert_eq!(agent.deeds().len(), paid, "{decision:?}");
        }
        let sent = agent.calls().pop().context("no call")?.params;
        assert_eq!(sent["inputResponses"]["approval"], json!({"action": "accept", "content": answer}));

        let unfit = ElicitationAnswer { request_state: &kept, decision: Decision::Respond, answer: None };
        let refused = call(&client, &target(&url), payment("k2", above), Some(unfit)).await;
        assert_eq!(refused, Err(CallError::NotSent(Reason::AnswerMismatch)));
    }
    Ok(())
}

// NAME: mcp: a server of an older revision is not asked to ask
#[tokio::test]
async fn older_servers_cannot_ask() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = payables(Settings { revision, streams: false }).await?;
        completed(pay(&client, &agent, "k1").await)?;
        let requests = agent.requests();
        let elicitation = |rpc: &str, at: &str| {
            let of = requests.iter().find(|request| request.rpc == rpc);
            of.and_then(|request| request.params.pointer(at)).map(|can| can["elicitation"].is_object())
        };
        let at_call = elicitation("tools/call", "/_meta/io.modelcontextprotocol~1clientCapabilities");
        let at_greeting = elicitation("initialize", "/capabilities");
        let newest = revision == Revision::V20260728;
        assert_eq!(
            (at_call, at_greeting),
            (newest.then_some(true), (!newest).then_some(false)),
            "{revision:?}"
        );
    }
    Ok(())
}

// NAME: mcp: a busy server is called again with its state
#[tokio::test]
async fn busy() -> Result<()> {
    let (agent, client) = payables(Settings::default()).await?;
    let later = json!({"resultType": "input_required", "requestState": "later"});
    agent.fault(Fault::on_calls().result(later.clone()).times(2));
    completed(pay(&client, &agent, "k1").await)?;
    let states: Vec<Value> =
        agent.calls().into_iter().map(|call| call.params["requestState"].clone()).collect();
    assert_eq!(states, [Value::Null, json!("later"), json!("later")]);
    agent.fault(Fault::on_calls().result(later));
    assert_eq!(pay(&client, &agent, "k2").await, Err(CallError::Unknown(Reason::BadResult)), "busy for ever");
    Ok(())
}

// NAME: mcp: text alone, errors and nonsense in a result are told apart
#[tokio::test]
async fn results() -> Result<()> {
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    for revision in Revision::ALL {
        let (agent, client) = payables(Settings { revision, streams: false }).await?;
        let order = async |result: Value| {
            agent.clear_faults();
            agent.fault(Fault::on_calls().result(result));
            pay(&client, &agent, "k1").await
        };
        let said = completed(order(json!({"content": text("All is well.")})).await)?;
        assert_eq!((said.message.as_deref(), said.output), (Some("All is well."), None));
        let failed = order(json!({"content": text("The books are closed."), "isError": true})).await;
        let Ok(ToolResult::Failed(failed)) = failed else { return Err(anyhow!("{failed:?}")) };
        assert_eq!(failed.message.as_deref(), Some("The books are closed."));
        let structured = |value: Value| json!({"content": [], "structuredContent": value});
        let own = json!({"status": "perhaps"});
        let output = completed(order(structured(own.clone())).await)?.output;
        assert_eq!(output, Some(own), "{revision:?}: a status of its own");
        let unfit = json!({"status": "completed", "followUps": [{"agentId": "../etc"}]});
        let done = completed(order(structured(unfit)).await)?;
        ensure!(done.follow_ups.is_empty() && done.notices.len() == 1, "{revision:?}: {done:?}");
        let unfit = json!({"status": "needs_hitl", "ask": {"schema": {"$ref": "https://example.com/schema"}, "risk": "low"}});
        let asked = asked(order(structured(unfit)).await)?;
        assert_eq!((asked.ask.schema, asked.ask.risk), (None, Some(Risk::High)), "{revision:?}");
    }
    Ok(())
}

// NAME: mcp: a tool gets the call and nothing else
#[tokio::test]
async fn nothing_else() -> Result<()> {
    let (agent, client) = payables(Settings::default()).await?;
    completed(pay(&client, &agent, "k1").await)?;
    let call = agent.calls().pop().context("no call")?;
    assert_eq!(call.arguments(), &Value::Object(payment("k1", 7.0)));
    let mut names: Vec<&str> = call.headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    let expected = [
        "accept",
        "accept-encoding",
        "content-length",
        "content-type",
        "host",
        "mcp-method",
        "mcp-name",
        "mcp-protocol-version",
    ];
    assert_eq!(names, expected);
    Ok(())
}
