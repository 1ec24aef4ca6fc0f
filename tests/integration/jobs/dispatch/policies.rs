//! Every path to a call applies the policy that is registered when the call starts. The test runs
//! every path under every policy.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, session_path};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    ASK, CALLED, CONFIRM, NEVER, UNREADABLE, compare_rows, complete_calls, finish_calls, newest_outcomes,
    open_escalation, record_tool_events, register_tools, tool,
};

/// The agent that receives follow-ups and handovers.
const OTHER: &str = "tax_compliance";

/// The registrations that replace the first one. The amount of the call is 500.
fn policies(pointer: &str) -> [(&'static str, Value); 8] {
    let auto = |limits: Value| {
        let mut fields = json!({ "policy": "auto", "amount_pointer": pointer });
        if let (Some(fields), Value::Object(limits)) = (fields.as_object_mut(), limits) {
            fields.extend(limits);
        }
        fields
    };
    [
        ("never", json!({ "policy": "never" })),
        ("refuse", auto(json!({ "refuse_above": 100 }))),
        ("unreadable", auto(json!({ "refuse_above": 1000, "amount_pointer": "/nowhere" }))),
        ("ask", json!({ "policy": "ask" })),
        ("above", auto(json!({ "ask_above": 100 }))),
        ("total", auto(json!({ "ask_above_total": 100 }))),
        ("confirm", json!({ "policy": "confirm" })),
        ("auto", auto(json!({ "ask_above": 1000, "ask_above_total": 1000, "refuse_above": 1000 }))),
    ]
}

/// Outcomes of a first call, in the order of [`policies`].
const FIRST_CALL: [&str; 8] = [NEVER, NEVER, UNREADABLE, ASK, ASK, ASK, CONFIRM, CALLED];
/// An edit is rejected if no decision could release the call.
const EDITED_CALL: [&str; 8] = [FORBIDDEN, FORBIDDEN, FORBIDDEN, ASK, ASK, ASK, CONFIRM, CALLED];
/// An approval of the displayed call covers every policy that requires an approval.
const APPROVED_CALL: [&str; 8] = [NEVER, NEVER, UNREADABLE, CALLED, CALLED, CALLED, CALLED, CALLED];
/// A confirmation does not replace an approval by another person.
const CONFIRMED_CALL: [&str; 8] = [NEVER, NEVER, UNREADABLE, ASK, ASK, ASK, CALLED, CALLED];
const FORBIDDEN: &str = "policy_forbids";

/// The start of a call under the first registration, and its continuation under the second one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum CallPath {
    First,
    Retry,
    Answered,
    ApprovedWithAnswer,
    Approved,
    EditedQuestion,
    EditedHeld,
    ApprovedHeld,
    Confirmed,
    ApprovedFailure,
    Replayed,
    FollowUp,
    Handover,
}

impl CallPath {
    const ALL: [(Self, [&'static str; 8]); 13] = [
        (Self::First, FIRST_CALL),
        (Self::Retry, FIRST_CALL),
        (Self::Answered, FIRST_CALL),
        (Self::ApprovedWithAnswer, FIRST_CALL),
        (Self::Approved, FIRST_CALL),
        (Self::EditedQuestion, EDITED_CALL),
        (Self::EditedHeld, EDITED_CALL),
        (Self::ApprovedHeld, APPROVED_CALL),
        (Self::Confirmed, CONFIRMED_CALL),
        (Self::ApprovedFailure, FIRST_CALL),
        (Self::Replayed, FIRST_CALL),
        (Self::FollowUp, FIRST_CALL),
        (Self::Handover, FIRST_CALL),
    ];

    fn agent(self) -> &'static str {
        if matches!(self, Self::FollowUp | Self::Handover) { OTHER } else { AGENT }
    }

    /// The JSON pointer to the amount.
    fn pointer(self) -> &'static str {
        if self == Self::Handover { "/summary" } else { "/data/amount" }
    }

