//! How many questions pages may have open, and what a registration may say.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{AGENT, TestClient, TestResponse};
use crate::support::escalations::{Office, decide};
use crate::support::tool_calls::{compare, register_as};

async fn escalate(caller: &TestClient, session: &str, number: usize, more: &Value) -> Result<TestResponse> {
    let events: Vec<Value> = (0..number)
        .map(|_| {
            let mut payload = json!({ "reason": "Help", "decisions": ["approve"] });
            if let (Some(payload), Some(more)) = (payload.as_object_mut(), more.as_object()) {
                payload.extend(more.clone());
            }
            json!({ "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": payload })
        })
        .collect();
    caller.post(&format!("{session}/events"), json!(events)).await
}

// NAME: escalations: a session has twenty open from its pages, a user a hundred
#[tokio::test]
async fn open_ones() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let none = json!({});
    let mut sessions = vec![office.session.clone()];
    // All or nothing.
    escalate(&office.member, &office.session, 21, &none).await?.problem(409, "too_many_escalations")?;
    ensure!(
        office.count("select count(*) from chat_escalations").await? == 0,
        "some of a refused body are open"
    );
    escalate(&office.member, &office.session, 20, &none).await?.expect(201)?;
    escalate(&office.member, &office.session, 1, &none).await?.problem(409, "too_many_escalations")?;
    for _ in 1..5 {
        let session = office.member.open_path().await?;
        escalate(&office.member, &session, 20, &none).await?.expect(201)?;
        sessions.push(session);
    }
    let sixth = office.member.open_path().await?;
    escalate(&office.member, &sixth, 1, &none).await?.problem(409, "too_many_escalations")?;
    // Other events are recorded, and other people ask.
    office.member.record(&sixth, "custom_x", json!({})).await?.expect(201)?;
    let colleague = office.colleague(OrgRole::Member).await?;
    let colleagues = colleague.open_path().await?;
    escalate(&colleague, &colleagues, 20, &none).await?.expect(201)?;
    // What is decided makes room, and so does what ends.
    let open = office.newest("browser").await?;
    decide(&office.member, &open, "reject").await?.expect(200)?;
    escalate(&office.member, &sixth, 1, &json!({ "expiresInSeconds": 60 })).await?.expect(201)?;
    escalate(&office.member, &sixth, 1, &none).await?.problem(409, "too_many_escalations")?;
    office.member.cancel(&sessions[4]).await?.expect(200)?;
    escalate(&office.member, &sixth, 19, &none).await?.expect(201)?;
    escalate(&office.member, &sixth, 1, &none).await?.problem(409, "too_many_escalations")?;

    let lives = "select count(*) filter (where expires_at - created_at between interval '30 days' - interval '5 s' and interval '30 days' + interval '5 s'), count(*) filter (where expires_at is null), count(*)
        from chat_escalations";
    let (month, endless, all): (i64, i64, i64) = sqlx::query_as(lives).fetch_one(stack.database()).await?;
    ensure!(
        (month, endless, all) == (139, 0, 140),
        "{month} of {all} for thirty days, {endless} without an end"
    );
    Ok(())
}

