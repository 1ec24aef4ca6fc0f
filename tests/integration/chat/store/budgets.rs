//! Budgets: answers at once, turns and tokens, under concurrent beginnings and repeats.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};

use super::Chat;
use crate::support::chat_rpc::{self as rpc, CHAT_AGENT, ChatSession, Question, end_lease, item};

/// Tokens that a run reserves: the default of an agent's `max_output_tokens`.
const RESERVED: i64 = 4096;

/// A limit of tokens, of which a bucket regains one a second.
const LIMIT: i64 = 100_000;

/// Tokens that a bucket may regain during a test.
const REGAINED: i64 = 300;

impl Chat {
    async fn set_limits(&self, mut limits: Value) -> Result<()> {
        limits["p_org_id"] = json!(self.user.org_id);
        rpc::call(&self.stack, "set_org_limits", limits).await?;
        Ok(())
    }

    /// The tokens that were taken out of the bucket of a user, or of the organisation.
    async fn used_tokens(&self, scope: &str) -> Result<i64> {
        let query = "select coalesce(max(round(
                       extract(epoch from t.full_at - clock_timestamp()) * $2 / 86400)), 0)::bigint
                     from public.throttles as t where t.kind = 'token' and t.scope = $1";
        let used = sqlx::query_scalar(query).bind(scope).bind(LIMIT);
        Ok(used.fetch_one(self.stack.database()).await?)
    }

    async fn charged(&self) -> Result<Vec<i64>> {
        let charged = sqlx::query_scalar("select charged_tokens from public.chat_runs order by started_at");
        Ok(charged.fetch_all(self.stack.database()).await?)
    }
}

