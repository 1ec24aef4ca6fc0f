//! Repeated requests: one run, however often and wherever they arrive.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use http_client::StatusCode;
use local_stack::LocalStack;
use local_stack::chat_client::{ChatStream, ThreadView, message};
use local_stack::model::{Delta, Gate, Script};
use local_stack::supabase::{CannedResponse, Fault};
use serde_json::json;

use super::fixture::{ChatPage, expire_leases, text, until_model_answers, until_saved};

#[tokio::test]
async fn repeats_of_a_message_follow_one_run() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let gate = Gate::new();
    let deltas = vec![Delta::from("Invoice 42 "), Delta::Wait(gate.clone()), Delta::from("is paid.")];
    stack.model().script(Script::new().deltas(deltas));
    // Each request is handled by another process.
    let first = page.chat.create_thread("Is invoice 42 paid?").await?;
    until_model_answers(&stack).await?;
    let repeats = try_join_all((0..4).map(|_| page.chat.create_thread("Is invoice 42 paid?"))).await?;
    gate.open();
    let first = ThreadView::from_events(&first.finish().await?)?;
    ensure!(first.answer() == "Invoice 42 is paid.", "{first:#?}");
    for repeat in repeats {
        let repeat = ThreadView::from_events(&repeat.finish().await?)?;
        ensure!(repeat == first, "{repeat:#?}\ninstead of\n{first:#?}");
    }
    ensure!(
        stack.model().requests().len() == 1,
        "the model was asked {} times",
        stack.model().requests().len()
    );

    let again = page.chat.create_thread("Is invoice 42 paid?").await?.finish().await?;
    let again = ThreadView::from_events(&again)?;
    ensure!(again.thread["id"] != first.thread["id"], "the same words after a good answer are a new message");
    Ok(())
}

#[tokio::test]
async fn repeats_of_a_killed_answer_ask_the_question_once() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let gate = Gate::new();
    stack.model().script(Script::new().deltas(vec![Delta::from("Invoice "), Delta::Wait(gate)]));
    let mut first = page.chat.create_thread("Is invoice 42 paid?").await?;
    first.until("thread.item.updated").await?;
    until_saved(&stack, "Invoice ").await?;
    stack.lambda().function("serve-chatkit")?.kill();
    // Both follow the run, and notice at different times that it broke off. The later one finds
    // that the other one has taken it up and finished.
    let mut repeats = Vec::new();
    for _ in 0..2 {
        repeats.push(page.chat.create_thread("Is invoice 42 paid?").await?);
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    expire_leases(&stack).await?;
    let repeats = try_join_all(repeats.into_iter().map(ChatStream::finish)).await?;
    let threads = page.chat.json("threads.list", json!({})).await?;
    ensure!(threads["data"].as_array().map(Vec::len) == Some(1), "{threads:#?}");
    let items = page.chat.items(&text(&threads["data"][0]["id"])).await?;
    ensure!(items.len() == 2, "{items:#?}");
    for events in repeats {
        let view = ThreadView::from_events(&events)?;
        ensure!(view.items() == items && view.unfinished().is_empty(), "{view:#?}\n{items:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn idempotency_key_repeats_the_answer_of_a_finished_run() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let send = async |words: &str| {
        let request = page.chat.request("threads.create", json!({ "input": message(words) }));
        anyhow::Ok(request.header("idempotency-key", "message-1").send().await?)
    };
    let events = |body: String| -> Vec<serde_json::Value> {
        let data = body.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
        data.filter_map(|data| serde_json::from_str(data).ok()).collect()
    };
    let first = ThreadView::from_events(&events(send("Hello").await?.text().await?))?;
    let second = ThreadView::from_events(&events(send("Hello").await?.text().await?))?;
    ensure!(!first.answer().is_empty() && first == second, "{first:#?}\n{second:#?}");
    ensure!(stack.model().requests().len() == 1);
    let other = send("Something else").await?;
    ensure!(other.status() == StatusCode::UNPROCESSABLE_ENTITY);
    ensure!(other.text().await?.contains("idempotency_key_reused"));
    Ok(())
}

#[tokio::test]
async fn repeat_of_a_failed_run_takes_up_the_same_question() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    stack.model().script(Script::new().text("Invoice").failed("server_error", "x"));
    let broken = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    ensure!(broken.errors.len() == 1 && broken.errors[0]["allow_retry"] == true, "{broken:#?}");
    let mut view = broken.clone();
    view.apply_all(&page.chat.create_thread("Hello").await?.finish().await?)?;
    ensure!(view.thread["id"] == broken.thread["id"], "the repeat created another thread");
    let items = page.chat.items(&text(&view.thread["id"])).await?;
    ensure!(items == view.items(), "{items:#?}\n{view:#?}");
    ensure!(items.len() == 2 && items[0] == broken.items()[0], "{items:#?}");
    Ok(())
}

#[tokio::test]
async fn items_are_removed_although_the_first_response_is_lost() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    stack.model().script(Script::new().text("Invoice").failed("server_error", "x"));
    let mut view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    ensure!(view.items().len() == 3, "{view:#?}");
    let lost = CannedResponse::gateway(503, "x").at("/rest/v1/rpc/begin_chat_run").times(1);
    stack.supabase().set_fault(Fault::Canned(lost.after_execution())).await;
    view.apply_all(&page.chat.create_thread("Hello").await?.finish().await?)?;
    let items = page.chat.items(&text(&view.thread["id"])).await?;
    ensure!(items.len() == 2 && items == view.items(), "{items:#?}\n{view:#?}");
    Ok(())
}

/// The lease of a run may expire while its process repeats the call that began it.
#[tokio::test]
async fn run_that_expires_before_its_response_arrives_is_taken_up() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    stack.model().script(Script::new().text("Good morning"));
    // The first run has no time left.
    sqlx::raw_sql(
        "create function public.expire_first_run() returns trigger language plpgsql as $$
         begin
           if not exists (select from public.chat_runs) then
             new.lease_until := clock_timestamp();
           end if;
           return new;
         end $$;
         create trigger expire_first_run before insert on public.chat_runs
         for each row execute function public.expire_first_run()",
    )
    .execute(stack.database())
    .await?;
    let lost = CannedResponse::gateway(503, "x").at("/rest/v1/rpc/begin_chat_run").times(1);
    stack.supabase().set_fault(Fault::Canned(lost.after_execution())).await;
    let events = page.chat.create_thread("Hello").await?.finish().await?;
    let view = ThreadView::from_events(&events)?;
    let items = page.chat.items(&text(&view.thread["id"])).await?;
    ensure!(items.len() == 2 && items == view.items(), "{items:#?}\n{view:#?}");
    let runs: Vec<String> = sqlx::query_scalar("select status from public.chat_runs order by started_at")
        .fetch_all(stack.database())
        .await?;
    ensure!(runs == ["interrupted", "completed"], "{runs:?}");
    let requests = stack.model().requests();
    let input = &requests[0].body["input"];
    ensure!(requests.len() == 1 && input.as_array().map(Vec::len) == Some(1), "{requests:#?}");
    Ok(())
}
