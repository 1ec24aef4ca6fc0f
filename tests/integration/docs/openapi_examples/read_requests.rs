//! Preparation of the examples of `GET` operations, `cancel-session` and `stop-response`.

use anyhow::{Context, Result, bail};
use jiff::Timestamp;
use local_stack::openai::Fault;
use serde_json::{Value, json};
use uuid::Uuid;

use super::preparation::{CLICK_EVENT, ESCALATION_EVENT, IDEMPOTENCY_KEY};
use crate::docs::example_env::{ESCALATION_ID, ExampleEnv, Request, SESSION_ID, SUBJECT_HASH, THREAD_ID};
use crate::support::openapi_document::Operation;
use crate::support::self_hosted::{SelfHostedSession, thread_id};

/// Ids of events in the examples.
pub const PAYMENT_EVENT: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c20";
const THREAD_EVENT: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c10";

/// The cursor of the example `changes`.
const CHANGE_CURSOR: &str = "NzQwOjc0MDo";

/// A cursor after all escalations.
const LAST_ESCALATION: &str =
    "d2FpdGluZy45OTk5OTk5OTk5OTk5OTk5LjAxOWFhYTAwLTdjMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMQ";

pub async fn prepare(
    env: &mut ExampleEnv,
    operation: &Operation<'_>,
    valid: Request,
    example: &str,
) -> Result<Request> {
    match (operation.id, example) {
        (_, "sessionNotFound") => Ok(valid.with_id(operation, &Uuid::new_v4().to_string())),
        (_, "invalidRequest") => Ok(valid.with_query("limit=0")),
        ("list-sessions" | "list-changes", "scopeForbidden") => Ok(valid.with_query("scope=organisation")),
        ("list-sessions", "page") => {
            // The page contains the session. The new session, which is less recently active,
            // follows.
            let session = env.matcher.substitute(SESSION_ID);
            env.new_session().await?;
            env.caller
                .record_event(&format!("/chatkit/sessions/{session}"), "custom_click", json!({}))
                .await?;
            Ok(valid.with_query("limit=1"))
        }
        ("list-escalations", "page") => {
            let id = env.hold_payment(PAYMENT_EVENT).await?;
            let claim = format!("/chatkit/escalations/{id}/claim");
            env.approver.post(&claim, json!({})).await?.expect(200)?;
            // A newer escalation follows the page.
            env.open_escalation(&Uuid::new_v4().to_string(), json!({})).await?;
            Ok(valid.with_query("limit=1").with_token(Some(env.approver.token.clone())))
        }
        ("list-escalations", "lastPage") => Ok(valid.with_query(&format!("cursor={LAST_ESCALATION}"))),
        ("list-sessions", "lastPage") => {
            Ok(valid.with_query(&format!("cursor={}", query_example(operation, "cursor")?)))
        }
        ("list-messages", "page") => {
            let message = |n: u32| {
                let content = if n == 21 { "Invoice 42 is due tomorrow." } else { "Before that." };
                json!({ "id": Uuid::new_v4(), "role": "agent", "content": content })
            };
            let messages: Vec<Value> = (1..=21).map(message).collect();
            env.record_by_rpc("record_messages", "p_messages", json!(messages)).await?;
            Ok(valid.with_query(&format!("cursor={}", query_example(operation, "cursor")?)))
        }
        ("list-messages", "allKinds") => {
            let session = SelfHostedSession::open(&env.stack).await?;
            let thread = thread_id();
            session.begin_run(&env.stack, &thread, "Is invoice 42 paid?").await?;
            session.delete_thread(&env.stack, &thread).await?;
            let id = session.path.rsplit('/').next().context("no id")?;
            let request = valid.with_id(operation, id).with_query("kinds=all");
            Ok(request.with_token(Some(session.caller.token.clone())))
        }
        ("list-events", "page") => {
            let click = json!({ "id": CLICK_EVENT, "type": "button_click", "payload": { "action": "approve" },
                                "occurredAt": "2026-11-22T10:04:58Z" });
            let first = json!({ "id": Uuid::new_v4(), "type": "custom_first" });
            env.caller.post(&env.events_path(), json!([first, click])).await?.expect(201)?;
            Ok(valid.with_query("sort=newest&limit=1"))
        }
        ("list-changes", "first") => Ok(valid),
        ("list-changes", "changes") => {
            let first = env.send(&valid).await?;
            let since = first.body["cursor"].as_str().context("no cursor")?;
            let request = valid.clone().with_query(&format!("since={since}"));
            env.open_escalation(ESCALATION_EVENT, json!({})).await?;
            Ok(request)
        }
        ("list-changes", "unchanged") => {
            Ok(valid.with_query(&format!("since={}", env.matcher.substitute(CHANGE_CURSOR))))
        }
        ("list-changes", "malformedSince") => Ok(valid.with_query("since=none-of-ours")),
        ("list-changes", "unknownScope") => Ok(valid.with_query("scope=all")),
        ("get-session", "session") => {
            add_documented_rows(env).await?;
            Ok(valid)
        }
        ("get-session", "withoutThreads") => {
            let session = env.new_session().await?;
            env.matcher.set(SESSION_ID, &session);
            Ok(valid.with_id(operation, &session).with_query("include=none"))
        }
        ("get-session", "unknownInclude") => Ok(valid.with_query("include=everything")),
        ("get-session", "rateLimited") => {
            env.set_limits(json!({ "p_thread_reads_per_minute_user": 1 })).await?;
            env.send(&valid).await?;
            Ok(valid)
        }
        ("cancel-session", "rateLimited") => {
            env.exhaust_idempotency_keys().await?;
            Ok(valid.with_header(IDEMPOTENCY_KEY, "one-too-many"))
        }
        ("get-session", "withoutChatkit") => {
            let session = env.ended_session().await?;
            env.stack.openai().add_fault(Fault::everywhere().status(503));
            env.matcher.set(SESSION_ID, &session);
            Ok(valid.with_id(operation, &session))
        }
        ("get-metrics", "metrics") => {
            add_history(env).await?;
            let today = Timestamp::now().as_second() / 86_400 * 86_400;
            let (from, to) = (Timestamp::from_second(today)?, Timestamp::from_second(today + 86_400)?);
            Ok(valid.with_query(&format!("from={from}&to={to}&groupBy=agent")))
        }
        ("get-metrics", "metricsForbidden") => Ok(valid.with_token(Some(env.caller.token.clone()))),
        ("get-metrics", "fromAfterTo") => {
            Ok(valid.with_query("from=2026-11-23T00:00:00Z&to=2026-11-22T00:00:00Z"))
        }
        ("cancel-session", "cancelled") | ("stop-response", "stopped") | ("list-agents", "agents") => {
            Ok(valid)
        }
        _ => bail!("the example {example} has no preparation"),
    }
}

