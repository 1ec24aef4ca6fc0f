//! Registrations of agents with unknown or invalid fields.

use anyhow::{Context, Result};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::AGENT;
use crate::support::escalations::EscalationFixture;
use crate::support::tool_calls::{compare_rows, try_register_tools};

/// Tool, routes, and the rule that rejects the registration. The rule is empty for a valid one.
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
        (json!({ "comment_required": ["approve"] }), "agent_tools_comment_required_known"),
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

#[tokio::test]
async fn invalid_tool_registration_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let mut comparisons = Vec::new();
    for (tool, routes, rule) in rows() {
        let (status, response) = try_register_tools(&stack, org_id, AGENT, &json!([tool]), &routes).await?;
        let found = match status {
            200 => String::new(),
            422 if response["message"] == "invalid_agent_server" => {
                response["details"].as_str().context("the response has no details")?.to_owned()
            }
            _ => format!("{status} {response}"),
        };
        comparisons.push((format!("{tool} {routes}"), rule.to_owned(), found));
    }
    // The second of two tools is validated like the first.
    let tools = json!([{ "name": "pay" }, { "name": "pay_too", "refuseAbove": 1 }]);
    let (_, response) = try_register_tools(&stack, org_id, AGENT, &tools, &json!([])).await?;
    let found = response["details"].as_str().unwrap_or_default().to_owned();
    comparisons.push((tools.to_string(), "unknown_field:refuseAbove".to_owned(), found));
    compare_rows(comparisons)
}