/// A registration's tool and routes, and the rule that refuses it; empty where none does.
fn rows() -> Vec<(Value, Value, &'static str)> {
    let unknown = |field: &str| {
        let mut tool = json!({ "name": "pay" });
        tool[field] = json!(1);
        tool
    };
    let mut rows = vec![
        (json!({ "name": "pay" }), json!([{ "tool": "pay", "event_type": "custom_pay" }]), ""),
        (unknown("askAbove"), json!([]), "unknown_field:askAbove"),
        (unknown("ask_abov"), json!([]), "unknown_field:ask_abov"),
        (unknown("refuse-above"), json!([]), "unknown_field:refuse-above"),
        (unknown("Policy"), json!([]), "unknown_field:Policy"),
        (unknown("amount_pointer "), json!([]), "unknown_field:amount_pointer "),
        (unknown("org_id"), json!([]), "unknown_field:org_id"),
    ];
    for field in ["eventType", "session_agent", "metadata ", "policy"] {
        let mut route = json!({ "tool": "pay", "event_type": "custom_pay" });
        route[field] = json!("x");
        rows.push((
            json!({ "name": "pay" }),
            json!([route]),
            match field {
                "eventType" => "unknown_field:eventType",
                "session_agent" => "unknown_field:session_agent",
                "policy" => "unknown_field:policy",
                _ => "unknown_field:metadata ",
            },
        ));
    }
    for (fields, rule) in [
        (json!({ "policy": "confirm" }), "agent_tools_confirm_is_low_risk"),
        (json!({ "policy": "confirm", "risk": "low" }), ""),
        (json!({ "policy": "always" }), "agent_tools_policy_known"),
        (json!({ "ask_above": 1 }), "agent_tools_limits_have_an_amount"),
        (json!({ "refuse_above": 1 }), "agent_tools_limits_have_an_amount"),
        (json!({ "ask_above_total": 1 }), "agent_tools_limits_have_an_amount"),
        (json!({ "release_lowered_amount": true }), "agent_tools_lowering_has_an_amount"),
        (json!({ "amount_pointer": "amount" }), "agent_tools_amount_pointer_form"),
        (json!({ "amount_pointer": "/a~2" }), "agent_tools_amount_pointer_form"),
        (json!({ "currency_pointer": "currency" }), "agent_tools_currency_pointer_form"),
        (json!({ "currency": "eur" }), "agent_tools_currency_form"),
        (json!({ "currency": "EURO" }), "agent_tools_currency_form"),
        (json!({ "unit": "cents" }), "agent_tools_unit_known"),
        (json!({ "amount_pointer": "/a", "ask_above": -1 }), "agent_tools_ask_above_range"),
        (json!({ "amount_pointer": "/a", "ask_above_total": -0.01 }), "agent_tools_ask_above_total_range"),
        (json!({ "amount_pointer": "/a", "refuse_above": -1 }), "agent_tools_refuse_above_range"),
        (json!({ "amount_pointer": "/a", "refuse_above": "NaN" }), "agent_tools_refuse_above_range"),
        (json!({ "amount_pointer": "/a", "ask_above": "Infinity" }), "agent_tools_ask_above_range"),
        (
            json!({ "amount_pointer": "/a", "ask_above": 0, "ask_above_total": 0, "refuse_above": 0, "unit": "minor",
                 "currency": "EUR", "currency_pointer": "/c", "release_lowered_amount": true }),
            "",
        ),
    ] {
        let mut tool = json!({ "name": "pay" });
        if let (Some(tool), Value::Object(fields)) = (tool.as_object_mut(), fields) {
            tool.extend(fields);
        }
        rows.push((tool, json!([]), rule));
    }
    rows
}

// NAME: escalations: a registration that says what is not known or not sensible is refused
#[tokio::test]
async fn registrations() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    let org_id = office.member.user.org_id;
    let mut compared = Vec::new();
    for (tool, routes, rule) in rows() {
        let (status, answer) = register_as(&stack, org_id, AGENT, &json!([tool]), &routes).await?;
        let found = match status {
            200 => String::new(),
            422 if answer["message"] == "invalid_agent_server" => {
                answer["details"].as_str().context("no details")?.to_owned()
            }
            _ => format!("{status} {answer}"),
        };
        compared.push((format!("{tool} {routes}"), rule.to_owned(), found));
    }
    // The second of two is looked at like the first.
    let tools = json!([{ "name": "pay" }, { "name": "pay_too", "refuseAbove": 1 }]);
    let (_, answer) = register_as(&stack, org_id, AGENT, &tools, &json!([])).await?;
    let found = answer["details"].as_str().unwrap_or_default().to_owned();
    compared.push((tools.to_string(), "unknown_field:refuseAbove".to_owned(), found));
    compare(compared)
}
