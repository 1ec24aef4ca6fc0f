//! How the circumstances of each example come about.

use std::time::Duration;

use anyhow::{Result, bail};
use jiff::Timestamp;
use local_stack::openai::{Fault, Operation as On};
use local_stack::supabase;
use serde_json::{Value, json};
use uuid::Uuid;

use super::scenario::{ESCALATION, HASH, Request, SESSION, Stage};
use crate::support::client::AGENT;
use crate::support::openapi_document::Operation;

/// The header of idempotency keys.
const KEY: &str = "idempotency-key";

/// Events as the scenes need them beside those of the examples.
const CLICK: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c01";
const ASKED: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c02";
const QUESTION: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c06";
const PAYMENT: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c20";
const THREAD_CHANGED: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c10";

/// Makes everything so that the answer is the example's, and says what to send. What only this example needs is undone by
/// [`strike`].
pub async fn arrange(stage: &mut Stage, operation: &Operation<'_>, name: &str) -> Result<Request> {
    match (operation.id, name) {
        ("record-events", "decision") => stage.show(&stage.likeness.filled(ESCALATION)).await?,
        ("decide-escalation", "approve") => stage.ask(ASKED, json!({})).await?,
        ("decide-escalation", "respond") => stage.ask(QUESTION, question()).await?,
        _ => {}
    }
    let plain = stage.request(operation)?;
    if let Some((_, body)) = operation.bodies()?.into_iter().find(|(example, _)| *example == name) {
        if name == "refresh" {
            stage.age_secret(60).await?;
        }
        let headers = operation.headers(name);
        return Ok(Request { headers, ..plain.with(&stage.likeness.filled_in(body)?) });
    }
    match name {
        "missingToken" => Ok(plain.by(None)),
        "expiredToken" => {
            let expired = stage.stack.issuer().forge(&stage.caller.user).expired(120).sign();
            Ok(plain.by(Some(expired)))
        }
        "noOrganisation" => {
            let none = stage.stack.issuer().forge(&stage.caller.user).without("app_metadata").sign();
            Ok(plain.by(Some(none)))
        }
        "supabaseUnavailable" => {
            stage.stack.supabase().fault(supabase::Fault::Down).await;
            Ok(plain)
        }
        "invalidIdempotencyKey" => Ok(plain.header(KEY, "two words")),
        "malformedId" => Ok(plain.about(operation, "42")),
        "malformedCursor" => Ok(plain.at("?cursor=none-of-ours")),
        _ => match operation.id {
            "create-session" => opening(stage, plain, name).await,
            "record-events" => recording(stage, operation, plain, name).await,
            "decide-escalation" => deciding(stage, operation, name).await,
            _ => reading(stage, operation, plain, name).await,
        },
    }
}

/// Undoes what would be in the way of the next example.
pub async fn strike(stage: &Stage) {
    stage.stack.openai().clear_faults();
    stage.stack.supabase().fault(supabase::Fault::None).await;
    for forget in [
        "delete from public.throttles",
        "delete from public.org_limits",
        "drop policy if exists mfa on public.chat_sessions",
    ] {
        // Where nothing was counted there is nothing to forget.
        let _ = sqlx::query(forget).execute(stage.stack.database()).await;
    }
}

