//! Authority comes from the registry: an agent's question makes it stricter, and an approval covers no words that came after it.

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

/// For how long the agent asks, where the registry says an hour.
const SECONDS: [Option<i64>; 4] = [None, Some(600), Some(3600), Some(86_400)];

/// One question: what the registry says of risk and approver, and what the agent asks for.
type Asked = ((&'static str, &'static str), Option<&'static str>, Option<&'static str>, Option<i64>);

/// All risks and approvers of both sides, and the times in turn.
fn combinations() -> Vec<Asked> {
    let registered = RISKS.into_iter().flat_map(|risk| APPROVERS.map(|approver| (risk, approver)));
    let asked = [None, Some("low"), Some("medium"), Some("high")]
        .into_iter()
        .flat_map(|risk| [None, Some("self"), Some("other")].map(|approver| (risk, approver)));
    registered
        .flat_map(|of_registry| asked.clone().map(move |(risk, approver)| (of_registry, risk, approver)))
        .zip(SECONDS.into_iter().cycle())
        .map(|((of_registry, risk, approver), seconds)| (of_registry, risk, approver, seconds))
        .collect()
}

/// What the question has to have.
fn strictest(((risk, approver), asked_risk, asked_approver, asked_seconds): Asked) -> String {
    let place = |risk: &str| RISKS.iter().position(|known| *known == risk).unwrap_or_default();
    let higher =
        if place(asked_risk.unwrap_or("low")) > place(risk) { asked_risk.unwrap_or("low") } else { risk };
    let other = higher != "low" || approver == "other" || asked_approver == Some("other");
    let seconds = asked_seconds.unwrap_or(3600).min(3600);
    format!("{higher} {} {seconds}", if other { "other" } else { "self" })
}

#[tokio::test]
async fn question_is_at_least_as_strict_as_the_registration() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let rows = combinations();
    ensure!(rows.len() == 72, "{} rows", rows.len());
    let named = |(risk, approver): (&str, &str)| format!("{risk}_{approver}");
    let mut tools: Vec<Value> = Vec::new();
    for (risk, approver) in RISKS.into_iter().flat_map(|risk| APPROVERS.map(|approver| (risk, approver))) {
        let fields =
            json!({ "policy": "auto", "risk": risk, "approver": approver, "ask_expires_in_seconds": 3600 });
        tools.push(tool(&named((risk, approver)), &fields));
    }
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let names: Vec<String> = rows.iter().map(|row| named(row.0)).collect();
    let events: Vec<(&str, Value)> =
        names.iter().enumerate().map(|(row, name)| (name.as_str(), json!({ "row": row }))).collect();
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    let row_of = |event: &Value| event["payload"]["row"].as_u64().and_then(|row| usize::try_from(row).ok());
    let calls = finish_calls_by(&stack, |call| {
        let asked = row_of(&call["event"]).and_then(|row| rows.get(row));
        let (risk, approver, seconds) = asked.map_or((None, None, None), |(_, r, a, s)| (*r, *a, *s));
        json!({ "kind": "ask", "ask": {
            "reason": "Which?", "decisions": ["respond"], "risk": risk, "approver": approver, "expires_in_seconds": seconds,
        } })
    })
    .await?;
    ensure!(calls.len() == rows.len(), "{} calls", calls.len());
    let found = "
        select (x.subject #>> '{event,payload,row}')::integer,
               concat_ws(' ', x.risk, x.approver, round(extract(epoch from x.expires_at - x.created_at)))
        from chat_escalations as x
        order by 1";
    let found: Vec<(i32, String)> = sqlx::query_as(found).fetch_all(stack.database()).await?;
    ensure!(found.len() == rows.len(), "{} questions", found.len());
    compare_rows(
        rows.into_iter().zip(found).map(|(row, (_, found))| (format!("{row:?}"), strictest(row), found)),
    )
}

/// How the agent's question is decided, and what becomes of the call then under `ask`, above `ask_above` and under `confirm`.
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
    let named = |row: usize, policy: &str| format!("{policy}_{row}");
    let tools: Vec<Value> = (0..DECISIONS.len())
        .flat_map(|row| policies.iter().map(move |(policy, fields)| tool(&named(row, policy), fields)))
        .collect();
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let ask = json!({ "kind": "ask", "ask": {
        "reason": "Which account?", "decisions": ["approve", "respond", "edit", "reject"], "risk": "low", "approver": "self",
    } });
    for tool in &tools {
        let name = tool["name"].as_str().unwrap_or_default();
        record_tool_events(&fixture.member, &fixture.session, &[(name, json!({ "amount": 500 }))]).await?;
    }
    ensure!(complete_calls(&stack).await?.is_empty(), "a call was not held");
    for tool in &tools {
        let name = tool["name"].as_str().unwrap_or_default();
        let held = open_escalation(&stack, org_id, name).await?;
        let decider = if name.starts_with("confirm") { &fixture.member } else { &fixture.approver };
        decide(decider, &held, "approve").await?.expect(200)?;
    }
    ensure!(finish_calls(&stack, ask).await?.len() == tools.len(), "a released call was not made");

    for (row, (decision, in_words, _)) in DECISIONS.iter().enumerate() {
        for (policy, _) in &policies {
            let asked = open_escalation(&stack, org_id, &named(row, policy)).await?;
            ensure!(asked["kind"] == "agent_asked" && asked["approver"] == "self", "{asked:#}");
            let reply = if *in_words {
                decide_with_answer(
                    &fixture.member,
                    &asked,
                    decision,
                    json!({ "amount": 500, "account": "my own" }),
                )
                .await?
            } else {
                decide(&fixture.member, &asked, decision).await?
            };
            reply.expect(200).with_context(|| format!("{policy} {decision}"))?;
        }
    }
    let calls = complete_calls(&stack).await?;
    let found = newest_outcomes(&stack, org_id).await?;
    let mut comparisons = Vec::new();
    for (row, (decision, in_words, expected)) in DECISIONS.iter().enumerate() {
        for ((policy, _), expected) in policies.iter().zip(expected) {
            let name = named(row, policy);
            let what = format!("{policy}: {decision}{}", if *in_words { " with an answer" } else { "" });
            comparisons.push((what, (*expected).to_owned(), found.get(&name).cloned().unwrap_or_default()));
            for call in calls.iter().filter(|call| call["tool"] == *name) {
                ensure!(call["decision"]["decision"] == *decision, "{call:#}");
                ensure!(call["decision"].get("answer").is_none(), "words went along: {call:#}");
            }
        }
    }
    compare_rows(comparisons)?;

    // The words are the requester's, so they are another person's to approve, who is shown them.
    let written = open_escalation(&stack, org_id, &named(2, "ask")).await?;
    ensure!(written["subject"]["decision"]["answer"]["account"] == "my own", "{written:#}");
    ensure!(written["authorId"] == json!(fixture.member.user.id), "{written:#}");
    decide(&fixture.member, &written, "approve").await?.problem(403, "own_request")?;
    decide(&fixture.approver, &written, "approve").await?.expect(200)?;
    let calls = complete_calls(&stack).await?;
    ensure!(calls.len() == 1 && calls[0]["decision"]["answer"]["account"] == "my own", "{calls:#?}");
    Ok(())
}
