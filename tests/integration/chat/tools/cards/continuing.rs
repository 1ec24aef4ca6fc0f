//! Continuing the conversation after a held call.

use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::model::{End, Gate, Script};
use serde_json::{Value, json};

use super::{HeldCall, action, buttons, field, labels};
use crate::chat::fixture::{ChatPage, text, until_model_answers};
use crate::chat::tools::fixture::{ToolPage, output, pay};
use crate::support::client::TestClient;
use crate::support::escalations::decide;

/// Number of occurrences of a text in an input.
fn count(input: &[Value], text: &str) -> usize {
    json!(input).to_string().matches(text).count()
}

const NOTE: &str = "An earlier call of a tool has a result.";

/// The whole way: held, shown, decided in the inbox, made once, shown, continued.
#[tokio::test]
async fn conversation_continues_with_one_output_and_one_note() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
    let held = HeldCall::new(&tools).await?;
    let approver = tools.approver().await?;
    let escalation = tools.escalation(&approver).await?;
    let card = held.card().await?;
    let inputs = escalation["subject"]["inputs"].as_object().cloned().unwrap_or_default();
    for (key, value) in inputs {
        ensure!(field(&card, &key) == Some(value.to_string()), "{key}: {card:#}");
    }
    let hash = &buttons(&card)[0].1["payload"]["subjectHash"];
    ensure!(*hash == escalation["subjectHash"], "{card:#}");
    decide(&approver, &escalation, "approve").await?.expect(200)?;
    held.dispatch().await?;
    ensure!(tools.agent().actions().len() == 1);
    let card = held.card().await?;
    ensure!(field(&card, "Result").as_deref() == Some("Invoice 42 is paid."), "{card:#}");

    stack.model().script(Script::new().text("Invoice 42 is paid now."));
    let go_on = action(&card, "Continue")?;
    let events = held.click_streamed(&tools.page.chat, &go_on).await?;
    let mut view = held.view.clone();
    view.apply_all(&events)?;
    ensure!(view.answer() == "Invoice 42 is paid now." && view.errors.is_empty(), "{events:#?}");
    let items = tools.page.chat.items(&held.thread_id).await?;
    // The page has not seen how the task went on.
    let without_task = |items: &[Value]| -> Vec<Value> {
        items.iter().filter(|item| item["type"] != "task").cloned().collect()
    };
    ensure!(without_task(&items) == without_task(view.items()), "{items:#?}");
    ensure!(labels(&held.card().await?).is_empty(), "the offer is taken");

    let input = tools.last_input()?;
    ensure!(output(&input)? == r#"{"status":"held"}"#, "{input:#?}");
    ensure!(count(&input, NOTE) == 1 && count(&input, "Invoice 42 is paid.") == 1, "{input:#?}");
    ensure!(tools.agent().actions().len() == 1);

    // Another click gets the same answer, without another question to the model.
    let asked = stack.model().requests().len();
    let again = held.click_streamed(&tools.page.chat, &go_on).await?;
    let mut other_view = held.view.clone();
    other_view.apply_all(&again)?;
    ensure!(other_view.answer() == "Invoice 42 is paid now.", "{again:#?}");
    ensure!(stack.model().requests().len() == asked, "the model was asked again");
    Ok(())
}

#[tokio::test]
async fn two_devices_that_continue_follow_one_answer() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    held.click(&tools.page.chat, &action(&held.card().await?, "Confirm")?).await?;
    held.dispatch().await?;
    let user = TestClient::from_user(&stack, tools.page.user.user.clone());
    let other = ChatPage::of_user(&stack, user).await?;
    let go_on = action(&held.card().await?, "Continue")?;
    let asked = stack.model().requests().len();
    let gate = Gate::new();
    stack.model().script(Script::new().wait(&gate).text("It is paid."));
    let open = async {
        until_model_answers(&stack).await?;
        // The other click has begun to follow by then, or finds the answer.
        tokio::time::sleep(Duration::from_millis(700)).await;
        gate.open();
        anyhow::Ok(())
    };
    let (one, two, opened) = tokio::join!(
        held.click_streamed(&tools.page.chat, &go_on),
        held.click_streamed(&other.chat, &go_on),
        open
    );
    opened?;
    for events in [one?, two?] {
        let mut view = held.view.clone();
        view.apply_all(&events)?;
        ensure!(view.answer() == "It is paid.", "{events:#?}");
    }
    ensure!(stack.model().requests().len() == asked + 1, "one answer");
    ensure!(tools.count("select count(*) from chat_runs").await? == 2);
    Ok(())
}