async fn opening(stage: &mut Stage, plain: Request, name: &str) -> Result<Request> {
    let resume = |session: String| json!({ "sessionId": session, "purpose": "resume" });
    let body = match name {
        "malformedBody" => return Ok(Request { body: Some("{]".to_owned()), ..plain }),
        "invalidRequest" => json!({}),
        "agentUnavailable" => json!({ "agentId": "nobody" }),
        "agentForbidden" => {
            stage.another_agent("cfo_strategy", &["owner"]).await?;
            json!({ "agentId": "cfo_strategy" })
        }
        "workflowNotFound" => {
            stage.another_agent("mistaken", &["member"]).await?;
            json!({ "agentId": "mistaken" })
        }
        "chatkitUnavailable" => {
            stage.stack.openai().fault(Fault::new(On::CreateSession).status(503));
            json!({ "agentId": AGENT })
        }
        "sessionEnded" => resume(stage.ended_session().await?),
        "stillRunning" => {
            let slowly = Fault::new(On::CreateSession).late(Duration::from_secs(2)).times(1);
            stage.stack.openai().fault(slowly);
            let keyed = plain.with(&json!({ "agentId": AGENT })).header(KEY, "running");
            let running = stage.sending(&keyed);
            tokio::spawn(running);
            tokio::time::sleep(Duration::from_millis(700)).await;
            return Ok(keyed);
        }
        "idempotencyKeyReused" => {
            let first = plain.clone().with(&json!({ "agentId": AGENT })).header(KEY, "used");
            stage.send(&first).await?;
            return Ok(plain.with(&json!({ "agentId": AGENT, "channel": "voice" })).header(KEY, "used"));
        }
        "rateLimited" => {
            stage.limit(json!({ "p_secrets_per_minute_user": 1 })).await?;
            stage.new_session().await?;
            json!({ "agentId": AGENT })
        }
        "tooManySessions" => {
            stage.new_session().await?;
            stage.limit(json!({ "p_active_sessions_user": 1 })).await?;
            json!({ "agentId": AGENT })
        }
        "rowPolicyRefused" => {
            let demand =
                "create policy mfa on public.chat_sessions as restrictive for select to authenticated
                using ((select auth.jwt() ->> 'aal') = 'aal2')";
            sqlx::query(demand).execute(stage.stack.database()).await?;
            json!({ "agentId": AGENT })
        }
        "sessionNotFound" => resume(Uuid::new_v4().to_string()),
        _ => bail!("nobody knows how this comes about"),
    };
    Ok(plain.with(&body))
}

async fn recording(stage: &Stage, operation: &Operation<'_>, plain: Request, name: &str) -> Result<Request> {
    let event =
        |kind: &str, payload: Value| json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload });
    match name {
        "malformedBody" => Ok(Request { body: Some("{]".to_owned()), ..plain }),
        "invalidRequest" => Ok(plain.with(&json!([
            event("button_click", json!({ "action": "" })),
            event("button_click", json!({ "action": "approve" })),
            event("button_clicked", json!({})),
        ]))),
        "rateLimited" => {
            stage.limit(json!({ "p_events_per_minute_session": 100 })).await?;
            let hundred: Value = (0..100).map(|_| event("custom_x", json!({}))).collect();
            stage.send(&plain.clone().with(&hundred)).await?;
            Ok(plain.with(&event("custom_x", json!({}))))
        }
        "agentForbidden" => {
            stage.another_agent("cfo_strategy", &["owner"]).await?;
            Ok(plain.with(&event("handover", json!({ "agentId": "cfo_strategy" }))))
        }
        "sessionEnded" => Ok(plain.about(operation, &stage.ended_session().await?)),
        "sessionNotFound" => Ok(plain.about(operation, &Uuid::new_v4().to_string())),
        "eventConflict" => Ok(plain.with(
            &json!({ "id": CLICK, "type": "button_click", "payload": { "action": "something else" } }),
        )),
        _ => bail!("nobody knows how this comes about"),
    }
}