    /// The outcome of the first call of each tool, before the registration is replaced.
    fn first_outcome(self) -> Option<Value> {
        let ask = json!({
            "reason": "Which account?", "decisions": ["approve", "respond", "edit", "reject"],
            "risk": "low", "approver": "self",
        });
        match self {
            Self::Retry => {
                Some(json!({ "kind": "retry", "error": "unreachable", "retry_after_seconds": 60 }))
            }
            Self::Answered | Self::ApprovedWithAnswer | Self::Approved | Self::EditedQuestion => {
                Some(json!({ "kind": "ask", "ask": ask }))
            }
            Self::ApprovedFailure | Self::Replayed => {
                Some(json!({ "kind": "failed", "error": "agent_failed" }))
            }
            _ => None,
        }
    }
}

#[tokio::test]
async fn every_path_to_a_call_applies_the_current_policy() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    // Edits of the first approver need a second one.
    fixture.add_colleague(OrgRole::Admin).await?;
    stack.raise_limits(fixture.member.user.org_id).await?;
    stack.register_agent(fixture.member.user.org_id, OTHER, "Tax").await?;
    let mut comparisons = Vec::new();
    for (call_path, expected) in CallPath::ALL {
        let outcomes = run_path(&fixture, call_path).await.with_context(|| format!("{call_path:?}"))?;
        for (((name, _), expected), outcome) in policies("").iter().zip(expected).zip(outcomes) {
            comparisons.push((format!("{call_path:?} {name}"), expected.to_owned(), outcome));
        }
    }
    compare_rows(comparisons)
}

/// Runs one path under every policy, and returns the outcomes.
async fn run_path(fixture: &EscalationFixture<'_>, call_path: CallPath) -> Result<Vec<String>> {
    let (stack, org_id) = (fixture.stack, fixture.member.user.org_id);
    let replaced = policies(call_path.pointer());
    let names = replaced.each_ref().map(|(name, _)| *name);
    let first_policy = match call_path {
        CallPath::EditedHeld | CallPath::ApprovedHeld => json!({ "policy": "ask" }),
        CallPath::Confirmed => json!({ "policy": "confirm" }),
        _ => json!({ "policy": "auto" }),
    };
    let before: Vec<Value> = names.iter().map(|name| tool(name, &first_policy)).collect();
    let after: Vec<Value> = replaced.iter().map(|(name, fields)| tool(name, fields)).collect();
    // A follow-up or handover is routed only to the tool that the session's metadata names.
    let agent_routes: Vec<Value> = ["agent_follow_up", "handover"]
        .into_iter()
        .flat_map(|kind| {
            names.map(|name| json!({ "tool": name, "event_type": kind, "metadata": { "tool": name } }))
        })
        .collect();
    let routes = if call_path.agent() == OTHER { agent_routes } else { Vec::new() };
    register_tools(stack, org_id, call_path.agent(), &before, &routes).await?;
    let event = json!({ "data": { "amount": 500 } });
    if call_path.agent() == OTHER {
        start_by_another_agent(fixture, call_path, &names).await?;
    } else {
        // Each call has its own session, so a waiting call does not delay the next one.
        for name in names {
            let session = fixture.member.open_session_path().await?;
            record_tool_events(&fixture.member, &session, &[(name, event.clone())]).await?;
        }
    }
    if let Some(outcome) = call_path.first_outcome() {
        let calls = finish_calls(stack, outcome).await?;
        ensure!(calls.len() == names.len(), "expected {} calls, found {}", names.len(), calls.len());
    } else if matches!(call_path, CallPath::EditedHeld | CallPath::ApprovedHeld | CallPath::Confirmed) {
        ensure!(complete_calls(stack).await?.is_empty(), "a held call was made");
    }

    register_tools(stack, org_id, call_path.agent(), &after, &routes).await?;
    let mut rejections = Vec::new();
    for name in names {
        rejections.push(continue_call(fixture, call_path, name).await.with_context(|| name.to_owned())?);
    }
    complete_calls(stack).await?;
    let newest = newest_outcomes(stack, org_id).await?;
    let outcomes = names.iter().zip(rejections).map(|(name, rejection)| {
        rejection.unwrap_or_else(|| newest.get(*name).cloned().unwrap_or_else(|| "nothing".to_owned()))
    });
    let outcomes = outcomes.collect();
    // The next path starts without open escalations and without a total.
    let clear = "update chat_escalations set status = 'withdrawn', closed_at = now() where status = 'open'";
    sqlx::query(clear).execute(stack.database()).await?;
    sqlx::query("delete from auto_call_amounts").execute(stack.database()).await?;
    Ok(outcomes)
}

