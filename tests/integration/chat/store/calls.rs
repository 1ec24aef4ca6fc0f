//! Calls of tools: `begin_chat_call`, and their place beside the session's queue.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Chat;
use crate::support::chat_rpc::{self as rpc, CHAT_AGENT, ChatSession, Question};

/// A chat whose agent has a tool, with a running answer.
pub(super) async fn running(fields: Value) -> Result<(Chat, ChatSession, Question)> {
    let chat = Chat::start().await?;
    register_tool(&chat.stack, chat.user.org_id, fields).await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("pay");
    let begun = session.expect_begin(&chat.stack, &question, "begun").await?;
    ensure!(begun["tools"][0]["name"] == "pay", "{begun:#}");
    Ok((chat, session, question))
}

/// Registers the tool of an organisation's agent. Without fields, it is called at once.
pub(super) async fn register_tool(stack: &LocalStack, org_id: Uuid, fields: Value) -> Result<()> {
    let mut tool = json!({
        "name": "pay", "policy": "auto", "risk": "low", "description": "Pays.",
        "input_schema": { "type": "object" }, "amount_pointer": "/amount",
    });
    tool.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let arguments = json!({
        "p_org_id": org_id, "p_agent_id": CHAT_AGENT, "p_url": "https://agents.example/mcp",
        "p_tools": [tool], "p_routes": [{ "tool": "pay", "event_type": "button_click" }],
    });
    rpc::call(stack, "register_agent_server", arguments).await?;
    Ok(())
}

pub(super) fn call(run_id: Uuid, call_id: &str, inputs: Value) -> Value {
    json!({
        "p_run_id": run_id, "p_call_id": call_id, "p_tool": "pay", "p_inputs": inputs,
        "p_call_item": { "type": "function_call", "id": call_id, "call_id": call_id, "name": "pay" },
    })
}

pub(super) async fn begin(chat: &Chat, session: &ChatSession, call: &Value) -> Result<Value> {
    session.expect(&chat.stack, "begin_chat_call", call.clone()).await
}

async fn states(chat: &Chat) -> Result<Vec<String>> {
    let query = "select concat_ws(' ', status, error) from deliveries order by seq";
    Ok(sqlx::query_scalar(query).fetch_all(chat.stack.database()).await?)
}

#[tokio::test]
async fn repeated_call_is_begun_once() -> Result<()> {
    for (fields, amount, outcome) in [
        (json!({}), 7, "begun"),
        (json!({ "policy": "ask" }), 7, "held"),
        (json!({ "refuse_above": 5 }), 7, "refused"),
    ] {
        let (chat, session, question) = running(fields).await?;
        let call = call(question.run_id, "call_1", json!({ "amount": amount }));
        let first = begin(&chat, &session, &call).await?;
        ensure!(first["outcome"] == outcome, "{first:#}");
        let again = begin(&chat, &session, &call).await?;
        ensure!(again == first, "{again:#}\n{first:#}");
        let hidden = chat.count("chat_hidden_items").await?;
        let expected = if outcome == "begun" { 1 } else { 2 };
        ensure!(hidden == expected && chat.count("deliveries").await? == 1, "{hidden} hidden items");
        ensure!(chat.count("chat_events where type = 'agent_call'").await? == 1);
    }
    Ok(())
}

#[tokio::test]
async fn call_needs_the_secret_of_its_running_answer() -> Result<()> {
    let (chat, session, question) = running(json!({})).await?;
    let call = call(question.run_id, "call_1", json!({}));
    let other = chat.open().await?;
    other.expect_error(&chat.stack, "begin_chat_call", call.clone(), (404, "run_not_found")).await?;
    chat.execute("update chat_runs set stop_requested_at = now()").await?;
    ensure!(begin(&chat, &session, &call).await? == json!({ "outcome": "stopped" }));
    chat.execute("update chat_runs set stop_requested_at = null").await?;
    session.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?;
    ensure!(begin(&chat, &session, &call).await? == json!({ "outcome": "stopped" }));
    ensure!(chat.count("deliveries").await? == 0);
    Ok(())
}

