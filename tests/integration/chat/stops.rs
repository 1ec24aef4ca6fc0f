//! Stopping an answer: by its user, by the session's end, and by the next message.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::chat_client::{ChatStream, ThreadView};
use local_stack::model::{Delta, Gate, Script};
use serde_json::json;

use super::fixture::{ChatPage, text, until_model_answers};

/// The promise, and time for a loaded machine.
const SILENT_WITHIN: Duration = Duration::from_secs(10);

/// An answer that goes on for a minute, a word each 100 ms.
fn long_answer() -> Script {
    let word = |_| [Delta::from("word "), Delta::Pause(Duration::from_millis(100))];
    Script::new().deltas((0..600).flat_map(word))
}

/// Begins a long answer, and returns its stream after the first words.
async fn begin(stack: &LocalStack, page: &ChatPage) -> Result<(ChatStream, String)> {
    stack.model().script(long_answer());
    let mut stream = page.chat.create_thread("Tell me a story").await?;
    let thread_id = text(&stream.until("thread.created").await?["thread"]["id"]);
    stream.until("thread.item.updated").await?;
    Ok((stream, thread_id))
}

/// Reads the stream to its end, and checks that the text so far is kept and marked.
async fn check_stopped(page: &ChatPage, stream: ChatStream, thread_id: &str) -> Result<()> {
    let started = Instant::now();
    let view = ThreadView::from_events(&stream.finish().await?)?;
    ensure!(started.elapsed() < SILENT_WITHIN, "the answer went on for {:?}", started.elapsed());
    ensure!(view.answer().starts_with("word ") && view.errors.is_empty(), "{view:#?}");
    ensure!(view.items().last().unwrap()["task"]["title"] == "Stopped.", "{view:#?}");
    let items = page.chat.items(thread_id).await?;
    ensure!(items == view.items(), "{items:#?}\n{view:#?}");
    Ok(())
}

#[tokio::test]
async fn stopped_answer_is_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let (stream, thread_id) = begin(&stack, &page).await?;
    let path = format!("/chatkit/sessions/{}/stop", page.session_id);
    let stopping = page.user.send(Method::POST, &path, &[], None).await?.expect(200)?;
    ensure!(stopping["stopping"] == 1, "{stopping}");
    check_stopped(&page, stream, &thread_id).await?;
    let again = page.user.send(Method::POST, &path, &[], None).await?.expect(200)?;
    ensure!(again["stopping"] == 0, "{again}");
    Ok(())
}

#[tokio::test]
async fn cancelled_session_silences_its_answer_and_its_secret() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let (stream, thread_id) = begin(&stack, &page).await?;
    page.user.cancel(&format!("/chatkit/sessions/{}", page.session_id)).await?.expect(200)?;
    let (status, problem) = page.chat.call("threads.list", json!({})).await?;
    ensure!(status == 401 && problem["code"] == "client_secret_rejected", "{status} {problem}");
    // Another session of the same user reads the thread.
    let other = ChatPage::of_user(&stack, page.user).await?;
    check_stopped(&other, stream, &thread_id).await
}

#[tokio::test]
async fn next_message_stops_the_answer() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let (stream, thread_id) = begin(&stack, &page).await?;
    stack.model().script(Script::new().text("Hello."));
    let next = page.chat.add_message(&thread_id, "Stop, and greet me").await?.finish().await?;
    let mut view = ThreadView::from_events(&stream.finish().await?)?;
    ensure!(view.items().last().unwrap()["task"]["title"] == "Stopped.", "{view:#?}");
    view.apply_all(&next)?;
    ensure!(view.answer() == "Hello.", "{view:#?}");
    ensure!(page.chat.items(&thread_id).await? == view.items(), "{view:#?}");
    Ok(())
}

#[tokio::test]
async fn answer_goes_on_when_its_client_leaves() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let gate = Gate::new();
    let deltas = vec![Delta::from("Invoice 42 "), Delta::Wait(gate.clone()), Delta::from("is paid.")];
    stack.model().script(Script::new().deltas(deltas));
    let mut stream = page.chat.create_thread("Is invoice 42 paid?").await?;
    let thread_id = text(&stream.until("thread.created").await?["thread"]["id"]);
    until_model_answers(&stack).await?;
    drop(stream);
    gate.open();
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let items = page.chat.items(&thread_id).await?;
        if items.len() == 2 {
            ensure!(items[1]["content"][0]["text"] == "Invoice 42 is paid.", "{items:#?}");
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{items:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