async fn deciding(stage: &mut Stage, operation: &Operation<'_>, name: &str) -> Result<Request> {
    let mut body = json!({ "decision": "approve", "subjectHash": HASH });
    match name {
        "escalationNotFound" => stage.likeness.put(ESCALATION, &Uuid::new_v4().to_string()),
        "ownRequest" => {
            let id = stage.hold(&Uuid::new_v4().to_string()).await?;
            stage.show(&id).await?;
        }
        "invalidAnswer" => {
            stage.ask(&Uuid::new_v4().to_string(), question()).await?;
            body["decision"] = json!("respond");
            body["answer"] = json!({ "account": 7 });
        }
        _ => stage.ask(&Uuid::new_v4().to_string(), json!({})).await?,
    }
    body["subjectHash"] = json!(stage.likeness.filled(HASH));
    let mut request = stage.request(operation)?;
    match name {
        "oauthClientForbidden" => {
            let client = stage.stack.issuer().forge(&stage.caller.user).claim("client_id", "an-application");
            request.token = Some(client.sign());
        }
        "rateLimited" => {
            stage.use_up_keys().await?;
            request = request.header(KEY, "one-too-many");
        }
        "escalationResolved" => {
            stage.send(&request.clone().with(&body)).await?;
            body["decision"] = json!("reject");
        }
        "subjectChanged" => body["subjectHash"] = json!("0".repeat(64)),
        "escalationClosed" => {
            let session = stage.likeness.filled(SESSION);
            stage.caller.cancel(&format!("/chatkit/sessions/{session}")).await?.expect(200)?;
            stage.open().await?;
        }
        "decisionNotOffered" => body["decision"] = json!("edit"),
        "escalationNotFound" | "ownRequest" | "invalidAnswer" => {}
        _ => bail!("nobody knows how this comes about"),
    }
    Ok(request.with(&body))
}

/// A question that wants an answer.
fn question() -> Value {
    json!({ "reason": "The account is missing", "decisions": ["respond"], "schema": {
        "type": "object", "required": ["account"], "properties": { "account": { "type": "string", "maxLength": 34 } } } })
}

async fn reading(
    stage: &mut Stage,
    operation: &Operation<'_>,
    plain: Request,
    name: &str,
) -> Result<Request> {
    match (operation.id, name) {
        (_, "sessionNotFound") => Ok(plain.about(operation, &Uuid::new_v4().to_string())),
        (_, "invalidRequest") => Ok(plain.at("?limit=0")),
        ("list-sessions", "scopeForbidden") => Ok(plain.at("?scope=organisation")),
        ("list-sessions", "page") => {
            // An older one, so that there is a page after this.
            let session = stage.likeness.filled(SESSION);
            stage.new_session().await?;
            stage.caller.record(&format!("/chatkit/sessions/{session}"), "custom_click", json!({})).await?;
            Ok(plain.at("?limit=1"))
        }
        ("list-escalations", "page") => {
            stage.hold(PAYMENT).await?;
            // A younger one, so that there is a page after this.
            stage.ask(&Uuid::new_v4().to_string(), json!({})).await?;
            Ok(plain.at("?limit=1"))
        }
        ("list-escalations", "lastPage") => {
            // After all of them.
            Ok(plain.at("?cursor=OTk5OTk5OTk5OTk5OTk5OS4wMTlhYWEwMC03YzAwLTcwMDAtODAwMC0wMDAwMDAwMDAwMDE"))
        }
        ("list-sessions", "lastPage") => Ok(plain.at(&format!("?cursor={}", example(operation, "cursor")?))),
        ("list-messages", "page") => {
            let message = |n: u32| {
                json!({ "id": Uuid::new_v4(), "role": "agent",
                    "content": if n == 21 { "Invoice 42 is due tomorrow." } else { "Before that." } })
            };
            let messages: Vec<Value> = (1..=21).map(message).collect();
            stage.rpc("record_messages", "p_messages", json!(messages)).await?;
            Ok(plain.at(&format!("?cursor={}", example(operation, "cursor")?)))
        }
        ("get-session", "session") => {
            fill(stage).await?;
            Ok(plain)
        }
        ("get-session", "withoutThreads") => {
            let session = stage.new_session().await?;
            stage.likeness.put(SESSION, &session);
            Ok(plain.about(operation, &session).at("?include=none"))
        }
        ("get-session", "unknownInclude") => Ok(plain.at("?include=everything")),
        ("get-session", "rateLimited") => {
            stage.limit(json!({ "p_thread_reads_per_minute_user": 1 })).await?;
            stage.send(&plain).await?;
            Ok(plain)
        }
        ("cancel-session", "rateLimited") => {
            stage.use_up_keys().await?;
            Ok(plain.header(KEY, "one-too-many"))
        }
        ("get-session", "withoutChatkit") => {
            let session = stage.ended_session().await?;
            stage.stack.openai().fault(Fault::everywhere().status(503));
            stage.likeness.put(SESSION, &session);
            Ok(plain.about(operation, &session))
        }
        ("get-metrics", "metrics") => {
            some_history(stage).await?;
            let today = Timestamp::now().as_second() / 86_400 * 86_400;
            let (from, to) = (Timestamp::from_second(today)?, Timestamp::from_second(today + 86_400)?);
            Ok(plain.at(&format!("?from={from}&to={to}&groupBy=agent")))
        }
        ("get-metrics", "metricsForbidden") => Ok(plain.by(Some(stage.caller.token.clone()))),
        ("get-metrics", "fromAfterTo") => Ok(plain.at("?from=2026-11-23T00:00:00Z&to=2026-11-22T00:00:00Z")),
        ("cancel-session", "cancelled") | ("list-agents", "agents") => Ok(plain),
        _ => bail!("nobody knows how this comes about"),
    }
}