/// Twelve sessions begin an answer at the same moment: of twelve users for a limit of the
/// organisation, and of four for a limit of a user.
#[tokio::test]
async fn concurrent_beginnings_are_admitted_up_to_the_limit() -> Result<()> {
    for (limits, expected, code) in [
        (json!({ "p_active_runs_org": 5 }), 5, "org_too_many_runs"),
        (json!({ "p_active_runs_user": 2 }), 8, "too_many_runs"),
        (json!({ "p_turns_per_minute_org": 7 }), 7, "org_rate_limited"),
        (json!({ "p_turns_per_minute_user": 1 }), 4, "rate_limited"),
        // Each run reserves its tokens before the next one is admitted.
        (json!({ "p_tokens_per_day_org": 6 * RESERVED - 100 }), 6, "org_tokens_used_up"),
        (json!({ "p_tokens_per_day_user": 2 * RESERVED - 100 }), 8, "tokens_used_up"),
    ] {
        let chat = Chat::start().await?;
        chat.set_limits(limits.clone()).await?;
        let mut sessions = Vec::new();
        let users = if code.starts_with("org_") { 12 } else { 4 };
        for _ in 0..users {
            let user = chat.stack.add_user(chat.user.org_id, OrgRole::Member).await?;
            for _ in 0..12 / users {
                sessions.push(rpc::open_session(&chat.stack, &user, CHAT_AGENT).await?);
            }
        }
        let questions: Vec<_> = sessions.iter().map(|_| Question::in_new_thread("Hello")).collect();
        // The buckets are locked until several beginnings wait for them.
        chat.execute(
            "insert into throttles (org_id, scope, subject, kind, full_at)
             select distinct s.org_id, 'user', s.user_id, 'token', now() from chat_sessions as s
             union select s.org_id, 'org', s.org_id, k.kind, now()
             from chat_sessions as s cross join (values ('token'), ('turn')) as k (kind)",
        )
        .await?;
        let mut holder = chat.stack.database().begin().await?;
        sqlx::query("select from throttles where kind in ('token', 'turn') for update")
            .execute(&mut *holder)
            .await?;
        let release = async {
            let waiting = "pg_stat_activity where wait_event_type = 'Lock'
                           and datname = current_database()";
            for _ in 0..200 {
                if chat.count(waiting).await? >= 4 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            holder.rollback().await?;
            anyhow::Ok(())
        };
        let begins =
            sessions.iter().zip(&questions).map(|(session, question)| session.begin(&chat.stack, question));
        let (responses, ()) = tokio::try_join!(try_join_all(begins), release)?;
        let begun = responses.iter().filter(|(_, body)| body["outcome"] == "begun").count();
        ensure!(begun == expected, "{limits}: expected {expected}, found {begun}: {responses:#?}");
        let refused = responses.iter().filter(|(status, body)| *status == 429 && body["message"] == code);
        ensure!(refused.count() == 12 - expected, "{limits}: {responses:#?}");
        let stored = chat.count("chat_runs").await?;
        ensure!(stored == expected as i64 && chat.count("chat_threads").await? == stored, "{limits}");
    }
    Ok(())
}

#[tokio::test]
async fn runs_at_once_are_those_with_a_lease() -> Result<()> {
    let chat = Chat::start().await?;
    chat.set_limits(json!({ "p_active_runs_user": 1 })).await?;
    let session = chat.open().await?;
    let first = Question::in_new_thread("one");
    session.expect_begin(&chat.stack, &first, "begun").await?;
    let (status, body) = session.begin(&chat.stack, &Question::in_new_thread("two")).await?;
    ensure!(status == 429 && body["message"] == "too_many_runs" && body["details"] == "5", "{body}");
    // Its process has stopped, and no other one has ended it.
    end_lease(&chat.stack, first.run_id).await?;
    let second = Question::in_new_thread("two");
    session.expect_begin(&chat.stack, &second, "begun").await?;
    session.finish(&chat.stack, second.run_id, "stopped", Vec::new()).await?;
    session.expect_begin(&chat.stack, &Question::in_new_thread("three"), "begun").await?;
    Ok(())
}

/// Begins a run and breaks it off: the model fails, or the process stops.
async fn break_off(chat: &Chat, session: &ChatSession, question: &Question, fails: bool) -> Result<()> {
    session.expect_begin(&chat.stack, question, "begun").await?;
    if fails {
        let arguments = json!({
            "p_run_id": question.run_id, "p_status": "failed", "p_chunk_seq": 1000, "p_events": [],
        });
        session.expect(&chat.stack, "finish_chat_run", arguments).await?;
    } else {
        end_lease(&chat.stack, question.run_id).await?;
    }
    Ok(())
}

#[tokio::test]
async fn repeated_and_taken_up_questions_are_charged_once() -> Result<()> {
    for (fails, charged) in [(false, vec![0, 15]), (true, vec![RESERVED, 15])] {
        let chat = Chat::start().await?;
        chat.set_limits(json!({
            "p_turns_per_minute_user": 1, "p_turns_per_minute_org": 1,
            "p_tokens_per_day_user": LIMIT, "p_tokens_per_day_org": LIMIT,
        }))
        .await?;
        let session = chat.open().await?;
        let question = Question::in_new_thread("Hello").with_key("1");
        break_off(&chat, &session, &question, fails).await?;
        // The turn is charged, so another question would be refused.
        let again = question.repeated();
        session.expect_begin(&chat.stack, &again, "begun").await?;
        for _ in 0..3 {
            // A lost response, and the same request to another process.
            session.expect_begin(&chat.stack, &again, "begun").await?;
            session.expect_begin(&chat.stack, &question.repeated(), "repeated").await?;
        }
        let answer = item("assistant_message", &question.thread_id, "whole");
        session.finish(&chat.stack, again.run_id, "completed", vec![answer]).await?;
        session.expect_begin(&chat.stack, &question.repeated(), "repeated").await?;
        ensure!(chat.charged().await? == charged, "fails: {fails}, {:?}", chat.charged().await?);
        for scope in ["user", "org"] {
            let used = chat.used_tokens(scope).await?;
            let sum: i64 = charged.iter().sum();
            ensure!((used - sum).abs() <= REGAINED, "{scope}: expected {sum}, found {used}");
        }
        let (status, body) = session.begin(&chat.stack, &Question::in_new_thread("more")).await?;
        ensure!(status == 429 && body["message"] == "rate_limited", "{status} {body}");
    }
    Ok(())
}

#[tokio::test]
async fn run_is_charged_for_the_tokens_that_the_model_counted() -> Result<()> {
    let chat = Chat::start().await?;
    let session = chat.open().await?;
    chat.set_limits(json!({ "p_tokens_per_day_user": LIMIT, "p_tokens_per_day_org": LIMIT })).await?;
    let question = Question::in_new_thread("Hello");
    let count = async |counted: i64, chunk: u32| {
        let arguments = json!({
            "p_run_id": question.run_id, "p_chunk_seq": chunk, "p_events": [], "p_counted_tokens": counted,
        });
        session.expect(&chat.stack, "append_chat_run", arguments).await
    };
    let expect_used = async |expected: i64, when: &str| {
        for scope in ["user", "org"] {
            let used = chat.used_tokens(scope).await?;
            ensure!((used - expected).abs() <= REGAINED, "{when}: {scope} expected {expected}, found {used}");
        }
        anyhow::Ok(())
    };
    session.expect_begin(&chat.stack, &question, "begun").await?;
    expect_used(RESERVED, "begun").await?;
    for _ in 0..2 {
        // A repeated call counts once.
        ensure!(count(5000, 1).await?["has_tokens"] == true);
        expect_used(5000 + RESERVED, "counted").await?;
    }
    for _ in 0..2 {
        ensure!(count(LIMIT + 10_000, 2).await?["has_tokens"] == false, "nothing is left");
    }
    let arguments = json!({
        "p_run_id": question.run_id, "p_status": "incomplete", "p_chunk_seq": 3, "p_events": [],
        "p_input_tokens": 20_000, "p_output_tokens": 400,
    });
    session.expect(&chat.stack, "finish_chat_run", arguments.clone()).await?;
    session.expect(&chat.stack, "finish_chat_run", arguments).await?;
    expect_used(20_400, "finished").await?;

    // Without a count, the reservation stays.
    let stopped = Question::in_thread(&question.thread_id, "more");
    session.expect_begin(&chat.stack, &stopped, "begun").await?;
    session.finish(&chat.stack, stopped.run_id, "stopped", Vec::new()).await?;
    expect_used(20_400 + RESERVED, "stopped").await
}

/// The erasure of a user does not give the organisation its tokens back.
#[tokio::test]
async fn tokens_of_an_organisation_stay_used_after_the_erasure_of_a_user() -> Result<()> {
    let chat = Chat::start().await?;
    chat.set_limits(json!({ "p_tokens_per_day_user": LIMIT, "p_tokens_per_day_org": 20_000 })).await?;
    let session = chat.open().await?;
    let question = Question::in_new_thread("Hello");
    session.expect_begin(&chat.stack, &question, "begun").await?;
    let finish = json!({
        "p_run_id": question.run_id, "p_status": "completed", "p_chunk_seq": 1, "p_events": [],
        "p_input_tokens": 20_000, "p_output_tokens": 1_000,
    });
    session.expect(&chat.stack, "finish_chat_run", finish).await?;

    let user = json!({ "p_org_id": chat.user.org_id, "p_user_id": chat.user.id });
    let with = |name: &str, value: Value| {
        let mut arguments = user.clone();
        arguments[name] = value;
        arguments
    };
    let mut begin = with("p_requested_by", json!("ops"));
    begin["p_reason"] = json!("a test");
    rpc::call(&chat.stack, "begin_erasure", begin).await?;
    rpc::call(&chat.stack, "end_erased_sessions", with("p_limit", json!(10))).await?;
    while rpc::call(&chat.stack, "erase_batch", user.clone()).await?["left"] == true {}
    rpc::call(&chat.stack, "finish_erasure", user.clone()).await?;

    let of_user = format!("throttles where scope = 'user' and subject = '{}'", chat.user.id);
    ensure!(chat.count("chat_runs").await? == 0 && chat.count(&of_user).await? == 0, "rows are left");
    let other = chat.stack.add_user(chat.user.org_id, OrgRole::Member).await?;
    let other = rpc::open_session(&chat.stack, &other, CHAT_AGENT).await?;
    let (status, body) = other.begin(&chat.stack, &Question::in_new_thread("Hello")).await?;
    ensure!(status == 429 && body["message"] == "org_tokens_used_up", "{status} {body}");
    Ok(())
}
