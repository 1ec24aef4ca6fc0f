//! Repeats of the chat's RPCs long after the first request. Its response was lost, and the state has
//! changed since.

use anyhow::{Context, Result, ensure};
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use shared::domain::chat::{Appended, BeginOutcome, BegunCall, Finished};
use uuid::Uuid;

use super::Chat;
use super::calls::{begin, call, register_tool};
use crate::support::chat_rpc::{self as rpc, CHAT_AGENT, ChatSession, OTHER_CHAT_AGENT, Question, item};

/// What happens between the first request and its repeat.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The run is saved again.
    Save,
    Finish(&'static str),
    /// The process stops, and the run is settled.
    Interrupt,
    /// Another question of the thread is answered.
    NextQuestion,
    NextDay,
}
use Step::*;

/// A running answer of a user who has few tokens a day, so that each charge can be seen.
async fn begun(chat: &Chat, question: &Question) -> Result<ChatSession> {
    let limits = json!({
        "p_org_id": chat.user.org_id, "p_turns_per_minute_user": 100_000,
        "p_tokens_per_day_user": 1_000_000, "p_tokens_per_day_org": 1_000_000,
    });
    rpc::call(&chat.stack, "set_org_limits", limits).await?;
    let session = chat.open().await?;
    session.expect_begin(&chat.stack, question, "begun").await?;
    Ok(session)
}

fn save(question: &Question, chunk: u32) -> Value {
    let text = format!("part {chunk}");
    json!({
        "p_run_id": question.run_id, "p_chunk_seq": chunk, "p_events": [{ "chunk": chunk }],
        "p_items": [], "p_draft": [{ "id": "msg_draft", "type": "assistant_message", "text": text }],
        "p_counted_tokens": 1000 * chunk,
    })
}

fn finish(question: &Question, status: &str) -> Value {
    let message = item("assistant_message", &question.thread_id, "whole");
    json!({
        "p_run_id": question.run_id, "p_status": status, "p_chunk_seq": 3, "p_events": [],
        "p_items": [message], "p_input_tokens": 10, "p_output_tokens": 5,
    })
}

