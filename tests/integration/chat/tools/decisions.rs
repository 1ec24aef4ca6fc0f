//! Held calls: what the model receives when a person must decide, and after the decision.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::{ChatClient, ThreadView};
use local_stack::model::Script;
use serde_json::{Value, json};

use super::fixture::{ToolPage, output, pay, tasks, texts};
use crate::chat::fixture::text;
use crate::support::escalations::{decide, decide_with_answer};

/// A turn whose call is held.
async fn hold(tools: &ToolPage<'_>) -> Result<ThreadView> {
    tools.stack.model().script(pay(42, 900));
    tools.stack.model().script(Script::new().text("Another person has to approve it."));
    let view = tools.ask("Pay invoice 42").await?;
    ensure!(view.answer() == "Another person has to approve it.", "{view:#?}");
    ensure!(tasks(&view) == ["Waits for a decision."], "{view:#?}");
    ensure!(output(&tools.last_input()?)? == r#"{"status":"held"}"#);
    ensure!(tools.deliveries().await?.ends_with(&["asked".to_owned()]), "{:?}", tools.deliveries().await?);
    ensure!(tools.agent().actions().is_empty());
    Ok(view)
}

#[tokio::test]
async fn approved_call_is_made_once_and_its_result_is_a_note() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
    let view = hold(&tools).await?;
    let approver = tools.approver().await?;
    let escalation = tools.escalation(&approver).await?;
    ensure!(escalation["subject"]["inputs"] == json!({ "invoice": 42, "amount": 900 }), "{escalation:#}");

    // The same call is not held a second time.
    stack.model().script(pay(42, 900));
    stack.model().script(Script::new().text("It waits."));
    tools.page.chat.add_message(&text(&view.thread["id"]), "Pay it now").await?.finish().await?;
    ensure!(texts(&tools.last_input()?).contains("call_under_way"));
    ensure!(tools.escalation(&approver).await?["id"] == escalation["id"]);

    // Neither from another session of the user.
    let session = tools.page.user.open_session().await?;
    let secret = text(&session["chatkit"]["clientSecret"]);
    let other = ChatClient::new(&stack.function_url("serve-chatkit"), &secret);
    stack.model().script(pay(42, 900));
    stack.model().script(Script::new().text("It still waits."));
    other.add_message(&text(&view.thread["id"]), "Pay it now, please").await?.finish().await?;
    ensure!(tools.deliveries().await? == ["asked"], "{:?}", tools.deliveries().await?);

    decide(&approver, &escalation, "approve").await?.expect(200)?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["called"] == 1 && report["done"] == 1, "{report}");
    ensure!(tools.agent().actions().len() == 1, "{:?}", tools.agent().actions());
    let input = tools.ask_more(&view, "Is it paid?").await?;
    let outputs: Vec<_> = input
        .iter()
        .filter(|item| item["type"] == "function_call_output")
        .map(|item| text(&item["output"]))
        .collect();
    ensure!(outputs[0] == r#"{"status":"held"}"# && outputs.len() == 3, "{outputs:?}");
    let note = texts(&input);
    ensure!(
        note.contains("An earlier call of a tool has a result.") && note.contains("Invoice 42 is paid."),
        "{note}"
    );
    Ok(())
}

#[tokio::test]
async fn rejected_withdrawn_and_expired_calls_are_notes_and_are_not_made() -> Result<()> {
    let stack = LocalStack::start().await?;
    for (how, error) in [("reject", "rejected"), ("withdraw", "rejected"), ("expire", "ask_expired")] {
        let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
        let view = hold(&tools).await?;
        let approver = tools.approver().await?;
        let escalation = tools.escalation(&approver).await?;
        match how {
            "reject" => drop(decide(&approver, &escalation, "reject").await?.expect(200)?),
            "withdraw" => drop(decide(&tools.page.user, &escalation, "reject").await?.expect(200)?),
            _ => {
                tools
                    .execute(
                        "update chat_escalations set expires_at = created_at + interval '1 microsecond'
                         where status = 'open'",
                    )
                    .await?;
                stack.run_job("expire-sessions").await?;
            }
        }
        let report = stack.run_job("route-events").await?;
        ensure!(report["called"] == 0, "{how}: {report}");
        let input = tools.ask_more(&view, "What about it?").await?;
        ensure!(output(&input)? == r#"{"status":"held"}"#, "{how}: {input:#?}");
        ensure!(texts(&input).contains(error), "{how}: {input:#?}");
        ensure!(tools.agent().actions().is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn edited_call_is_approved_by_another_person_and_its_note_has_the_edit() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
    let view = hold(&tools).await?;
    let (first, second) = (tools.approver().await?, tools.approver().await?);
    let escalation = tools.escalation(&first).await?;
    let edited = json!({ "invoice": 42, "amount": 800 });
    decide_with_answer(&first, &escalation, "edit", edited).await?.expect(200)?;
    let escalation = tools.escalation(&second).await?;
    decide(&second, &escalation, "approve").await?.expect(200)?;
    let report = stack.run_job("route-events").await?;
    ensure!(report["done"] == 1, "{report}");
    let actions = tools.agent().actions();
    ensure!(actions.len() == 1 && actions[0].data["amount"] == 800.0, "{actions:?}");
    let input = tools.ask_more(&view, "Is it paid?").await?;
    ensure!(output(&input)? == r#"{"status":"held"}"#, "{input:#?}");
    let note = texts(&input);
    ensure!(note.contains(r#"\"amount\":800"#) && note.contains("Invoice 42 is paid."), "{note}");
    Ok(())
}

/// The agent itself asks for a decision.
#[tokio::test]
async fn question_of_the_agent_holds_the_call() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({})).await?;
    stack.model().script(pay(42, 20_000));
    stack.model().script(Script::new().text("It waits."));
    let view = tools.ask("Pay invoice 42").await?;
    ensure!(tasks(&view) == ["Waits for a decision."], "{view:#?}");
    let said = output(&tools.last_input()?)?;
    ensure!(said.starts_with(r#"{"status":"held"}"#) && said.contains("needs an approval"), "{said}");
    let approver = tools.approver().await?;
    let escalation: Value = tools.escalation(&approver).await?;
    ensure!(escalation["kind"] == "agent_asked", "{escalation:#}");
    decide(&approver, &escalation, "approve").await?.expect(200)?;
    stack.run_job("route-events").await?;
    ensure!(tools.agent().actions().len() == 1);
    let input = tools.ask_more(&view, "Is it paid?").await?;
    ensure!(texts(&input).contains("Invoice 42 is paid."), "{input:#?}");
    Ok(())
}
