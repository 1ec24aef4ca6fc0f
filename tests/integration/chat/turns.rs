//! A turn: the question, the streamed answer, and what the thread holds afterwards.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::{ThreadView, message};
use local_stack::model::Script;
use serde_json::json;

use super::fixture::ChatPage;

#[tokio::test]
async fn answer_is_streamed_and_stored() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    stack.model().script(Script::new().reasoning(["Look at invoice 42."]).text("Invoice 42 is paid."));
    let events = page.chat.create_thread("Is invoice 42 paid?").await?.finish().await?;
    let kinds: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap_or_default()).collect();
    ensure!(kinds[..3] == ["thread.created", "thread.item.done", "stream_options"], "{kinds:?}");
    let view = ThreadView::from_events(&events)?;
    ensure!(view.answer() == "Invoice 42 is paid.", "{view:#?}");
    ensure!(view.unfinished().is_empty() && view.errors.is_empty(), "{view:#?}");
    let thread_id = view.thread["id"].as_str().unwrap().to_owned();
    ensure!(
        page.chat.items(&thread_id).await? == view.items(),
        "{:#?}\n{view:#?}",
        page.chat.items(&thread_id).await?
    );

    let shown = page.chat.json("threads.get_by_id", json!({ "thread_id": thread_id })).await?;
    ensure!(
        shown["title"] == "Is invoice 42 paid?" && shown["items"]["data"] == json!(view.items()),
        "{shown:#}"
    );
    let threads = page.chat.json("threads.list", json!({ "limit": 9999, "order": "desc" })).await?;
    ensure!(threads["data"][0]["id"] == thread_id.as_str() && threads["has_more"] == false, "{threads:#}");

    let second = page.chat.add_message(&thread_id, "And invoice 43?").await?.finish().await?;
    let mut view = view;
    view.apply_all(&second)?;
    ensure!(page.chat.items(&thread_id).await? == view.items());
    let requests = stack.model().requests();
    ensure!(requests.len() == 2, "{}", requests.len());
    let _ = message("x");
    Ok(())
}