async fn run(chat: &Chat, session: &ChatSession, question: &Question, step: Step) -> Result<()> {
    match step {
        Save => drop(session.expect(&chat.stack, "append_chat_run", save(question, 2)).await?),
        Finish(status) => {
            session.expect(&chat.stack, "finish_chat_run", finish(question, status)).await?;
        }
        Interrupt => {
            rpc::end_lease(&chat.stack, question.run_id).await?;
            rpc::call(&chat.stack, "settle_chat_runs", json!({ "p_limit": 10 })).await?;
        }
        NextQuestion => {
            let next = Question::in_thread(&question.thread_id, "And the next one?");
            session.answer(&chat.stack, &next, "It is paid too.").await?;
        }
        NextDay => {
            chat.execute("update chat_runs set started_at = started_at - interval '25 hours'").await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn late_repeat_of_a_beginning_returns_its_run() -> Result<()> {
    for has_key in [false, true] {
        for (steps, expected) in [
            (&[][..], "begun running"),
            (&[Save], "begun running"),
            (&[Finish("completed")], "repeated completed"),
            (&[Finish("completed"), NextQuestion], "repeated completed"),
            (&[Finish("completed"), NextQuestion, NextDay], "repeated completed"),
            (&[Finish("failed")], "repeated failed"),
            (&[Finish("failed"), NextQuestion, NextDay], "repeated failed"),
            (&[Interrupt], "repeated interrupted"),
            (&[Interrupt, NextQuestion], "repeated interrupted"),
        ] {
            let chat = Chat::start().await?;
            let question = Question::in_new_thread("Pay");
            let question = if has_key { question.with_key("1") } else { question };
            let session = begun(&chat, &question).await?;
            for step in steps {
                run(&chat, &session, &question, *step).await?;
            }
            let before = chat.digest().await?;
            let (status, answer) = session.begin(&chat.stack, &question).await?;
            ensure!(status.is_success(), "{steps:?}: {status} {answer:#}");
            serde_json::from_value::<BeginOutcome>(answer.clone())
                .with_context(|| format!("{steps:?}: {answer:#}"))?;
            let found =
                [&answer["outcome"], &answer["status"]].map(|part| part.as_str().unwrap_or("running"));
            ensure!(found.join(" ") == expected, "{steps:?}: expected {expected}, found {answer:#}");
            ensure!(answer["run_id"] == json!(question.run_id), "{steps:?}: {answer:#}");
            ensure!(chat.digest().await? == before, "{steps:?}: the repeat has changed something");
        }
    }
    Ok(())
}

#[tokio::test]
async fn late_repeat_of_a_save_stores_nothing_older() -> Result<()> {
    for (steps, is_running) in [
        (&[][..], true),
        (&[Save], true),
        (&[Finish("completed")], false),
        (&[Finish("failed"), NextQuestion], false),
        (&[Interrupt], false),
    ] {
        let chat = Chat::start().await?;
        let question = Question::in_new_thread("Pay");
        let session = begun(&chat, &question).await?;
        session.expect(&chat.stack, "append_chat_run", save(&question, 1)).await?;
        for step in steps {
            run(&chat, &session, &question, *step).await?;
        }
        let before = chat.digest().await?;
        let answer = session.expect(&chat.stack, "append_chat_run", save(&question, 1)).await?;
        let appended: Appended =
            serde_json::from_value(answer.clone()).with_context(|| format!("{answer}"))?;
        let expected = (is_running, !is_running, is_running);
        ensure!((appended.running, appended.stop, appended.has_tokens) == expected, "{steps:?}: {answer}");
        ensure!(chat.digest().await? == before, "{steps:?}: the repeat has changed something");
    }
    Ok(())
}

#[tokio::test]
async fn late_repeat_of_an_end_reports_whether_it_is_recorded() -> Result<()> {
    for (steps, is_finished) in [
        (&[Finish("completed")][..], true),
        (&[Finish("completed"), NextQuestion, NextDay], true),
        (&[Interrupt], false),
        (&[Interrupt, NextQuestion], false),
    ] {
        let chat = Chat::start().await?;
        let question = Question::in_new_thread("Pay");
        let session = begun(&chat, &question).await?;
        for step in steps {
            run(&chat, &session, &question, *step).await?;
        }
        let before = chat.digest().await?;
        let answer = session.expect(&chat.stack, "finish_chat_run", finish(&question, "completed")).await?;
        let finished: Finished = serde_json::from_value(answer.clone())?;
        ensure!(finished.finished == is_finished, "{steps:?}: {answer}");
        ensure!(chat.digest().await? == before, "{steps:?}: the repeat has changed something");
    }
    Ok(())
}

/// A built-in tool has done its work once, whatever came after it.
#[tokio::test]
async fn late_repeat_of_a_built_in_tool_does_nothing() -> Result<()> {
    let chat = Chat::start().await?;
    for (tool, inputs, status, next) in [
        ("ask_person", json!({ "question": "Who?" }), "asked", false),
        ("set_task", json!({ "id": "vat", "title": "VAT", "status": "running" }), "completed", false),
        ("hand_over_to_agent", json!({ "agent_id": OTHER_CHAT_AGENT, "summary": "VAT" }), "completed", true),
        ("hand_over_to_agent", json!({ "agent_id": "unknown", "summary": "VAT" }), "refused", false),
    ] {
        let org_id = Uuid::new_v4();
        for agent in [CHAT_AGENT, OTHER_CHAT_AGENT] {
            let built_in = json!({ "p_built_in_tools": ["ask_person", "set_task", "hand_over_to_agent"] });
            chat.stack.register_self_hosted_agent(org_id, agent, built_in).await?;
        }
        let user = chat.stack.add_user(org_id, OrgRole::Member).await?;
        let session = rpc::open_session(&chat.stack, &user, CHAT_AGENT).await?;
        let question = Question::in_new_thread("Do it");
        session.expect_begin(&chat.stack, &question, "begun").await?;
        let request = |call_id: &str, tool: &str, inputs: &Value| {
            let item = json!({ "type": "function_call", "id": call_id, "call_id": call_id, "name": tool });
            json!({
                "p_run_id": question.run_id, "p_call_id": call_id, "p_tool": tool, "p_inputs": inputs,
                "p_call_item": item,
            })
        };
        let first = begin(&chat, &session, &request("call_1", tool, &inputs)).await?;
        ensure!(first["outcome"] == "ended" && first["output"]["status"] == status, "{first:#}");
        let other = json!({ "id": "vat", "title": "VAT", "status": "completed" });
        begin(&chat, &session, &request("call_2", "set_task", &other)).await?;
        if tool == "ask_person" {
            chat.execute(&format!(
                "update chat_escalations set expires_at = created_at + interval '1 microsecond'
                 where session_id = '{}'",
                session.id
            ))
            .await?;
            rpc::call(&chat.stack, "expire_escalations", json!({ "p_limit": 10 })).await?;
        }
        for has_ended in [false, true] {
            if has_ended {
                session.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?;
            }
            let before = chat.digest().await?;
            let again = begin(&chat, &session, &request("call_1", tool, &inputs)).await?;
            let parsed = serde_json::from_value::<BegunCall>(again.clone());
            let BegunCall::Ended { next_agent, .. } = parsed? else { anyhow::bail!("{again:#}") };
            ensure!(again["output"] == first["output"], "{tool}: {again:#}\n{first:#}");
            ensure!(next_agent.is_some() == (next && !has_ended), "{tool}, ended {has_ended}: {again:#}");
            ensure!(chat.digest().await? == before, "{tool}: the repeat has changed something");
        }
    }
    Ok(())
}

/// A person's click on a card, again after the call was made or closed.
#[tokio::test]
async fn late_repeat_of_a_click_decides_nothing() -> Result<()> {
    let chat = Chat::start().await?;
    for (decision, other) in [("approve", "reject"), ("reject", "approve")] {
        let org_id = Uuid::new_v4();
        rpc::register_agents(&chat.stack, org_id).await?;
        register_tool(&chat.stack, org_id, json!({ "policy": "confirm" })).await?;
        let user = chat.stack.add_user(org_id, OrgRole::Member).await?;
        let session = rpc::open_session(&chat.stack, &user, CHAT_AGENT).await?;
        let question = Question::in_new_thread("pay");
        session.expect_begin(&chat.stack, &question, "begun").await?;
        let held = begin(&chat, &session, &call(question.run_id, "call_1", json!({ "amount": 7 }))).await?;
        ensure!(held["outcome"] == "held", "{held:#}");
        session.finish(&chat.stack, question.run_id, "completed", Vec::new()).await?;
        let query = "select 'msg_' || replace(id::text, '-', ''), subject_hash from chat_escalations
                     where session_id = $1";
        let (item_id, hash): (String, String) =
            sqlx::query_as(query).bind(session.id).fetch_one(chat.stack.database()).await?;
        let click = |decision: &str| {
            json!({
                "p_thread_id": question.thread_id, "p_item_id": item_id, "p_decision": decision,
                "p_subject_hash": hash,
            })
        };
        let first = session.expect(&chat.stack, "decide_chat_card", click(decision)).await?;
        for claimed in chat.stack.claim_deliveries().await? {
            chat.stack.finish_delivery(&claimed, json!({ "kind": "completed", "message": "Paid." })).await?;
        }
        let before = chat.digest().await?;
        let again = session.expect(&chat.stack, "decide_chat_card", click(decision)).await?;
        ensure!(again["event"] == first["event"] && again["replayed"] == true, "{again:#}\n{first:#}");
        let resolved = (409, "escalation_resolved");
        session.expect_error(&chat.stack, "decide_chat_card", click(other), resolved).await?;
        ensure!(chat.digest().await? == before, "{decision}: the repeat has changed something");
    }
    Ok(())
}

/// The retries of one request record its events once, and charge them once.
#[tokio::test]
async fn late_repeat_of_a_change_of_a_thread_records_no_event() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("first");
    session.answer(&chat.stack, &question, "one").await?;
    // A charge stays visible.
    let limit = json!({ "p_org_id": chat.user.org_id, "p_events_per_minute_user": 100 });
    rpc::call(&chat.stack, "set_org_limits", limit).await?;
    let (thread, item_id) = (&question.thread_id, &question.items[0]["id"]);
    let feedback = |rating: &str, id: Uuid| {
        json!({
            "p_thread_id": thread, "p_item_ids": [item_id], "p_rating": rating, "p_feedback_id": id,
        })
    };
    let id = Uuid::new_v4();
    for (name, arguments) in [
        ("rename_chat_thread", json!({ "p_thread_id": thread, "p_title": "Invoices" })),
        ("record_chat_feedback", feedback("positive", id)),
        ("record_chat_feedback", feedback("negative", Uuid::new_v4())),
        // The first opinion again: as a repeat, and as a new one.
        ("record_chat_feedback", feedback("positive", Uuid::new_v4())),
        ("delete_chat_thread", json!({ "p_thread_id": thread })),
    ] {
        let before = chat.digest().await?;
        let first = session.expect(&chat.stack, name, arguments.clone()).await?;
        let after = chat.digest().await?;
        ensure!(after != before, "{name} changes nothing");
        let again = session.expect(&chat.stack, name, arguments).await?;
        ensure!(again == first, "{name}: {again} instead of {first}");
        if name == "record_chat_feedback" {
            session.expect(&chat.stack, name, feedback("positive", id)).await?;
        }
        ensure!(chat.digest().await? == after, "{name}: the repeat has changed something");
    }
    let types: Vec<String> = sqlx::query_scalar("select type from chat_events order by seq")
        .fetch_all(chat.stack.database())
        .await?;
    let expected = ["thread_renamed", "feedback", "feedback", "feedback", "thread_deleted"];
    ensure!(types == expected, "{types:?}");
    Ok(())
}
