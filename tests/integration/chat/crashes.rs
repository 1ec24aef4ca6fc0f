//! A process that is killed while it answers.

use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::ThreadView;
use local_stack::model::{Delta, Gate, Script};
use local_stack::supabase::Fault;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::fixture::{ChatPage, expire_leases, text, until_saved};

#[tokio::test]
async fn killed_answer_is_kept_marked_and_taken_up() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let gate = Gate::new();
    let deltas = vec![Delta::from("Invoice 42 "), Delta::Wait(gate.clone()), Delta::from("is paid.")];
    stack.model().script(Script::new().deltas(deltas));
    let mut stream = page.chat.create_thread("Is invoice 42 paid?").await?;
    stream.until("thread.item.added").await?;
    until_saved(&stack, "Invoice 42 ").await?;
    stack.lambda().function("serve-chatkit")?.kill();
    while let Ok(Some(_)) = stream.next().await {}
    let seen = ThreadView::from_events(stream.events())?;
    let thread_id = text(&seen.thread["id"]);

    expire_leases(&stack).await?;
    let items = page.chat.items(&thread_id).await?;
    let item_kinds: Vec<_> = items.iter().map(|item| text(&item["type"])).collect();
    ensure!(item_kinds == ["user_message", "assistant_message", "task"], "{items:#?}");
    ensure!(items[1]["content"][0]["text"] == "Invoice 42 ", "{items:#?}");
    ensure!(items[2]["task"]["title"] == "The answer was interrupted.", "{items:#?}");

    gate.open();
    let mut view = seen;
    view.apply_all(&page.chat.create_thread("Is invoice 42 paid?").await?.finish().await?)?;
    let after = page.chat.items(&thread_id).await?;
    ensure!(after == view.items(), "{after:#?}\n{view:#?}");
    ensure!(after.len() == 2 && after[0] == items[0], "{after:#?}");
    Ok(())
}

#[tokio::test]
async fn maintenance_ends_the_run_of_a_killed_process() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let gate = Gate::new();
    stack.model().script(Script::new().deltas(vec![Delta::Wait(gate.clone()), Delta::from("x")]));
    let mut stream = page.chat.create_thread("Hello").await?;
    stream.until("stream_options").await?;
    stack.lambda().function("serve-chatkit")?.kill();
    expire_leases(&stack).await?;
    let report = stack.run_job("expire-sessions").await?;
    ensure!(report["interruptedAnswers"] == 1, "{report}");
    let items = page.chat.json("threads.list", json!({})).await?;
    let thread_id = text(&items["data"][0]["id"]);
    let items = page.chat.items(&thread_id).await?;
    ensure!(items.len() == 2 && items[1]["type"] == "task", "{items:#?}");
    Ok(())
}

#[tokio::test]
async fn answer_survives_an_outage_of_supabase() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let gate = Gate::new();
    let deltas = vec![Delta::from("Invoice 42 "), Delta::Wait(gate.clone()), Delta::from("is paid.")];
    stack.model().script(Script::new().deltas(deltas));
    let mut stream = page.chat.create_thread("Is invoice 42 paid?").await?;
    stream.until("thread.item.added").await?;
    stack.supabase().set_fault(Fault::Unavailable).await;
    gate.open();
    let end_of_outage = Instant::now() + Duration::from_secs(3);
    while let Ok(event) = timeout_at(end_of_outage, stream.next()).await {
        ensure!(event?.is_some(), "the stream ended in the outage: {:#?}", stream.events());
    }
    let sent = stream.events();
    ensure!(
        sent.iter().any(|event| event["update"]["delta"] == "is paid."),
        "the outage holds back what the model says: {sent:#?}"
    );
    ensure!(
        !sent
            .iter()
            .any(|event| event["item"]["type"] == "assistant_message" && event["type"] == "thread.item.done"),
        "the answer is done before it is stored: {sent:#?}"
    );
    stack.supabase().set_fault(Fault::None).await;
    let view = ThreadView::from_events(&stream.finish().await?)?;
    ensure!(view.answer() == "Invoice 42 is paid." && view.errors.is_empty(), "{view:#?}");
    ensure!(page.chat.items(&text(&view.thread["id"])).await? == view.items());
    Ok(())
}
