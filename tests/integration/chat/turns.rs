//! A turn: the question, the streamed answer, and what the thread holds afterwards.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::ThreadView;
use local_stack::model::{Citation, End, ErrorShape, Fault, IncompleteReason, Script};
use serde_json::json;

use super::fixture::{ChatPage, kinds, text};

#[tokio::test]
async fn answer_is_streamed_and_stored() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let citation = Citation::Url {
        url: "https://example.com/42".to_owned(),
        title: "Invoice 42".to_owned(),
        start: 0,
        end: 10,
    };
    let script =
        Script::new().reasoning(["Look at invoice 42."]).text("Invoice 42 is paid.").citation(citation);
    stack.model().script(script);
    let events = page.chat.create_thread("Is invoice 42 paid?").await?.finish().await?;
    ensure!(
        kinds(&events)[..3] == ["thread.created", "thread.item.done", "stream_options"],
        "{:?}",
        kinds(&events)
    );
    let mut view = ThreadView::from_events(&events)?;
    ensure!(view.answer() == "Invoice 42 is paid.", "{view:#?}");
    let item_kinds: Vec<_> = view.items().iter().map(|item| text(&item["type"])).collect();
    ensure!(item_kinds == ["user_message", "workflow", "assistant_message"], "{item_kinds:?}");
    ensure!(view.items()[2]["content"][0]["annotations"][0]["index"] == 10, "{view:#?}");
    ensure!(view.unfinished().is_empty() && view.errors.is_empty(), "{view:#?}");
    let thread_id = text(&view.thread["id"]);
    ensure!(page.chat.items(&thread_id).await? == view.items());

    let shown = page.chat.json("threads.get_by_id", json!({ "thread_id": thread_id })).await?;
    ensure!(shown["title"] == "Is invoice 42 paid?", "{shown:#}");
    ensure!(shown["items"]["data"] == json!(view.items()), "{shown:#}");
    let threads = page.chat.json("threads.list", json!({ "limit": 9999, "order": "desc" })).await?;
    ensure!(threads["data"][0]["id"] == thread_id.as_str() && threads["has_more"] == false, "{threads:#}");

    view.apply_all(&page.chat.add_message(&thread_id, "And invoice 43?").await?.finish().await?)?;
    ensure!(page.chat.items(&thread_id).await? == view.items());
    let requests = stack.model().requests();
    let input = requests[1].body["input"].to_string();
    for said in ["Is invoice 42 paid?", "Invoice 42 is paid.", "And invoice 43?"] {
        ensure!(input.contains(said), "the second request lacks {said:?}: {input}");
    }
    ensure!(stack.openai().requests().is_empty(), "OpenAI's ChatKit API was called");
    Ok(())
}

/// However the model's answer ends, the client holds what the store holds, and a reader sees that
/// the answer broke off.
#[tokio::test]
async fn broken_answer_is_kept_and_marked() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let said = || Script::new().text("Invoice 42 is");
    let error = |shape| End::Error {
        shape,
        code: "rate_limit_exceeded".to_owned(),
        message: "slow down".to_owned(),
        then_failed: false,
    };
    let failed = End::Failed { code: "server_error".to_owned(), message: "x".to_owned() };
    for (end, status, is_error) in [
        (End::Incomplete(IncompleteReason::MaxOutputTokens), "incomplete", false),
        (End::Incomplete(IncompleteReason::ContentFilter), "incomplete", false),
        (failed, "failed", true),
        (error(ErrorShape::Flat), "failed", true),
        (error(ErrorShape::Nested), "failed", true),
        (End::Reset, "failed", true),
        (End::Disconnect, "failed", true),
        (End::Truncated, "failed", true),
    ] {
        stack.model().script(said().end(end.clone()));
        let events = page.chat.create_thread(&format!("Question {end:?}")).await?.finish().await?;
        let view = ThreadView::from_events(&events)?;
        ensure!(view.answer() == "Invoice 42 is", "{end:?}: {view:#?}");
        ensure!(view.items().last().unwrap()["type"] == "task", "{end:?} is not marked: {view:#?}");
        ensure!(view.errors.len() == usize::from(is_error), "{end:?}: {view:#?}");
        ensure!(view.unfinished().is_empty(), "{end:?} leaves an item open: {view:#?}");
        ensure!(page.chat.items(&text(&view.thread["id"])).await? == view.items(), "{end:?}");
        let recorded: String = sqlx::query_scalar("select status from public.chat_runs where thread_id = $1")
            .bind(text(&view.thread["id"]))
            .fetch_one(stack.database())
            .await?;
        ensure!(recorded == status, "{end:?} is recorded as {recorded}");
    }
    Ok(())
}

#[tokio::test]
async fn failed_model_request_is_an_error_event_with_the_question_stored() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    stack.model().replace_api_key("sk-another");
    let events = page.chat.create_thread("Hello?").await?.finish().await?;
    let view = ThreadView::from_events(&events)?;
    ensure!(view.errors.len() == 1 && view.errors[0]["allow_retry"] == false, "{view:#?}");
    ensure!(!json!(events).to_string().contains("sk-"), "{events:#?}");
    let thread_id = text(&view.thread["id"]);
    let items = page.chat.items(&thread_id).await?;
    ensure!(items == view.items() && items[0]["type"] == "user_message", "{items:#?}");

    stack.model().replace_api_key(&stack.environment().all_variables()["MODEL_API_KEY"]);
    stack.model().add_fault(Fault::overloaded().times(2));
    let retry = json!({ "thread_id": thread_id, "item_id": items[0]["id"] });
    let events = page.chat.stream("threads.retry_after_item", retry).await?.finish().await?;
    let mut view = view;
    view.errors.clear();
    view.apply_all(&events)?;
    ensure!(view.errors.is_empty() && !view.answer().is_empty(), "{view:#?}");
    ensure!(page.chat.items(&thread_id).await? == view.items(), "{view:#?}");
    Ok(())
}