/// Continues the call. Returns the error code if the decision is rejected.
async fn continue_call(
    fixture: &EscalationFixture<'_>,
    call_path: CallPath,
    name: &str,
) -> Result<Option<String>> {
    let (stack, org_id) = (fixture.stack, fixture.member.user.org_id);
    let same = json!({ "data": { "amount": 500 } });
    let response = match call_path {
        CallPath::First | CallPath::FollowUp | CallPath::Handover => return Ok(None),
        CallPath::Retry => {
            let due = "update deliveries set next_attempt_at = now() where tool = $1 and status = 'pending'";
            sqlx::query(due).bind(name).execute(stack.database()).await?;
            return Ok(None);
        }
        CallPath::Replayed => {
            let dead = "
                select id from deliveries
                where tool = $1 and status = 'dead' order by created_at desc limit 1";
            let id: Uuid = sqlx::query_scalar(dead).bind(name).fetch_one(stack.database()).await?;
            let replay = json!({ "p_org_id": org_id, "p_delivery_id": id });
            let (status, replayed) = stack.rpc("replay_delivery", replay).await?;
            ensure!(
                status.is_success() && replayed["replayed"] == true,
                "replay_delivery returned {status}: {replayed}"
            );
            return Ok(None);
        }
        CallPath::Answered => {
            decide_with_answer(
                &fixture.member,
                &open_escalation(stack, org_id, name).await?,
                "respond",
                json!("4711"),
            )
            .await?
        }
        CallPath::ApprovedWithAnswer => {
            decide_with_answer(
                &fixture.member,
                &open_escalation(stack, org_id, name).await?,
                "approve",
                json!("4711"),
            )
            .await?
        }
        CallPath::ApprovedHeld => {
            decide(&fixture.approver, &open_escalation(stack, org_id, name).await?, "approve").await?
        }
        CallPath::Approved | CallPath::ApprovedFailure | CallPath::Confirmed => {
            decide(&fixture.member, &open_escalation(stack, org_id, name).await?, "approve").await?
        }
        CallPath::EditedQuestion => {
            decide_with_answer(&fixture.member, &open_escalation(stack, org_id, name).await?, "edit", same)
                .await?
        }
        CallPath::EditedHeld => {
            decide_with_answer(&fixture.approver, &open_escalation(stack, org_id, name).await?, "edit", same)
                .await?
        }
    };
    Ok((response.status != 200).then(|| response.body["code"].as_str().unwrap_or_default().to_owned()))
}

/// Opens a session for each tool, in which the first agent causes a follow-up or a handover.
async fn start_by_another_agent(
    fixture: &EscalationFixture<'_>,
    call_path: CallPath,
    names: &[&str],
) -> Result<()> {
    let stack = fixture.stack;
    let tools = [tool("start", &json!({ "policy": "auto" }))];
    register_tools(stack, fixture.member.user.org_id, AGENT, &tools, &[]).await?;
    for name in names {
        let session = open_session(&fixture.member, json!({ "tool": name })).await?;
        record_tool_events(&fixture.member, &session, &[("start", json!({}))]).await?;
    }
    let calls = fixture.claim_calls().await?;
    ensure!(calls.len() == names.len(), "expected {} calls, found {}", names.len(), calls.len());
    let outcome = if call_path == CallPath::FollowUp {
        let inputs = json!({ "data": { "amount": 500 } });
        let follow_up = json!({ "agent_id": OTHER, "objective": "Check", "inputs": inputs });
        json!({ "kind": "completed", "follow_ups": [follow_up] })
    } else {
        json!({ "kind": "completed", "handover": { "agent_id": OTHER, "summary": "500" } })
    };
    for call in &calls {
        stack.finish_delivery(call, outcome.clone()).await?;
    }
    Ok(())
}

async fn open_session(client: &TestClient, metadata: Value) -> Result<String> {
    let body = json!({ "agentId": AGENT, "metadata": metadata });
    Ok(session_path(&client.post("/chatkit/sessions", body).await?.expect(201)?))
}
