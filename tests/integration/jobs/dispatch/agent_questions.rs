//! Questions of agents. A question is at least as strict as the registration of the tool, and an
//! approval does not cover a later answer.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::AGENT;
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    ASK, CALLED, CONFIRM, compare_rows, complete_calls, finish_calls, finish_calls_by, newest_outcomes,
    open_escalation, record_tool_events, register_tools, tool,
};

const RISKS: [&str; 3] = ["low", "medium", "high"];

const APPROVERS: [&str; 2] = ["self", "other"];

/// Lifetimes that the agent requests. The registration permits one hour.
const LIFETIMES: [Option<i64>; 4] = [None, Some(600), Some(3600), Some(86_400)];

/// Registered risk and approver, and the risk, approver and lifetime that the agent requests.
type Combination = ((&'static str, &'static str), Option<&'static str>, Option<&'static str>, Option<i64>);

/// Every combination of registered and requested risk and approver, with the lifetimes in turn.
fn combinations() -> Vec<Combination> {
    let registered = RISKS.into_iter().flat_map(|risk| APPROVERS.map(|approver| (risk, approver)));
    let requested = [None, Some("low"), Some("medium"), Some("high")]
        .into_iter()
        .flat_map(|risk| [None, Some("self"), Some("other")].map(|approver| (risk, approver)));
    registered
        .flat_map(|registration| {
            requested.clone().map(move |(risk, approver)| (registration, risk, approver))
        })
        .zip(LIFETIMES.into_iter().cycle())
        .map(|((registration, risk, approver), seconds)| (registration, risk, approver, seconds))
        .collect()
}

#[tokio::test]
async fn question_is_at_least_as_strict_as_the_registration() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let rows = combinations();
    ensure!(rows.len() == 72, "expected 72 rows, found {}", rows.len());
    let tool_name = |(risk, approver): (&str, &str)| format!("{risk}_{approver}");
    let mut tools: Vec<Value> = Vec::new();
    for (risk, approver) in RISKS.into_iter().flat_map(|risk| APPROVERS.map(|approver| (risk, approver))) {
        let fields =
            json!({ "policy": "auto", "risk": risk, "approver": approver, "ask_expires_in_seconds": 3600 });
        tools.push(tool(&tool_name((risk, approver)), &fields));
    }
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let names: Vec<String> = rows.iter().map(|row| tool_name(row.0)).collect();
    let events: Vec<(&str, Value)> =
        names.iter().enumerate().map(|(row, name)| (name.as_str(), json!({ "row": row }))).collect();
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    let row_index =
        |event: &Value| event["payload"]["row"].as_u64().and_then(|row| usize::try_from(row).ok());
    let calls = finish_calls_by(&stack, |call| {
        let combination = row_index(&call["event"]).and_then(|row| rows.get(row));
        let (risk, approver, seconds) = combination.map_or((None, None, None), |(_, r, a, s)| (*r, *a, *s));
        json!({ "kind": "ask", "ask": {
            "reason": "Which?", "decisions": ["respond"], "risk": risk, "approver": approver,
            "expires_in_seconds": seconds,
        } })
    })
    .await?;
    ensure!(calls.len() == rows.len(), "expected {} calls, found {}", rows.len(), calls.len());
    let query = "
        select (x.subject #>> '{event,payload,row}')::integer,
               concat_ws(' ', x.risk, x.approver, round(extract(epoch from x.expires_at - x.created_at)))
        from chat_escalations as x
        order by 1";
    let escalations: Vec<(i32, String)> = sqlx::query_as(query).fetch_all(stack.database()).await?;
    ensure!(
        escalations.len() == rows.len(),
        "expected {} escalations, found {}",
        rows.len(),
        escalations.len()
    );
    compare_rows(
        rows.into_iter()
            .zip(escalations)
            .map(|(row, (_, actual))| (format!("{row:?}"), strictest(row), actual)),
    )
}

/// Decision on the question, whether it has an answer, and the outcomes of the call under `ask`,
/// above `ask_above`, and under `confirm`.
const DECISIONS: [(&str, bool, [&str; 3]); 5] = [
    ("approve", false, [CALLED, CALLED, CALLED]),
    ("approve", true, [ASK, ASK, CONFIRM]),
    ("respond", true, [ASK, ASK, CONFIRM]),
    ("edit", true, [ASK, ASK, CONFIRM]),
    ("reject", false, [CALLED, CALLED, CALLED]),
];

