//! State of a card after the decision: in the transaction that decides, begins or finishes the
//! call.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::Fault;
use serde_json::json;

use super::{HeldCall, action, field, labels, last_text};
use crate::chat::tools::fixture::ToolPage;
use crate::support::escalations::{decide, decide_with_answer};

#[tokio::test]
async fn card_and_task_follow_an_approved_call_to_its_result() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
    let held = HeldCall::new(&tools).await?;
    let before = held.card().await?;
    let approver = tools.approver().await?;
    let escalation = tools.escalation(&approver).await?;
    let decided = decide(&approver, &escalation, "approve").await?.expect(200)?;
    let card = held.card().await?;
    let by = decided["escalation"]["decidedByName"].as_str().unwrap_or_default();
    ensure!(field(&card, "Decision") == Some(format!("Approved by {by}")), "{card:#}");
    ensure!(field(&card, "Call").as_deref() == Some("Waits to be called."), "{card:#}");
    ensure!(labels(&card).is_empty() && held.task().await? == "Waits to be called.", "{card:#}");

    let report = held.dispatch().await?;
    ensure!(report["done"] == 1 && tools.agent().actions().len() == 1, "{report}");
    let card = held.card().await?;
    ensure!(field(&card, "Call").as_deref() == Some("Done."), "{card:#}");
    ensure!(field(&card, "Result").as_deref() == Some("Invoice 42 is paid."), "{card:#}");
    ensure!(labels(&card) == ["Continue"] && held.task().await? == "Done.", "{card:#}");
    // What was held is still shown.
    for label in ["Agent", "Tool", "invoice", "amount", "Fingerprint"] {
        ensure!(field(&card, label) == field(&before, label), "{label}: {card:#}");
    }

    // A click on the card as it was gets the outcome.
    let outdated = held.click(&tools.page.chat, &action(&before, "Withdraw")?).await?;
    ensure!(field(&outdated, "Call").as_deref() == Some("Done."), "{outdated:#}");
    ensure!(last_text(&outdated) == "This is already decided.", "{outdated:#}");
    ensure!(held.card().await? == card, "the notice is not stored");
    Ok(())
}

