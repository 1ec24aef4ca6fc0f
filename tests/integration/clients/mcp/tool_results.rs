//! Results of tools, in every revision of MCP.

use anyhow::{Context, Result, anyhow, ensure};
use local_stack::agents::{APPROVAL_LIMIT, Agent, Fault, Revision, Settings};
use serde_json::{Value, json};
use shared::clients::mcp::{
    Approver, CallError, Decision, ElicitationAnswer, NeedsHuman, Reason, Risk, ToolResult,
};

use super::{arguments, call, client, completed, pay, payment, start_payables, target};

#[tokio::test]
async fn tool_is_called_in_every_revision_and_response_format() -> Result<()> {
    for revision in Revision::ALL {
        for streams in [false, true] {
            let (agent, client) = start_payables(Settings { revision, streams }).await?;
            let completed =
                completed(pay(&client, &agent, "k1").await).with_context(|| format!("{revision:?}"))?;
            assert_eq!(completed.message.as_deref(), Some("Invoice 42 is paid."));
            assert_eq!(completed.output, Some(json!({"invoice": "42", "amount": 7.0})));
            assert_eq!(
                (completed.tasks[0].id.as_str(), completed.tasks[0].status.as_str()),
                ("pay-42", "completed")
            );
            let requests = agent.requests();
            let rpcs: Vec<&str> = requests
                .iter()
                .filter(|request| request.method == "POST")
                .map(|request| request.rpc.as_str())
                .collect();
            let expected: &[&str] = match revision {
                Revision::V20260728 => &["server/discover", "tools/call"],
                _ => &["server/discover", "initialize", "notifications/initialized", "tools/call"],
            };
            assert_eq!(rpcs, expected, "{revision:?}");
            let call = agent.calls().pop().context("no call")?;
            assert_eq!(call.header("mcp-protocol-version"), Some(revision.as_str()));
            ensure!(call.header("mcp-session-id").is_some() == (revision != Revision::V20260728));
            // The client does not open a stream without a request.
            ensure!(!requests.iter().any(|request| request.method == "GET"), "{revision:?}: {requests:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn request_for_approval_is_returned_and_decided() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = start_payables(Settings { revision, streams: false }).await?;
        let (url, above) = (agent.url(), APPROVAL_LIMIT + 1.0);
        let request = needs_human(call(&client, &target(&url), payment("k1", above), None).await)?;
        assert_eq!(request.ask.decisions, [Decision::Approve, Decision::Edit, Decision::Reject]);
        assert_eq!((request.ask.risk, request.ask.approver), (Some(Risk::Medium), Some(Approver::OtherOnly)));
        assert_eq!((request.ask.expires_in_seconds, request.request_state), (Some(86_400), None));
        assert_eq!(request.ask.schema.context("no schema")?["type"], "object");
        ensure!(request.tasks[0].requires_hitl);
        assert_eq!(agent.actions(), [], "{revision:?}: executed before the decision");

        for (key, decision, payments) in [("k2", "reject", 0), ("k3", "approve", 1)] {
            let mut arguments = payment(key, above);
            arguments.insert("decision".to_owned(), json!({"decision": decision}));
            completed(call(&client, &target(&url), arguments, None).await)?;
            assert_eq!(agent.actions().len(), payments, "{revision:?}: {decision}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn follow_up_and_handover_are_parsed() -> Result<()> {
    let (payables, tax) = (
        Agent::accounts_payable(Settings::default()).await?,
        Agent::tax_compliance(Settings::default()).await?,
    );
    let cfo = Agent::cfo_strategy(Settings::default()).await?;
    let client = client(&[payables.address(), tax.address(), cfo.address()], "{}")?;

    let paid = completed(pay(&client, &payables, "k1").await)?;
    let follow_up = paid.follow_ups.first().context("no follow-up")?;
    assert_eq!(follow_up.agent_id, tax.id());
    let mut tool_arguments = arguments("k2", &json!({}));
    tool_arguments.insert("objective".to_owned(), json!(follow_up.objective));
    tool_arguments.insert("inputs".to_owned(), json!(follow_up.inputs));
    let checked = completed(call(&client, &target(&tax.url()), tool_arguments, None).await)?;
    assert_eq!(checked.output, Some(json!({"invoice": "42", "vat": 1.12})));
    assert_eq!(tax.actions()[0].kind, "vat_checked");

    let forecast = arguments("k3", &json!({"action": "forecast", "data": {"invoice": 42}}));
    let handover = completed(call(&client, &target(&payables.url()), forecast, None).await)?.handover;
    let handover = handover.context("no handover")?;
    assert_eq!(
        (handover.agent_id.as_str(), handover.reason.as_deref()),
        (cfo.id(), Some("a question of strategy"))
    );
    let summary = arguments("k4", &json!({"summary": handover.summary}));
    let message = completed(call(&client, &target(&cfo.url()), summary, None).await)?.message;
    assert_eq!(message.as_deref(), Some("I have taken over. Invoice 42 is on the table."));
    Ok(())
}

#[tokio::test]
async fn repeated_call_with_same_key_is_executed_once() -> Result<()> {
    let (agent, client) = start_payables(Settings::default()).await?;
    let first = completed(pay(&client, &agent, "k1").await)?;
    assert_eq!(completed(pay(&client, &agent, "k1").await)?, first);
    assert_eq!((agent.calls().len(), agent.actions().len()), (2, 1));
    agent.ignore_idempotency_keys(true);
    completed(pay(&client, &agent, "k1").await)?;
    assert_eq!(agent.actions().len(), 2, "payments of an agent that ignores keys");
    Ok(())
}

#[tokio::test]
async fn elicitation_is_answered_and_resumed() -> Result<()> {
    for streams in [false, true] {
        let (agent, client) = start_payables(Settings { streams, ..Settings::default() }).await?;
        agent.use_input_required(true);
        let (url, above) = (agent.url(), APPROVAL_LIMIT + 1.0);
        let request = needs_human(call(&client, &target(&url), payment("k1", above), None).await)?;
        assert_eq!(request.ask.reason, "Which cost centre pays?");
        assert_eq!(request.ask.decisions, [Decision::Respond, Decision::Reject]);
        assert_eq!(request.ask.schema.context("no schema")?["required"], json!(["costCentre"]));
        assert_eq!(agent.actions(), []);

        // The database stores the state as JSON.
        let stored: Value = serde_json::from_str(&request.request_state.context("no state")?.to_string())?;
        let answer = json!({"costCentre": "4711"});
        for (key, decision, payments) in [("k1", Decision::Reject, 0), ("k1", Decision::Respond, 1)] {
            let resume = ElicitationAnswer { request_state: &stored, decision, answer: Some(&answer) };
            completed(call(&client, &target(&url), payment(key, above), Some(resume)).await)?;
            assert_eq!(agent.actions().len(), payments, "{decision:?}");
        }
        let sent = agent.calls().pop().context("no call")?.params;
        assert_eq!(sent["inputResponses"]["approval"], json!({"action": "accept", "content": answer}));

        let unfit = ElicitationAnswer { request_state: &stored, decision: Decision::Respond, answer: None };
        let outcome = call(&client, &target(&url), payment("k2", above), Some(unfit)).await;
        assert_eq!(outcome, Err(CallError::NotSent(Reason::AnswerMismatch)));
    }
    Ok(())
}

#[tokio::test]
async fn elicitation_capability_is_sent_to_latest_revision_only() -> Result<()> {
    for revision in Revision::ALL {
        let (agent, client) = start_payables(Settings { revision, streams: false }).await?;
        completed(pay(&client, &agent, "k1").await)?;
        let requests = agent.requests();
        let elicitation = |rpc: &str, at: &str| {
            let request = requests.iter().find(|request| request.rpc == rpc);
            let capabilities = request.and_then(|request| request.params.pointer(at));
            capabilities.map(|capabilities| capabilities["elicitation"].is_object())
        };
        let at_call = elicitation("tools/call", "/_meta/io.modelcontextprotocol~1clientCapabilities");
        let at_initialize = elicitation("initialize", "/capabilities");
        let newest = revision == Revision::V20260728;
        assert_eq!(
            (at_call, at_initialize),
            (newest.then_some(true), (!newest).then_some(false)),
            "{revision:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn request_state_is_returned_to_a_busy_server() -> Result<()> {
    let (agent, client) = start_payables(Settings::default()).await?;
    let later = json!({"resultType": "input_required", "requestState": "later"});
    agent.add_fault(Fault::on_calls().result(later.clone()).times(2));
    completed(pay(&client, &agent, "k1").await)?;
    let states: Vec<Value> =
        agent.calls().into_iter().map(|call| call.params["requestState"].clone()).collect();
    assert_eq!(states, [Value::Null, json!("later"), json!("later")]);
    agent.add_fault(Fault::on_calls().result(later));
    assert_eq!(
        pay(&client, &agent, "k2").await,
        Err(CallError::Unknown(Reason::BadResult)),
        "expected an error after repeated busy responses"
    );
    Ok(())
}

#[tokio::test]
async fn kinds_of_results_are_distinguished() -> Result<()> {
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    for revision in Revision::ALL {
        let (agent, client) = start_payables(Settings { revision, streams: false }).await?;
        let pay_with_result = async |result: Value| {
            agent.clear_faults();
            agent.add_fault(Fault::on_calls().result(result));
            pay(&client, &agent, "k1").await
        };
        let done = completed(pay_with_result(json!({"content": text("All is well.")})).await)?;
        assert_eq!((done.message.as_deref(), done.output), (Some("All is well."), None));
        let failed =
            pay_with_result(json!({"content": text("The books are closed."), "isError": true})).await;
        let Ok(ToolResult::Failed(failed)) = failed else { return Err(anyhow!("{failed:?}")) };
        assert_eq!(failed.message.as_deref(), Some("The books are closed."));
        let structured = |value: Value| json!({"content": [], "structuredContent": value});
        // `isError` applies to a result by the contract as well, in both places of the result.
        let contract = json!({"status": "completed", "message": "Rejected."});
        for result in [
            json!({"content": [], "structuredContent": contract, "isError": true}),
            json!({"content": text(&contract.to_string()), "isError": true}),
        ] {
            let failed = pay_with_result(result.clone()).await;
            let Ok(ToolResult::Failed(failed)) = failed else { return Err(anyhow!("{result}: {failed:?}")) };
            assert_eq!(failed.message.as_deref(), Some("Rejected."), "{revision:?}: {result}");
        }
        let own = json!({"status": "perhaps"});
        let output = completed(pay_with_result(structured(own.clone())).await)?.output;
        assert_eq!(output, Some(own), "{revision:?}: a status that is not part of the contract");
        let unfit = json!({"status": "completed", "followUps": [{"agentId": "../etc"}]});
        let done = completed(pay_with_result(structured(unfit)).await)?;
        ensure!(done.follow_ups.is_empty() && done.notices.len() == 1, "{revision:?}: {done:?}");
        let unfit = json!({"status": "needs_hitl", "ask": {"schema": {"$ref": "https://example.com/schema"}, "risk": "low"}});
        let request = needs_human(pay_with_result(structured(unfit)).await)?;
        assert_eq!((request.ask.schema, request.ask.risk), (None, Some(Risk::High)), "{revision:?}");
    }
    Ok(())
}

#[tokio::test]
async fn tool_receives_only_its_arguments_and_protocol_headers() -> Result<()> {
    let (agent, client) = start_payables(Settings::default()).await?;
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

fn needs_human(outcome: Result<ToolResult, CallError>) -> Result<NeedsHuman> {
    match outcome {
        Ok(ToolResult::NeedsHuman(request)) => Ok(request),
        other => Err(anyhow!("expected a request for a human decision, found {other:?}")),
    }
}
