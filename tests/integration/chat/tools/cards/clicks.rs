//! Deciding by a click on a card.

use anyhow::{Result, ensure};
use http_client::StatusCode;
use local_stack::LocalStack;
use local_stack::chat_client::ThreadView;
use serde_json::json;

use super::{HeldCall, action, field, labels, last_text};
use crate::chat::fixture::{ChatPage, text};
use crate::chat::tools::fixture::ToolPage;
use crate::support::client::TestClient;

#[tokio::test]
async fn confirmed_call_is_made_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    let confirm = action(&held.card().await?, "Confirm")?;
    let card = held.click(&tools.page.chat, &confirm).await?;
    ensure!(field(&card, "Decision").is_some_and(|text| text.starts_with("Confirmed by ")), "{card:#}");
    ensure!(card == held.card().await?, "{card:#}");
    // A second click makes no second call, and is not refused.
    let again = held.click(&tools.page.chat, &confirm).await?;
    ensure!(again == card, "{again:#}");
    held.dispatch().await?;
    held.dispatch().await?;
    ensure!(tools.agent().actions().len() == 1, "{:?}", tools.agent().actions());
    ensure!(field(&held.card().await?, "Call").as_deref() == Some("Done."));
    let decided: (String, String, String) =
        sqlx::query_as("select kind, decision, decided_by::text from chat_escalations")
            .fetch_one(stack.database())
            .await?;
    let user_id = tools.page.user.user.id.to_string();
    ensure!(decided == ("confirm".to_owned(), "approve".to_owned(), user_id), "{decided:?}");
    Ok(())
}

#[tokio::test]
async fn withdrawn_call_is_not_made() -> Result<()> {
    let stack = LocalStack::start().await?;
    for policy in ["ask", "confirm"] {
        let tools = ToolPage::open(&stack, json!({ "policy": policy })).await?;
        let held = HeldCall::new(&tools).await?;
        let events = held.click_streamed(&tools.page.chat, &action(&held.card().await?, "Withdraw")?).await?;
        let kinds: Vec<_> = events.iter().map(|event| text(&event["type"])).collect();
        ensure!(kinds == ["stream_options", "thread.item.replaced"], "{events:#?}");
        let mut view = held.view.clone();
        view.apply_all(&events)?;
        ensure!(field(&view.items()[2], "Call").as_deref() == Some("Not done: withdrawn."), "{view:#?}");
        held.dispatch().await?;
        ensure!(tools.agent().actions().is_empty(), "{policy}");
    }
    Ok(())
}

/// The database decides who may decide, also if a client sends what no button offers.
#[tokio::test]
async fn click_that_the_card_does_not_offer_decides_nothing() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "ask" })).await?;
    let held = HeldCall::new(&tools).await?;
    let before = held.card().await?;
    let withdraw = action(&before, "Withdraw")?;
    let mut confirm = withdraw.clone();
    confirm["type"] = "call.confirm".into();
    let card = held.click(&tools.page.chat, &confirm).await?;
    ensure!(last_text(&card) == "Another person must decide this.", "{card:#}");

    let mut of_another_subject = withdraw.clone();
    of_another_subject["payload"]["subjectHash"] = "0".repeat(64).into();
    for action in [of_another_subject, json!({ "type": "call.withdraw" })] {
        let card = held.click(&tools.page.chat, &action).await?;
        ensure!(last_text(&card).starts_with("Nothing was decided"), "{card:#}");
        let events = held.click_streamed(&tools.page.chat, &action).await?;
        let notice = events.iter().find(|event| event["type"] == "notice");
        ensure!(notice.is_some_and(|notice| notice["level"] == "warning"), "{events:#?}");
    }
    for kind in ["call.approve", "call.continue"] {
        let unknown = held.params(&json!({ "type": kind }));
        let (status, body) = tools.page.chat.call("threads.sync_custom_action", unknown).await?;
        ensure!(status == StatusCode::UNPROCESSABLE_ENTITY, "{kind}: {body}");
    }
    ensure!(held.card().await? == before, "nothing has changed");
    ensure!(tools.count("select count(*) from chat_escalations where status = 'open'").await? == 1);
    Ok(())
}

#[tokio::test]
async fn card_of_another_user_or_thread_is_not_found() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    let confirm = action(&held.card().await?, "Confirm")?;
    let approver = ChatPage::of_user(&stack, tools.approver().await?).await?;
    let other = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let of_other = HeldCall::new(&other).await?;
    let of_this = |thread_id: &str, item_id: &str| json!({ "thread_id": thread_id, "item_id": item_id, "action": confirm });
    let own_thread = ThreadView::from_events(&{
        stack.model().script(local_stack::model::Script::new().text("Hello."));
        tools.page.chat.create_thread("Hello").await?.finish().await?
    })?;
    let own_thread_id = text(&own_thread.thread["id"]);
    for (chat, params, code) in [
        (&approver.chat, of_this(&held.thread_id, &held.card_id), "thread_not_found"),
        (&other.page.chat, of_this(&held.thread_id, &held.card_id), "thread_not_found"),
        (&other.page.chat, of_this(&of_other.thread_id, &held.card_id), "item_not_found"),
        (&tools.page.chat, of_this(&own_thread_id, &held.card_id), "item_not_found"),
        (&tools.page.chat, of_this(&held.thread_id, &of_other.card_id), "item_not_found"),
    ] {
        for kind in ["threads.custom_action", "threads.sync_custom_action"] {
            let (status, body) = chat.call(kind, params.clone()).await?;
            ensure!(status == StatusCode::NOT_FOUND && body["code"] == code, "{params}: {body}");
        }
    }
    ensure!(tools.count("select count(*) from chat_escalations where status = 'open'").await? == 2);

    // An item that is not a card has no actions.
    let message = of_this(&held.thread_id, held.view.items()[0]["id"].as_str().unwrap_or_default());
    let (_, body) = tools.page.chat.call("threads.sync_custom_action", message).await?;
    ensure!(body["code"] == "chat_request_unsupported", "{body}");
    Ok(())
}

/// The same user decides in another session and on another device.
#[tokio::test]
async fn card_is_decided_in_another_session_of_the_user() -> Result<()> {
    let stack = LocalStack::start().await?;
    let tools = ToolPage::open(&stack, json!({ "policy": "confirm" })).await?;
    let held = HeldCall::new(&tools).await?;
    let user = TestClient::from_user(&stack, tools.page.user.user.clone());
    let other = ChatPage::of_user(&stack, user).await?;
    ensure!(other.session_id != tools.page.session_id);
    let card = held.click(&other.chat, &action(&held.card().await?, "Confirm")?).await?;
    ensure!(labels(&card).is_empty(), "{card:#}");
    held.dispatch().await?;
    ensure!(tools.agent().actions().len() == 1);
    Ok(())
}