#[tokio::test]
async fn approval_does_not_cover_a_later_answer() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let policies = [
        ("ask", json!({ "policy": "ask" })),
        ("above", json!({ "policy": "auto", "amount_pointer": "/amount", "ask_above": 100 })),
        ("confirm", json!({ "policy": "confirm" })),
    ];
    let tool_name = |row: usize, policy: &str| format!("{policy}_{row}");
    let tools: Vec<Value> = (0..DECISIONS.len())
        .flat_map(|row| policies.iter().map(move |(policy, fields)| tool(&tool_name(row, policy), fields)))
        .collect();
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let ask = json!({ "kind": "ask", "ask": {
        "reason": "Which account?", "decisions": ["approve", "respond", "edit", "reject"],
        "risk": "low", "approver": "self",
    } });
    for tool in &tools {
        let name = tool["name"].as_str().unwrap_or_default();
        record_tool_events(&fixture.member, &fixture.session, &[(name, json!({ "amount": 500 }))]).await?;
    }
    ensure!(complete_calls(&stack).await?.is_empty(), "expected every call to be held");
    for tool in &tools {
        let name = tool["name"].as_str().unwrap_or_default();
        let held = open_escalation(&stack, org_id, name).await?;
        let decider = if name.starts_with("confirm") { &fixture.member } else { &fixture.approver };
        decide(decider, &held, "approve").await?.expect(200)?;
    }
    ensure!(finish_calls(&stack, ask).await?.len() == tools.len(), "expected every released call");

    for (row, (decision, has_answer, _)) in DECISIONS.iter().enumerate() {
        for (policy, _) in &policies {
            let question = open_escalation(&stack, org_id, &tool_name(row, policy)).await?;
            ensure!(
                question["kind"] == "agent_asked" && question["approver"] == "self",
                "expected a question for the requester: {question:#}"
            );
            let response = if *has_answer {
                decide_with_answer(
                    &fixture.member,
                    &question,
                    decision,
                    json!({ "amount": 500, "account": "my own" }),
                )
                .await?
            } else {
                decide(&fixture.member, &question, decision).await?
            };
            response.expect(200).with_context(|| format!("{policy} {decision}"))?;
        }
    }
    let calls = complete_calls(&stack).await?;
    let outcomes = newest_outcomes(&stack, org_id).await?;
    let mut comparisons = Vec::new();
    for (row, (decision, has_answer, expected)) in DECISIONS.iter().enumerate() {
        for ((policy, _), expected) in policies.iter().zip(expected) {
            let name = tool_name(row, policy);
            let description =
                format!("{policy}: {decision}{}", if *has_answer { " with an answer" } else { "" });
            comparisons.push((
                description,
                (*expected).to_owned(),
                outcomes.get(&name).cloned().unwrap_or_default(),
            ));
            for call in calls.iter().filter(|call| call["tool"] == *name) {
                ensure!(call["decision"]["decision"] == *decision, "expected {decision}: {call:#}");
                ensure!(call["decision"].get("answer").is_none(), "expected no answer: {call:#}");
            }
        }
    }
    compare_rows(comparisons)?;

    // The requester is the author of the answer, so another person must approve it.
    let successor = open_escalation(&stack, org_id, &tool_name(2, "ask")).await?;
    ensure!(
        successor["subject"]["decision"]["answer"]["account"] == "my own",
        "expected the answer: {successor:#}"
    );
    ensure!(successor["authorId"] == json!(fixture.member.user.id), "expected the author: {successor:#}");
    decide(&fixture.member, &successor, "approve").await?.problem(403, "own_request")?;
    decide(&fixture.approver, &successor, "approve").await?.expect(200)?;
    let calls = complete_calls(&stack).await?;
    ensure!(
        calls.len() == 1 && calls[0]["decision"]["answer"]["account"] == "my own",
        "expected one call with the answer: {calls:#?}"
    );
    Ok(())
}

/// Expected risk, approver and lifetime of the escalation.
fn strictest(
    ((risk, approver), requested_risk, requested_approver, requested_seconds): Combination,
) -> String {
    let rank = |risk: &str| RISKS.iter().position(|name| *name == risk).unwrap_or_default();
    let higher = if rank(requested_risk.unwrap_or("low")) > rank(risk) {
        requested_risk.unwrap_or("low")
    } else {
        risk
    };
    let other = higher != "low" || approver == "other" || requested_approver == Some("other");
    let seconds = requested_seconds.unwrap_or(3600).min(3600);
    format!("{higher} {} {seconds}", if other { "other" } else { "self" })
}