#[tokio::test]
async fn tool_that_is_not_offered_is_refused() -> Result<()> {
    let (chat, session, question) = running(json!({})).await?;
    chat.execute("update agent_tools set description = null").await?;
    let refused = begin(&chat, &session, &call(question.run_id, "call_1", json!({}))).await?;
    ensure!(refused == json!({ "outcome": "refused", "error": "tool_unavailable" }), "{refused}");
    Ok(())
}

#[tokio::test]
async fn one_call_of_a_turn_runs_at_a_time() -> Result<()> {
    let (chat, session, question) = running(json!({})).await?;
    ensure!(
        begin(&chat, &session, &call(question.run_id, "call_1", json!({ "a": 1 }))).await?["outcome"]
            == "begun"
    );
    let second = begin(&chat, &session, &call(question.run_id, "call_2", json!({ "a": 2 }))).await?;
    ensure!(second["error"] == "call_under_way", "{second}");
    Ok(())
}

/// Records a click, which is delivered to the agent.
async fn click(chat: &Chat, session: &ChatSession) -> Result<()> {
    let event = json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "action": "pay" } });
    let events = json!({
        "p_org_id": chat.user.org_id, "p_user_id": chat.user.id, "p_session_id": session.id,
        "p_actor_type": "user", "p_actor_id": chat.user.id, "p_events": [event],
    });
    rpc::call(&chat.stack, "record_events", events).await?;
    Ok(())
}

/// As many calls of turns as an agent has slots leave all slots to the queues.
#[tokio::test]
async fn calls_of_turns_take_no_slots() -> Result<()> {
    let chat = Chat::start().await?;
    register_tool(&chat.stack, chat.user.org_id, json!({})).await?;
    let mut sessions = Vec::new();
    for _ in 0..8 {
        let session = chat.open().await?;
        let question = Question::in_new_thread("pay");
        session.expect_begin(&chat.stack, &question, "begun").await?;
        let begun = begin(&chat, &session, &call(question.run_id, "call_1", json!({}))).await?;
        ensure!(begun["outcome"] == "begun", "{begun:#}");
        sessions.push(session);
    }
    for session in &sessions {
        click(&chat, session).await?;
    }
    let claimed = chat.stack.claim_deliveries().await?;
    ensure!(claimed.len() == sessions.len(), "{} of {} calls begin", claimed.len(), sessions.len());
    Ok(())
}

/// A turn's call neither waits for the session's queue nor holds it up, and no dispatcher claims it
/// before its lease is over.
#[tokio::test]
async fn call_of_a_turn_is_outside_the_queue_until_its_lease_is_over() -> Result<()> {
    for (idempotent, expected) in [(false, "unknown lease_over"), (true, "running")] {
        let (chat, session, question) = running(json!({ "idempotent": idempotent })).await?;
        let begun = begin(&chat, &session, &call(question.run_id, "call_1", json!({}))).await?;
        ensure!(begun["outcome"] == "begun", "{begun:#}");
        ensure!(chat.stack.claim_deliveries().await?.is_empty(), "the call is claimed");
        click(&chat, &session).await?;
        let claimed = chat.stack.claim_deliveries().await?;
        ensure!(claimed.len() == 1 && claimed[0]["event"]["type"] == "button_click", "{claimed:#?}");
        ensure!(states(&chat).await? == ["running", "running"]);
        chat.stack.finish_delivery(&claimed[0], json!({ "kind": "completed" })).await?;

        chat.execute("update deliveries set lease_until = now() where in_turn").await?;
        let claimed = chat.stack.claim_deliveries().await?;
        ensure!(claimed.len() == usize::from(idempotent), "{claimed:#?}");
        let found = states(&chat).await?;
        ensure!(found.contains(&expected.to_owned()), "{found:?}");
        // The turn's process is late: its fence is outdated, or the delivery is closed.
        let call = &begun["call"];
        let late = json!({ "p_delivery_id": call["id"], "p_fence": call["fence"], "p_outcome": { "kind": "completed" } });
        let late = rpc::call(&chat.stack, "finish_delivery", late).await?;
        ensure!(late["finished"] == false, "{late}");
        if let [repeated] = &claimed[..] {
            ensure!(repeated["idempotency_key"] == call["idempotency_key"], "{repeated:#}");
            chat.stack.finish_delivery(repeated, json!({ "kind": "completed", "message": "Paid." })).await?;
        }
        let kinds: Vec<String> = sqlx::query_scalar("select kind from chat_hidden_items order by thread_seq")
            .fetch_all(chat.stack.database())
            .await?;
        ensure!(kinds == ["function_call", "hidden_context_item"], "{kinds:?}");
        ensure!(chat.count("delivery_queues").await? == 0, "a queue is left");
    }
    Ok(())
}

