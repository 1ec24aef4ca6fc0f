//! Decisions on a call whose amount cannot be compared with `refuse_above`.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestResponse};
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::{
    ASK, CALLED, CONFIRM, compare_rows, complete_calls, newest_outcomes, open_escalation, record_tool_events,
    register_tools, tool,
};

#[tokio::test]
async fn unreadable_amount_is_released_only_by_an_edit() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    fixture.add_colleague(OrgRole::Admin).await?;
    let org_id = fixture.member.user.org_id;
    let fields = json!({
        "policy": "auto", "amount_pointer": "/amount", "currency": "EUR", "currency_pointer": "/currency",
        "ask_above": 100, "refuse_above": 1000,
    });
    let confirmed = json!({ "policy": "confirm", "amount_pointer": "/amount", "refuse_above": 1000 });
    // Registration, recorded payload, accepted edit, and outcome of the edited call.
    let rows: Vec<(&Value, Value, Value, &str)> = vec![
        (
            &fields,
            json!({ "amount": "1,000,000", "currency": "EUR" }),
            json!({ "amount": 100, "currency": "EUR" }),
            CALLED,
        ),
        (
            &fields,
            json!({ "amount": "١٠٠", "currency": "EUR" }),
            json!({ "amount": "-100", "currency": "EUR" }),
            CALLED,
        ),
        (
            &fields,
            json!({ "amount": null, "currency": "EUR" }),
            json!({ "amount": 101, "currency": "EUR" }),
            ASK,
        ),
        (&fields, json!({ "currency": "EUR" }), json!({ "amount": 1000, "currency": "EUR" }), ASK),
        (
            &fields,
            json!({ "amount": 1, "currency": "USD" }),
            json!({ "amount": 1, "currency": "EUR" }),
            CALLED,
        ),
        (&fields, json!({ "amount": 1 }), json!({ "amount": 1, "currency": "EUR", "note": "x" }), CALLED),
        (&confirmed, json!({ "amount": [1] }), json!({ "amount": 1 }), CONFIRM),
    ];
    let names: Vec<String> = (0..rows.len()).map(|row| format!("row_{row}")).collect();
    let tools: Vec<Value> = names.iter().zip(&rows).map(|(name, row)| tool(name, row.0)).collect();
    register_tools(&stack, org_id, AGENT, &tools, &[]).await?;
    let events: Vec<(&str, Value)> =
        names.iter().zip(&rows).map(|(name, row)| (name.as_str(), row.1.clone())).collect();
    record_tool_events(&fixture.member, &fixture.session, &events).await?;
    ensure!(complete_calls(&stack).await?.is_empty(), "a call with an unreadable amount was made");

    let (mut comparisons, mut calls) = (Vec::new(), Vec::new());
    for (name, (_, payload, edit, _)) in names.iter().zip(&rows) {
        let held = open_escalation(&stack, org_id, name).await?;
        let rejected = [
            (decide(&fixture.approver, &held, "approve").await?, "422 \"decision_not_offered\""),
            (
                decide_with_answer(&fixture.approver, &held, "approve", edit.clone()).await?,
                "422 \"decision_not_offered\"",
            ),
            (
                decide_with_answer(&fixture.approver, &held, "respond", json!("yes")).await?,
                "422 \"decision_not_offered\"",
            ),
            (decide(&fixture.member, &held, "approve").await?, "403 \"own_request\""),
            (decide_with_answer(&fixture.member, &held, "edit", edit.clone()).await?, "403 \"own_request\""),
        ];
        for (response, expected) in rejected {
            comparisons.push((format!("{payload} decided"), expected.to_owned(), code(&response)));
        }
        for rejected_edit in [
            payload.clone(),
            json!({ "amount": "1,000", "currency": "EUR" }),
            json!({ "amount": 1001, "currency": "EUR" }),
            json!({ "amount": -1001, "currency": "EUR" }),
            json!({ "amount": "1001", "currency": "EUR" }),
            json!({}),
        ] {
            let response =
                decide_with_answer(&fixture.approver, &held, "edit", rejected_edit.clone()).await?;
            comparisons.push((
                format!("{payload} edited to {rejected_edit}"),
                "422 \"policy_forbids\"".to_owned(),
                code(&response),
            ));
        }
        calls.extend(complete_calls(&stack).await?);
        ensure!(calls.iter().all(|call| call["tool"] != **name), "the call with {payload} was made");
        let response = decide_with_answer(&fixture.approver, &held, "edit", edit.clone()).await?;
        comparisons.push((format!("{payload} edited to {edit}"), "ok".to_owned(), code(&response)));
    }
    calls.extend(complete_calls(&stack).await?);
    let outcomes = newest_outcomes(&stack, org_id).await?;
    for (name, (_, payload, edit, expected)) in names.iter().zip(&rows) {
        let outcome = outcomes.get(name).cloned().unwrap_or_default();
        comparisons.push((format!("{payload} edited to {edit}"), (*expected).to_owned(), outcome));
        let sent: Vec<&Value> = calls.iter().filter(|call| call["tool"] == **name).collect();
        ensure!(
            sent.iter().all(|call| call["inputs"] == *edit),
            "{payload}: expected the edited inputs: {sent:#?}"
        );
    }
    compare_rows(comparisons)
}

/// Status and code of the problem, or `ok`.
fn code(response: &TestResponse) -> String {
    if response.status == 200 {
        "ok".to_owned()
    } else {
        format!("{} {}", response.status.as_u16(), response.body["code"])
    }
}
