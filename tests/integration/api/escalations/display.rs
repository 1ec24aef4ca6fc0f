//! Display hints of a tool: their validation, and their copy in the subject.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::AGENT;
use crate::support::escalations::{EscalationFixture, decide, decide_with_answer};
use crate::support::tool_calls::try_register_tools;

fn hint(fields: Value) -> Value {
    let mut hint = json!({ "pointer": "/amount", "label": "Amount", "kind": "text" });
    for (name, value) in fields.as_object().into_iter().flatten() {
        hint[name] = value.clone();
    }
    hint
}

#[tokio::test]
async fn registration_rejects_malformed_hints() -> Result<()> {
    let stack = LocalStack::start().await?;
    let fixture = EscalationFixture::new(&stack, json!({})).await?;
    let org_id = fixture.member.user.org_id;
    let register = async |display: &Value| {
        let tool = json!({ "name": "pay", "display": display });
        try_register_tools(&stack, org_id, AGENT, &json!([tool]), &json!([])).await
    };
    let money = json!({ "kind": "money", "currency_pointer": "/currency", "unit": "minor" });
    for accepted in [
        json!([]),
        Value::Null,
        json!([hint(json!({}))]),
        json!([hint(money)]),
        json!([hint(json!({ "pointer": "" }))]),
        json!(vec![hint(json!({ "kind": "party" })); 20]),
    ] {
        let (status, answer) = register(&accepted).await?;
        ensure!(status == 200, "{accepted}: {status}: {answer}");
    }
    for rejected in [
        json!({}),
        json!(["/amount"]),
        json!([{}]),
        json!([hint(json!({ "pointer": "amount" }))]),
        json!([hint(json!({ "pointer": "/a~2" }))]),
        json!([hint(json!({ "pointer": 7 }))]),
        json!([hint(json!({ "label": "" }))]),
        json!([hint(json!({ "label": "x".repeat(101) }))]),
        json!([hint(json!({ "kind": "image" }))]),
        json!([hint(json!({ "kind": [] }))]),
        json!([hint(json!({ "kind": null }))]),
        json!([hint(json!({ "unit": "minor" }))]),
        json!([hint(json!({ "kind": "money", "unit": "cents" }))]),
        json!([hint(json!({ "kind": "money", "currency_pointer": "currency" }))]),
        json!([hint(json!({ "colour": "red" }))]),
        json!(vec![hint(json!({})); 21]),
    ] {
        let (status, answer) = register(&rejected).await?;
        ensure!(
            status == 422 && answer["details"] == "agent_tools_display_form",
            "{rejected}: expected agent_tools_display_form, found {status}: {answer}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn hints_are_in_the_hashed_subject_and_not_in_the_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let display = json!([
        { "pointer": "/data/amount", "label": "Amount", "kind": "money", "currency_pointer": "/data/currency" },
        { "pointer": "/data/due", "label": "Due", "kind": "date" },
    ]);
    let fixture = EscalationFixture::new(&stack, json!({ "display": display })).await?;
    let held = fixture.hold_payment(1).await?;
    let expected = json!([
        { "pointer": "/event/payload/data/amount", "label": "Amount", "kind": "money",
          "currencyPointer": "/event/payload/data/currency", "unit": "major" },
        { "pointer": "/event/payload/data/due", "label": "Due", "kind": "date" },
    ]);
    ensure!(held["subject"]["display"] == expected, "expected {expected:#}, found {held:#}");
    let hash = "select chatkit_private.content_hash(subject - 'display') from chat_escalations";
    let without: String = sqlx::query_scalar(hash).fetch_one(stack.database()).await?;
    ensure!(held["subjectHash"] != without.as_str(), "the hash does not cover the hints");

    // An edited call has inputs, so the hints of its escalation lead there.
    fixture.add_colleague(local_stack::supabase::OrgRole::Approver).await?;
    let inputs = json!({ "data": { "amount": 2 } });
    decide_with_answer(&fixture.approver, &held, "edit", inputs).await?.expect(200)?;
    let successor = fixture.newest_escalation("policy").await?;
    let pointer = &successor["subject"]["display"][0]["pointer"];
    ensure!(*pointer == "/inputs/data/amount", "expected a pointer into the inputs, found {pointer}");

    // A later registration changes neither the subject nor the release.
    fixture.register_pay_tool(json!({ "display": [] })).await?;
    let other = fixture.add_colleague(local_stack::supabase::OrgRole::Approver).await?;
    decide(&other, &successor, "approve").await?.expect(200)?;
    let calls = fixture.claim_calls().await?;
    let call = calls.first().context("the approved call was not released")?;
    ensure!(call.get("display").is_none(), "{call:#}");
    stack.finish_delivery(call, json!({ "kind": "completed" })).await?;
    let plain = fixture.hold_payment(3).await?;
    ensure!(plain["subject"].get("display").is_none(), "expected no hints: {plain:#}");
    Ok(())
}
