//! Retention and erasure of the calls of a model: they are deliveries of the session.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::Chat;
use super::calls::{begin, call, running};
use crate::support::chat_rpc::{self as rpc, ChatSession, Question};

/// The tables with rows of a call.
const TABLES: [&str; 6] =
    ["deliveries", "delivery_queues", "auto_call_amounts", "chat_escalations", "chat_events", "chat_runs"];

/// A stopped answer with a call that is done, one that is held, and one that is still under way.
struct WithCalls {
    chat: Chat,
    session: ChatSession,
    question: Question,
    under_way: Value,
}

impl WithCalls {
    async fn new() -> Result<Self> {
        let (chat, session, question) =
            running(json!({ "ask_above_total": 10, "trusts_tool_output": true })).await?;
        let run_id = question.run_id;
        let done = begin(&chat, &session, &call(run_id, "call_1", json!({ "amount": 1 }))).await?;
        chat.stack.finish_delivery(&done["call"], json!({ "kind": "completed", "message": "Paid." })).await?;
        let held = begin(&chat, &session, &call(run_id, "call_2", json!({ "amount": 50 }))).await?;
        let begun = begin(&chat, &session, &call(run_id, "call_3", json!({ "amount": 2 }))).await?;
        ensure!(held["outcome"] == "held" && begun["outcome"] == "begun", "{held} {begun}");
        session.finish(&chat.stack, run_id, "stopped", Vec::new()).await?;
        for table in TABLES.iter().filter(|table| **table != "delivery_queues") {
            ensure!(chat.count(table).await? > 0, "{table} has no rows");
        }
        Ok(Self { chat, session, question, under_way: begun["call"].clone() })
    }

    /// The result of the call that was under way when the session ended.
    async fn finish(&self) -> Result<Value> {
        let Self { chat, under_way, .. } = self;
        let arguments = json!({
            "p_delivery_id": under_way["id"], "p_fence": under_way["fence"],
            "p_outcome": { "kind": "completed", "message": "Late." },
        });
        Ok(chat.stack.rpc("finish_delivery", arguments).await?.1)
    }

    async fn expect_no_rows(&self) -> Result<()> {
        for table in TABLES {
            let rows = self.chat.count(&format!("{table} where session_id = '{}'", self.session.id)).await?;
            ensure!(rows == 0, "{table} has {rows} rows");
        }
        Ok(())
    }
}

#[tokio::test]
async fn calls_are_erased_with_their_session_and_the_shared_thread_keeps_their_outputs() -> Result<()> {
    for limit in [1, 1000] {
        let calls = WithCalls::new().await?;
        let WithCalls { chat, session, question, .. } = &calls;
        let other = chat.open().await?;
        let thread = &question.thread_id;
        other.answer(&chat.stack, &Question::in_thread(thread, "more"), "an answer").await?;
        chat.make_overdue(session).await?;
        let step = chat.erase_step(session, limit).await?;
        let waits = step["wait_seconds"].as_u64().unwrap_or_default();
        ensure!(step["erased"] == false && waits > 0, "erased during a call: {step}");
        let late = calls.finish().await?;
        ensure!(late["finished"] == true && late["call_output"]["status"] == "completed", "{late}");

        let history = async || -> Result<Value> {
            let history = sqlx::query_scalar("select chatkit_private.model_history($1, 1000000)");
            Ok(history.bind(thread).fetch_one(chat.stack.database()).await?)
        };
        let before = history().await?;
        let outputs = before["items"].as_array().into_iter().flatten();
        let outputs = outputs.filter(|item| item["type"] == "function_call_output").count();
        ensure!(outputs == 3, "{before:#}");
        chat.erase(session, limit).await?;
        calls.expect_no_rows().await?;
        ensure!(history().await? == before, "the model of the other session has lost its calls");

        chat.make_overdue(&other).await?;
        chat.erase(&other, limit).await?;
        ensure!(chat.count("chat_hidden_items").await? == 0, "outputs are left");
    }
    Ok(())
}

#[tokio::test]
async fn erasure_of_a_user_leaves_nothing_of_their_calls() -> Result<()> {
    let calls = WithCalls::new().await?;
    let WithCalls { chat, .. } = &calls;
    let user = |more: Value| {
        let mut arguments = json!({ "p_org_id": chat.user.org_id, "p_user_id": chat.user.id });
        for (name, value) in more.as_object().into_iter().flatten() {
            arguments[name] = value.clone();
        }
        arguments
    };
    let asked = user(json!({ "p_requested_by": "ops", "p_reason": "asked" }));
    rpc::call(&chat.stack, "begin_erasure", asked).await?;
    rpc::call(&chat.stack, "end_erased_sessions", user(json!({ "p_limit": 100 }))).await?;
    let step = rpc::call(&chat.stack, "erase_batch", user(json!({ "p_limit": 100 }))).await?;
    ensure!(step["left"] == true && step["wait_seconds"] != 0, "erased during a call: {step}");
    chat.execute("update deliveries set lease_until = now() where status = 'running'").await?;
    for _ in 0..200 {
        let step = rpc::call(&chat.stack, "erase_batch", user(json!({ "p_limit": 2 }))).await?;
        if step["left"] == false {
            break;
        }
        ensure!(step["wait_seconds"] == 0, "{step}");
    }
    rpc::call(&chat.stack, "finish_erasure", user(json!({}))).await?;
    calls.expect_no_rows().await?;
    ensure!(chat.count("chat_hidden_items").await? == 0 && chat.count("chat_threads").await? == 0);
    // A process that has its result only now brings nothing back.
    let late = calls.finish().await?;
    ensure!(late["finished"] != true, "{late}");
    calls.expect_no_rows().await
}