#[tokio::test]
async fn result_is_the_output_of_the_call_and_not_a_message() -> Result<()> {
    let (chat, session, question) = running(json!({})).await?;
    let begun = begin(&chat, &session, &call(question.run_id, "call_1", json!({}))).await?;
    let call = &begun["call"];
    let finish = json!({
        "p_delivery_id": call["id"], "p_fence": call["fence"],
        "p_outcome": { "kind": "completed", "message": "Paid.", "output": { "id": 7 }, "notices": [] },
    });
    let finished = rpc::call(&chat.stack, "finish_delivery", finish.clone()).await?;
    let output = &finished["call_output"];
    ensure!(output["status"] == "completed" && output["call_id"] == "call_1", "{finished:#}");
    ensure!(output["data"] == json!({ "message": "Paid.", "output": { "id": 7 } }), "{finished:#}");
    ensure!(
        rpc::call(&chat.stack, "finish_delivery", finish).await? == finished,
        "a repeat returns the same"
    );
    let stored: Value =
        sqlx::query_scalar("select item from chat_hidden_items where kind = 'function_call_output'")
            .fetch_one(chat.stack.database())
            .await
            .context("one output")?;
    ensure!(stored["data"] == output["data"], "{stored:#}");
    ensure!(chat.count("chat_messages where kind is null").await? == 0, "the result is a message");
    Ok(())
}

/// Begins a call that is held. Returns the number of blocks that the database reads for it.
async fn blocks(chat: &Chat, session: &ChatSession, question: &Question, call_id: &str) -> Result<u64> {
    let explain = "explain (analyze, buffers, timing off, format json)
        select public.begin_chat_call($1, $2, $3, 'pay', jsonb_build_object('id', $3), $4)";
    let item = json!({ "type": "function_call", "id": call_id, "call_id": call_id, "name": "pay" });
    let plan = sqlx::query_scalar(explain).bind(&session.secret).bind(question.run_id);
    let plan: Value = plan.bind(call_id).bind(item).fetch_one(chat.stack.database()).await?;
    let blocks = |name: &str| plan[0]["Plan"][name].as_u64().unwrap_or_default();
    Ok(blocks("Shared Hit Blocks") + blocks("Shared Read Blocks"))
}

#[tokio::test]
async fn call_reads_as_much_with_100000_other_deliveries() -> Result<()> {
    let (chat, session, question) = running(json!({ "policy": "ask" })).await?;
    // The first calls of a connection also read the catalogue.
    for number in 0..3 {
        blocks(&chat, &session, &question, &format!("first_{number}")).await?;
    }
    let before = blocks(&chat, &session, &question, "few").await?;
    chat.execute_without_triggers(
        "insert into deliveries (id, org_id, user_id, session_id, event_id, seq, agent_id, tool,
           about_event_id, root_event_id, status, run_id, call_id, fence, finished_at)
         select gen_random_uuid(), d.org_id, d.user_id, md5(n::text)::uuid, gen_random_uuid(), 1,
           d.agent_id, d.tool, d.event_id, d.event_id, 'done',
           case when n % 2 = 0 then md5((n / 8)::text)::uuid end,
           case when n % 4 = 0 then 'call_' || n end, 1, now()
         from (select * from deliveries limit 1) as d, generate_series(1, 100000) as n",
    )
    .await?;
    chat.execute("analyze deliveries").await?;
    for number in 0..3 {
        blocks(&chat, &session, &question, &format!("again_{number}")).await?;
    }
    let after = blocks(&chat, &session, &question, "many").await?;
    ensure!(after <= before + 100, "{before} blocks with few deliveries, {after} with many");
    ensure!(chat.count("deliveries where status = 'asked'").await? == 8, "a call was not held");
    Ok(())
}
