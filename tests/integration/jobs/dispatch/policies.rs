//! Every way to a call goes through the policy of the moment in which it begins: policies × ways.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, path};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    ASK, CALLED, CONFIRM, NEVER, UNREADABLE, compare_rows, complete_calls, finish_calls, newest_outcomes,
    open_escalation, record_tool_events, register_tools, tool,
};

/// The agent that calls come to from another.
const OTHER: &str = "tax_compliance";

/// The registrations that replace a free one, for a call of 500.
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

/// What becomes of the calls, in the order of the policies.
const LIKE_A_FIRST: [&str; 8] = [NEVER, NEVER, UNREADABLE, ASK, ASK, ASK, CONFIRM, CALLED];
/// An edit is refused where no decision could release the call.
const LIKE_AN_EDIT: [&str; 8] = [FORBIDDEN, FORBIDDEN, FORBIDDEN, ASK, ASK, ASK, CONFIRM, CALLED];
/// An approval holds for the call that was shown, and outweighs all that another person could approve.
const LIKE_AN_APPROVED: [&str; 8] = [NEVER, NEVER, UNREADABLE, CALLED, CALLED, CALLED, CALLED, CALLED];
/// A confirmation holds for nothing that another person would have to approve.
const LIKE_A_CONFIRMED: [&str; 8] = [NEVER, NEVER, UNREADABLE, ASK, ASK, ASK, CALLED, CALLED];
const FORBIDDEN: &str = "policy_forbids";

/// How the calls are begun under the free registration, and how they go on under the other.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
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

impl Way {
    const ALL: [(Self, [&'static str; 8]); 13] = [
        (Self::First, LIKE_A_FIRST),
        (Self::Retry, LIKE_A_FIRST),
        (Self::Answered, LIKE_A_FIRST),
        (Self::ApprovedWithAnswer, LIKE_A_FIRST),
        (Self::Approved, LIKE_A_FIRST),
        (Self::EditedQuestion, LIKE_AN_EDIT),
        (Self::EditedHeld, LIKE_AN_EDIT),
        (Self::ApprovedHeld, LIKE_AN_APPROVED),
        (Self::Confirmed, LIKE_A_CONFIRMED),
        (Self::ApprovedFailure, LIKE_A_FIRST),
        (Self::Replayed, LIKE_A_FIRST),
        (Self::FollowUp, LIKE_A_FIRST),
        (Self::Handover, LIKE_A_FIRST),
    ];

    fn agent(self) -> &'static str {
        if matches!(self, Self::FollowUp | Self::Handover) { OTHER } else { AGENT }
    }

    /// Where the amount is found on this way.
    fn pointer(self) -> &'static str {
        if self == Self::Handover { "/summary" } else { "/data/amount" }
    }