#[tokio::test]
async fn card_shows_a_rejection_a_withdrawal_an_expiry_and_the_end_of_the_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    for (how, state) in [
        ("reject", "Not done: rejected."),
        ("withdraw", "Not done: withdrawn."),
        ("expire", "Not done: no decision was made in time."),
        ("cancel", "Not done: the session ended."),
    ] {
        let mut tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
        let held = HeldCall::new(&tools).await?;
        let before = held.card().await?;
        let approver = tools.approver().await?;
        let escalation = tools.escalation(&approver).await?;
        match how {
            "reject" => drop(decide(&approver, &escalation, "reject").await?.expect(200)?),
            "withdraw" => drop(decide(&tools.page.user, &escalation, "reject").await?.expect(200)?),
            "expire" => {
                let over = "update chat_escalations set expires_at = created_at + interval '1 microsecond'
                            where status = 'open'";
                tools.execute(over).await?;
                stack.run_job("expire-sessions").await?;
            }
            _ => {
                let session = format!("/chatkit/sessions/{}", tools.page.session_id);
                tools.page.user.cancel(&session).await?.expect(200)?;
            }
        }
        let (thread_id, card_id) = (held.thread_id.clone(), held.card_id.clone());
        if how == "cancel" {
            // Another session of the user shows the thread.
            let user = crate::support::client::TestClient::from_user(&stack, tools.page.user.user.clone());
            tools.page = crate::chat::fixture::ChatPage::of_user(&stack, user).await?;
        }
        let held = HeldCall { tools: &tools, thread_id, card_id, view: Default::default() };
        let card = held.card().await?;
        ensure!(field(&card, "Call").as_deref() == Some(state), "{how}: {card:#}");
        ensure!(held.task().await? == state && labels(&card) == ["Continue"], "{how}: {card:#}");
        let outdated = held.click(&tools.page.chat, &action(&before, "Withdraw")?).await?;
        let notice = last_text(&outdated);
        let is_named = notice.contains("already decided") || notice.contains("nothing to decide");
        // A withdrawal by the same person is the same decision.
        ensure!(is_named != (how == "withdraw"), "{how}: {notice}");
        ensure!(tools.agent().actions().is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn edited_call_has_a_card_of_its_own() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
    let held = HeldCall::new(&tools).await?;
    let (first, second) = (tools.approver().await?, tools.approver().await?);
    let escalation = tools.escalation(&first).await?;
    let edited = json!({ "invoice": 42, "amount": 800 });
    decide_with_answer(&first, &escalation, "edit", edited).await?.expect(200)?;
    let cards = held.cards().await?;
    ensure!(cards.len() == 2, "{cards:#?}");
    ensure!(field(&cards[0], "amount").as_deref() == Some("900"), "{cards:#?}");
    ensure!(
        field(&cards[0], "Call").as_deref() == Some("Needs another decision: see the next card."),
        "{cards:#?}"
    );
    ensure!(field(&cards[1], "amount").as_deref() == Some("800"), "{cards:#?}");
    ensure!(labels(&cards[1]) == ["Withdraw"], "{cards:#?}");
    ensure!(held.task().await? == "Waits for a decision.");
    let escalation = tools.escalation(&second).await?;
    decide(&second, &escalation, "approve").await?.expect(200)?;
    held.dispatch().await?;
    let cards = held.cards().await?;
    ensure!(field(&cards[1], "Call").as_deref() == Some("Done."), "{cards:#?}");
    ensure!(labels(&cards[0]).is_empty() && labels(&cards[1]) == ["Continue"], "{cards:#?}");
    ensure!(held.task().await? == "Done.");
    Ok(())
}

#[tokio::test]
async fn failure_after_the_approval_is_shown_and_can_be_repeated() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
    let held = HeldCall::new(&tools).await?;
    let approver = tools.approver().await?;
    let escalation = tools.escalation(&approver).await?;
    decide(&approver, &escalation, "approve").await?.expect(200)?;
    let failed = json!({ "structuredContent": { "status": "failed", "message": "The bank is closed." }, "content": [] });
    tools.agent().add_fault(Fault::on_calls().result(failed).times(1));
    held.dispatch().await?;
    let cards = held.cards().await?;
    ensure!(cards.len() == 2, "{cards:#?}");
    ensure!(field(&cards[0], "Call").is_some_and(|text| text.starts_with("Failed (")), "{cards:#?}");
    ensure!(field(&cards[0], "Result").as_deref() == Some("The bank is closed."), "{cards:#?}");
    // Another person approved the call, so another person decides about its repetition.
    ensure!(labels(&cards[1]) == ["Reject"], "{cards:#?}");

    let escalation = tools.escalation(&approver).await?;
    ensure!(escalation["kind"] == "agent_failed", "{escalation:#}");
    decide(&approver, &escalation, "approve").await?.expect(200)?;
    held.dispatch().await?;
    let cards = held.cards().await?;
    ensure!(field(&cards[1], "Call").as_deref() == Some("Done."), "{cards:#?}");
    ensure!(tools.agent().actions().len() == 1 && held.task().await? == "Done.");
    Ok(())
}

/// Retrying an answer replaces its text. The call was not undone, so its card stays.
#[tokio::test]
async fn card_stays_when_the_answer_is_retried() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    stack.model().script(local_stack::model::Script::new().text("It still waits."));
    let retry = json!({ "thread_id": held.thread_id, "item_id": held.view.items()[0]["id"] });
    let events = tools.page.chat.stream("threads.retry_after_item", retry).await?.finish().await?;
    let mut view = held.view.clone();
    view.apply_all(&events)?;
    ensure!(tools.page.chat.items(&held.thread_id).await? == view.items(), "{view:#?}");
    // A client that has dropped everything after the question gets the card again.
    let sent = events.iter().any(|event| event["item"]["id"] == held.card_id.as_str());
    ensure!(sent, "{events:#?}");
    let card = held.click(&tools.page.chat, &action(&held.card().await?, "Confirm")?).await?;
    ensure!(field(&card, "Call").as_deref() == Some("Waits to be called."), "{card:#}");
    Ok(())
}
