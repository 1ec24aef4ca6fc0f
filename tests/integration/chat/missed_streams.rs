//! Repeats by a page that has missed the streams before: it then shows what the thread contains.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::{ChatStream, ThreadView, message};
use local_stack::model::{Delta, Gate, Script};
use local_stack::supabase::{CannedResponse, Fault};
use serde_json::{Value, json};

use super::fixture::{ChatPage, expire_leases, text, until_model_answers, until_model_is_idle};

/// The end of a run whose stream the page has missed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Missed {
    /// Its process died before the first save.
    Killed,
    /// The model failed after the first words.
    Failed,
    Completed,
}

const MISSED: &[&[Missed]] = &[
    &[Missed::Killed],
    &[Missed::Killed, Missed::Killed],
    &[Missed::Failed],
    &[Missed::Failed, Missed::Killed],
    &[Missed::Killed, Missed::Failed, Missed::Killed],
    &[Missed::Completed],
    &[Missed::Killed, Missed::Completed],
];

/// A request that a page sends again.
struct Request<'a> {
    page: &'a ChatPage,
    kind: &'a str,
    params: Value,
    key: Option<String>,
}

impl Request<'_> {
    async fn send(&self) -> Result<ChatStream> {
        let mut request = self.page.chat.request(self.kind, self.params.clone());
        if let Some(key) = &self.key {
            request = request.header("idempotency-key", key);
        }
        ChatStream::new(request.send().await?).await
    }

    /// Sends the request. The page receives nothing of the stream.
    async fn miss(&self, stack: &LocalStack, missed: Missed) -> Result<()> {
        match missed {
            Missed::Killed => {
                let gate = Gate::new();
                stack.model().script(Script::new().deltas([Delta::from("In"), Delta::Wait(gate.clone())]));
                let unavailable = CannedResponse::gateway(503, "x").at("/rest/v1/rpc/append_chat_run");
                stack.supabase().set_fault(Fault::Canned(unavailable)).await;
                let stream = self.send().await?;
                until_model_answers(stack).await?;
                stack.lambda().function("serve-chatkit")?.kill();
                drop(stream);
                gate.open();
                until_model_is_idle(stack).await?;
                stack.supabase().set_fault(Fault::None).await;
                expire_leases(stack).await
            }
            Missed::Failed => {
                stack.model().script(Script::new().text("In").failed("server_error", "x"));
                self.send().await?.finish().await.map(drop)
            }
            Missed::Completed => self.send().await?.finish().await.map(drop),
        }
    }
}

#[tokio::test]
async fn repeat_removes_what_the_missed_streams_removed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    stack.raise_limits(page.user.user.org_id).await?;
    let mut rows = 0;
    for is_retry in [false, true] {
        for has_key in [false, true] {
            for missed in MISSED {
                // Without a key, the same words after a complete answer are a new message.
                if !is_retry && !has_key && missed.contains(&Missed::Completed) {
                    continue;
                }
                rows += 1;
                let row = format!("retry: {is_retry}, key: {has_key}, missed: {missed:?}");
                check_row(&stack, &page, rows, (is_retry, has_key), missed).await.context(row)?;
            }
        }
    }
    ensure!(rows == 4 * MISSED.len() - 2, "{rows} rows");
    Ok(())
}

async fn check_row(
    stack: &LocalStack,
    page: &ChatPage,
    row: usize,
    (is_retry, has_key): (bool, bool),
    missed: &[Missed],
) -> Result<()> {
    let opened = page.chat.create_thread(&format!("Question {row}")).await?.finish().await?;
    let mut view = ThreadView::from_events(&opened)?;
    let thread_id = text(&view.thread["id"]);
    let before = view.items().to_vec();
    let (kind, params) = if is_retry {
        ("threads.retry_after_item", json!({ "thread_id": thread_id, "item_id": before[0]["id"] }))
    } else {
        ("threads.add_user_message", json!({ "thread_id": thread_id, "input": message("Is it paid?") }))
    };
    let request = Request { page, kind, params, key: has_key.then(|| format!("row-{row}")) };
    for missed in missed {
        request.miss(stack, *missed).await.with_context(|| format!("{missed:?}"))?;
    }
    view.apply_all(&request.send().await?.finish().await?)?;
    let items = page.chat.items(&thread_id).await?;
    ensure!(view.items() == items, "the page shows {:#?}\nand the thread contains {items:#?}", view.items());
    ensure!(view.unfinished().is_empty() && view.errors.is_empty(), "{view:#?}");
    let kinds: Vec<_> = items.iter().map(|item| text(&item["type"])).collect();
    let turn = ["user_message", "assistant_message"];
    let expected = turn.repeat(if is_retry { 1 } else { 2 });
    ensure!(kinds == expected, "expected {expected:?}, found {kinds:?}");
    ensure!(is_retry != items.contains(&before[1]), "{items:#?}");
    Ok(())
}