/// Adds a cancelled session, and an escalation that is opened after 90 seconds and decided after 60
/// more.
async fn add_history(env: &mut ExampleEnv) -> Result<()> {
    env.ended_session().await?;
    env.open_escalation(ESCALATION_EVENT, json!({})).await?;
    let path = format!("/chatkit/escalations/{}/decision", env.matcher.substitute(ESCALATION_ID));
    let hash = env.matcher.substitute(SUBJECT_HASH);
    env.caller.post(&path, json!({ "decision": "approve", "subjectHash": hash })).await?.expect(200)?;
    let mut connection = env.stack.database().acquire().await?;
    for statement in [
        "set session_replication_role = replica",
        "update public.chat_escalations as x
         set created_at = s.created_at + interval '90 seconds',
             decided_at = s.created_at + interval '150 seconds',
             closed_at = s.created_at + interval '150 seconds'
         from public.chat_sessions as s
         where s.id = x.session_id",
        "reset session_replication_role",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Adds the rows of the documented session: a thread, a task, events and an escalation.
async fn add_documented_rows(env: &mut ExampleEnv) -> Result<()> {
    env.create_thread("Invoice 42").await?;
    let thread = env.matcher.substitute(THREAD_ID);
    let task = json!([{
        "id": "pay-42", "title": "Pay invoice 42", "status": "blocked", "requires_hitl": true,
        "description": "Waits for the approval of the amount.", "due_at": "2026-11-30T12:00:00Z",
    }]);
    env.record_by_rpc("record_tasks", "p_tasks", task).await?;
    let events = json!([
        { "id": THREAD_EVENT, "type": "thread_changed", "payload": { "threadId": thread } },
        { "id": CLICK_EVENT, "type": "button_click", "payload": { "action": "approve" },
          "occurredAt": "2026-11-22T10:04:59Z" },
        { "id": ESCALATION_EVENT, "type": "hitl_escalation", "payload": {
            "reason": "The amount is above my limit", "decisions": ["approve", "reject"],
            "expiresInSeconds": 86400 } },
    ]);
    env.caller.post(&env.events_path(), events).await?.expect(201)?;
    Ok(())
}

fn query_example<'a>(operation: &Operation<'a>, parameter: &str) -> Result<&'a str> {
    let examples = operation.parameters("query")?;
    let example = examples.into_iter().find(|(name, _)| *name == parameter);
    let text = example.and_then(|(_, value)| value.as_str());
    text.with_context(|| format!("{} has no example of {parameter}", operation.id))
}