#[tokio::test]
async fn call_that_has_not_ended_is_not_continued() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    let asked = stack.model().requests().len();
    let events = held.click_streamed(&tools.page.chat, &json!({ "type": "call.continue" })).await?;
    let kinds: Vec<_> = events.iter().map(|event| text(&event["type"])).collect();
    ensure!(kinds == ["stream_options", "thread.item.replaced", "notice"], "{events:#?}");
    ensure!(stack.model().requests().len() == asked, "the model was asked");
    Ok(())
}

/// The user's next message continues as well. The card offers nothing any more then.
#[tokio::test]
async fn message_takes_the_place_of_continuing() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    held.click(&tools.page.chat, &action(&held.card().await?, "Withdraw")?).await?;
    let go_on = action(&held.card().await?, "Continue")?;
    let input = tools.ask_more(&held.view, "Never mind").await?;
    ensure!(count(&input, NOTE) == 1, "{input:#?}");
    ensure!(labels(&held.card().await?).is_empty());
    let asked = stack.model().requests().len();
    let events = held.click_streamed(&tools.page.chat, &go_on).await?;
    ensure!(events.iter().any(|event| event["type"] == "notice"), "{events:#?}");
    ensure!(stack.model().requests().len() == asked, "the model was asked");
    Ok(())
}

/// An answer whose model failed is taken up by another click.
#[tokio::test]
async fn broken_continuation_is_taken_up_again() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    held.click(&tools.page.chat, &action(&held.card().await?, "Confirm")?).await?;
    held.dispatch().await?;
    let go_on = action(&held.card().await?, "Continue")?;
    stack.model().script(Script::new().text("It is").end(End::Reset));
    let broken = held.click_streamed(&tools.page.chat, &go_on).await?;
    ensure!(broken.iter().any(|event| event["type"] == "error"), "{broken:#?}");
    stack.model().script(Script::new().text("It is paid."));
    let events = held.click_streamed(&tools.page.chat, &go_on).await?;
    let mut view = held.view.clone();
    view.apply_all(&broken)?;
    view.apply_all(&events)?;
    ensure!(view.answer() == "It is paid.", "{events:#?}");
    ensure!(count(&tools.last_input()?, NOTE) == 1);
    Ok(())
}

/// The model continues with what a tool said, and the user has said nothing: the tool's text may
/// order a payment.
#[tokio::test]
async fn call_of_a_continuation_is_held_although_its_amount_is_low() -> Result<()> {
    let stack = LocalStack::start().await?;
    for (trusts, made) in [(false, 1), (true, 2)] {
        let fields = json!({ "ask_above": 500, "approver": "other", "trusts_tool_output": trusts });
        let tools = ToolPage::open(&stack, fields).await?;
        let before = tools.agent().actions().len();
        let held = HeldCall::new(&tools).await?;
        let approver = tools.approver().await?;
        decide(&approver, &tools.escalation(&approver).await?, "approve").await?.expect(200)?;
        held.dispatch().await?;
        stack.model().script(pay(99, 9));
        stack.model().script(Script::new().text("It waits."));
        held.click_streamed(&tools.page.chat, &action(&held.card().await?, "Continue")?).await?;
        ensure!(tools.agent().actions().len() - before == made, "{trusts}: {:?}", tools.agent().actions());

        // The user's next message begins a turn that has read nothing.
        stack.model().script(pay(100, 10));
        tools.ask_more(&held.view, "Pay 10 EUR for invoice 100").await?;
        ensure!(tools.agent().actions().len() - before == made + 1, "{trusts}");
    }
    Ok(())
}
