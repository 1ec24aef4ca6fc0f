//! A call whose amount cannot be compared with `refuse_above`: what can be decided about it.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestResponse};
use crate::support::escalations::{Office, answer, decide};
use crate::support::tool_calls::{
    ASK, CALLED, CONFIRM, compare, drain, outcomes, question, record, register, tool,
};

/// The code of a refusal, or `ok`.
fn code(reply: &TestResponse) -> String {
    if reply.status == 200 {
        "ok".to_owned()
    } else {
        format!("{} {}", reply.status.as_u16(), reply.body["code"])
    }
}

// NAME: escalations: an amount that cannot be read is released by no decision but an edit
#[tokio::test]
async fn edits() -> Result<()> {
    let stack = LocalStack::start().await?;
    let office = Office::new(&stack, json!({})).await?;
    office.colleague(OrgRole::Admin).await?;
    let org_id = office.member.user.org_id;
    let fields = json!({
        "policy": "auto", "amount_pointer": "/amount", "currency": "EUR", "currency_pointer": "/currency",
        "ask_above": 100, "refuse_above": 1000,
    });
    let confirmed = json!({ "policy": "confirm", "amount_pointer": "/amount", "refuse_above": 1000 });
    // What the event holds, the edit that passes, and what becomes of the edited call.
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
    register(&stack, org_id, AGENT, &tools, &[]).await?;
    let events: Vec<(&str, Value)> =
        names.iter().zip(&rows).map(|(name, row)| (name.as_str(), row.1.clone())).collect();
    record(&office.member, &office.session, &events).await?;
    ensure!(drain(&stack).await?.is_empty(), "what cannot be read was called");

    let (mut compared, mut calls) = (Vec::new(), Vec::new());
    for (name, (_, payload, passes, _)) in names.iter().zip(&rows) {
        let held = question(&stack, org_id, name).await?;
        let refused = [
            (decide(&office.approver, &held, "approve").await?, "422 \"decision_not_offered\""),
            (
                answer(&office.approver, &held, "approve", passes.clone()).await?,
                "422 \"decision_not_offered\"",
            ),
            (answer(&office.approver, &held, "respond", json!("yes")).await?, "422 \"decision_not_offered\""),
            (decide(&office.member, &held, "approve").await?, "403 \"own_request\""),
            (answer(&office.member, &held, "edit", passes.clone()).await?, "403 \"own_request\""),
        ];
        for (reply, expected) in refused {
            compared.push((format!("{payload} decided"), expected.to_owned(), code(&reply)));
        }
        for edit in [
            payload.clone(),
            json!({ "amount": "1,000", "currency": "EUR" }),
            json!({ "amount": 1001, "currency": "EUR" }),
            json!({ "amount": -1001, "currency": "EUR" }),
            json!({ "amount": "1001", "currency": "EUR" }),
            json!({}),
        ] {
            let reply = answer(&office.approver, &held, "edit", edit.clone()).await?;
            compared.push((
                format!("{payload} edited to {edit}"),
                "422 \"policy_forbids\"".to_owned(),
                code(&reply),
            ));
        }
        calls.extend(drain(&stack).await?);
        ensure!(calls.iter().all(|call| call["tool"] != **name), "{payload} was called");
        let reply = answer(&office.approver, &held, "edit", passes.clone()).await?;
        compared.push((format!("{payload} edited to {passes}"), "ok".to_owned(), code(&reply)));
    }
    calls.extend(drain(&stack).await?);
    let found = outcomes(&stack, org_id).await?;
    for (name, (_, payload, passes, expected)) in names.iter().zip(&rows) {
        let outcome = found.get(name).cloned().unwrap_or_default();
        compared.push((format!("{payload} edited to {passes}"), (*expected).to_owned(), outcome));
        let sent: Vec<&Value> = calls.iter().filter(|call| call["tool"] == **name).collect();
        ensure!(sent.iter().all(|call| call["inputs"] == *passes), "{payload}: {sent:#?}");
    }
    compare(compared)
}