/// Beside the session a cancelled one; and in the session a question, asked after a minute and a half, and answered a minute later.
async fn some_history(stage: &mut Stage) -> Result<()> {
    stage.ended_session().await?;
    stage.ask(ASKED, json!({})).await?;
    let (id, hash) = (stage.likeness.filled(ESCALATION), stage.likeness.filled(HASH));
    let path = format!("/chatkit/escalations/{id}/decision");
    stage.caller.post(&path, json!({ "decision": "approve", "subjectHash": hash })).await?.expect(200)?;
    let mut connection = stage.stack.database().acquire().await?;
    for statement in [
        "set session_replication_role = replica",
        "update public.chat_escalations as x
         set created_at = s.created_at + interval '90 seconds', decided_at = s.created_at + interval '150 seconds',
             closed_at = s.created_at + interval '150 seconds'
         from public.chat_sessions as s
         where s.id = x.session_id",
        "reset session_replication_role",
    ] {
        sqlx::query(statement).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Puts into the session what a page shows: a thread, events, a task, an escalation.
async fn fill(stage: &mut Stage) -> Result<()> {
    stage.begin_thread("Invoice 42").await?;
    let thread = stage.likeness.filled(super::scenario::THREAD);
    let task =
        json!([{ "id": "pay-42", "title": "Pay invoice 42", "status": "blocked", "requires_hitl": true }]);
    stage.rpc("record_tasks", "p_tasks", task).await?;
    let events = json!([
        { "id": THREAD_CHANGED, "type": "thread_changed", "payload": { "threadId": thread } },
        { "id": CLICK, "type": "button_click", "payload": { "action": "approve" }, "occurredAt": "2026-11-22T10:04:59Z" },
        { "id": ASKED, "type": "hitl_escalation", "payload": {
            "reason": "The amount is above my limit", "decisions": ["approve", "reject"], "expiresInSeconds": 86400 } },
    ]);
    let path = format!("/chatkit/sessions/{}/events", stage.likeness.filled(SESSION));
    stage.caller.post(&path, events).await?.expect(201)?;
    Ok(())
}

/// The example of a parameter in the query.
fn example<'a>(operation: &Operation<'a>, parameter: &str) -> Result<&'a str> {
    let examples = operation.parameters("query")?;
    let found =
        examples.into_iter().find(|(name, _)| *name == parameter).and_then(|(_, value)| value.as_str());
    found.ok_or_else(|| anyhow::anyhow!("{} has no example of {parameter}", operation.id))
}