    /// What comes of the first call of each tool, before the registration is replaced.
    fn first_outcome(self) -> Option<Value> {
        let ask = json!({
            "reason": "Which account?", "decisions": ["approve", "respond", "edit", "reject"], "risk": "low", "approver": "self",
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
    // A second one, for what the first edits.
    fixture.add_colleague(OrgRole::Admin).await?;
    stack.raise_limits(fixture.member.user.org_id).await?;
    stack.register_agent(fixture.member.user.org_id, OTHER, "Tax").await?;
    let mut comparisons = Vec::new();
    for (way, expected) in Way::ALL {
        let found = along(&fixture, way).await.with_context(|| format!("{way:?}"))?;
        for (((name, _), expected), found) in policies("").iter().zip(expected).zip(found) {
            comparisons.push((format!("{way:?} {name}"), expected.to_owned(), found));
        }
    }
    compare_rows(comparisons)
}

/// Goes one way under every policy, and says what became of each call.
async fn along(fixture: &EscalationFixture<'_>, way: Way) -> Result<Vec<String>> {
    let (stack, org_id) = (fixture.stack, fixture.member.user.org_id);
    let replaced = policies(way.pointer());
    let names = replaced.each_ref().map(|(name, _)| *name);
    let free = match way {
        Way::EditedHeld | Way::ApprovedHeld => json!({ "policy": "ask" }),
        Way::Confirmed => json!({ "policy": "confirm" }),
        _ => json!({ "policy": "auto" }),
    };
    let before: Vec<Value> = names.iter().map(|name| tool(name, &free)).collect();
    let after: Vec<Value> = replaced.iter().map(|(name, fields)| tool(name, fields)).collect();
    // Only the tool of a session's cell takes what comes from another agent.
    let from_agents: Vec<Value> = ["agent_follow_up", "handover"]
        .into_iter()
        .flat_map(|kind| {
            names.map(|name| json!({ "tool": name, "event_type": kind, "metadata": { "cell": name } }))
        })
        .collect();
    let routes = if way.agent() == OTHER { from_agents } else { Vec::new() };
    register_tools(stack, org_id, way.agent(), &before, &routes).await?;
    let event = json!({ "data": { "amount": 500 } });
    if way.agent() == OTHER {
        from_another_agent(fixture, way, &names).await?;
    } else {
        // Sessions of their own: one call that waits does not hold up the next.
        for name in names {
            let session = fixture.member.open_path().await?;
            record_tool_events(&fixture.member, &session, &[(name, event.clone())]).await?;
        }
    }
    if let Some(outcome) = way.first_outcome() {
        let calls = finish_calls(stack, outcome).await?;
        ensure!(calls.len() == names.len(), "{} calls began", calls.len());
    } else if matches!(way, Way::EditedHeld | Way::ApprovedHeld | Way::Confirmed) {
        ensure!(complete_calls(stack).await?.is_empty(), "a held call was made");
    }

    register_tools(stack, org_id, way.agent(), &after, &routes).await?;
    let mut refused = Vec::new();
    for name in names {
        refused.push(go_on(fixture, way, name).await.with_context(|| name.to_owned())?);
    }
    complete_calls(stack).await?;
    let found = newest_outcomes(stack, org_id).await?;
    let found = names.iter().zip(refused).map(|(name, refused)| {
        refused.unwrap_or_else(|| found.get(*name).cloned().unwrap_or_else(|| "nothing".to_owned()))
    });
    let found = found.collect();
    // The next way begins without open questions and without calls that count.
    let clear = "update chat_escalations set status = 'withdrawn', closed_at = now() where status = 'open'";
    sqlx::query(clear).execute(stack.database()).await?;
    sqlx::query("delete from auto_call_amounts").execute(stack.database()).await?;
    Ok(found)
}

/// Takes the call up again; a refusal's code if that is refused.
async fn go_on(fixture: &EscalationFixture<'_>, way: Way, name: &str) -> Result<Option<String>> {
    let (stack, org_id) = (fixture.stack, fixture.member.user.org_id);
    let same = json!({ "data": { "amount": 500 } });
    let reply = match way {
        Way::First | Way::FollowUp | Way::Handover => return Ok(None),
        Way::Retry => {
            let due = "update deliveries set next_attempt_at = now() where tool = $1 and status = 'pending'";
            sqlx::query(due).bind(name).execute(stack.database()).await?;
            return Ok(None);
        }
        Way::Replayed => {
            let dead = "select id from deliveries where tool = $1 and status = 'dead' order by created_at desc limit 1";
            let id: Uuid = sqlx::query_scalar(dead).bind(name).fetch_one(stack.database()).await?;
            let replay = json!({ "p_org_id": org_id, "p_delivery_id": id });
            let (status, replayed) = stack.rpc("replay_delivery", replay).await?;
            ensure!(status.is_success() && replayed["replayed"] == true, "{replayed}");
            return Ok(None);
        }
        Way::Answered => {
            decide_with_answer(
                &fixture.member,
                &open_escalation(stack, org_id, name).await?,
                "respond",
                json!("4711"),
            )
            .await?
        }
        Way::ApprovedWithAnswer => {
            decide_with_answer(
                &fixture.member,
                &open_escalation(stack, org_id, name).await?,
                "approve",
                json!("4711"),
            )
            .await?
        }
        Way::ApprovedHeld => {
            decide(&fixture.approver, &open_escalation(stack, org_id, name).await?, "approve").await?
        }
        Way::Approved | Way::ApprovedFailure | Way::Confirmed => {
            decide(&fixture.member, &open_escalation(stack, org_id, name).await?, "approve").await?
        }
        Way::EditedQuestion => {
            decide_with_answer(&fixture.member, &open_escalation(stack, org_id, name).await?, "edit", same)
                .await?
        }
        Way::EditedHeld => {
            decide_with_answer(&fixture.approver, &open_escalation(stack, org_id, name).await?, "edit", same)
                .await?
        }
    };
    Ok((reply.status != 200).then(|| reply.body["code"].as_str().unwrap_or_default().to_owned()))
}

/// A session for each cell, in which the first agent has the other called, or hands over to it.
async fn from_another_agent(fixture: &EscalationFixture<'_>, way: Way, names: &[&str]) -> Result<()> {
    let stack = fixture.stack;
    let begin = [tool("begin", &json!({ "policy": "auto" }))];
    register_tools(stack, fixture.member.user.org_id, AGENT, &begin, &[]).await?;
    for name in names {
        let session = open_with(&fixture.member, json!({ "cell": name })).await?;
        record_tool_events(&fixture.member, &session, &[("begin", json!({}))]).await?;
    }
    let calls = fixture.claim_calls().await?;
    ensure!(calls.len() == names.len(), "{} calls began", calls.len());
    let outcome = if way == Way::FollowUp {
        let inputs = json!({ "data": { "amount": 500 } });
        json!({ "kind": "completed", "follow_ups": [{ "agent_id": OTHER, "objective": "Check", "inputs": inputs }] })
    } else {
        json!({ "kind": "completed", "handover": { "agent_id": OTHER, "summary": "500" } })
    };
    for call in &calls {
        stack.finish(call, outcome.clone()).await?;
    }
    Ok(())
}

/// Opens a session with this metadata.
async fn open_with(caller: &TestClient, metadata: Value) -> Result<String> {
    let body = json!({ "agentId": AGENT, "metadata": metadata });
    Ok(path(&caller.post("/chatkit/sessions", body).await?.expect(201)?))
}
