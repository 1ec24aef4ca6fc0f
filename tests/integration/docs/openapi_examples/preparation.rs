//! Preparation of the circumstances of each example.

use std::time::Duration;

use anyhow::{Result, bail};
use local_stack::model::Script;
use local_stack::openai::{Fault, Operation as OpenAiOperation};
use local_stack::supabase;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{escalation_requests, read_requests};
use crate::docs::example_env::{ESCALATION_ID, ExampleEnv, Request, SESSION_ID, SUBJECT_HASH};
use crate::support::client::AGENT;
use crate::support::openapi_document::Operation;

pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Ids of events in the examples.
pub const CLICK_EVENT: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c01";
pub const ESCALATION_EVENT: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c02";
const QUESTION_EVENT: &str = "6a1c5a7e-0f5e-4f1e-9c55-1d2f3a4b5c06";

/// Prepares everything that the response of an example needs, and returns the request. [`reset`]
/// undoes it.
pub async fn prepare(env: &mut ExampleEnv, operation: &Operation<'_>, example: &str) -> Result<Request> {
    match (operation.id, example) {
        ("record-events", "decision") => {
            env.set_escalation(&env.matcher.substitute(ESCALATION_ID)).await?;
        }
        ("decide-escalation", "approve") => env.open_escalation(ESCALATION_EVENT, json!({})).await?,
        ("serve-chatkit", "createThread") => {
            env.stack.model().script(Script::new().deltas(["Invoice 42 is paid."]));
        }
        ("claim-escalation", "claim") => escalation_requests::hold_documented_payment(env).await?,
        ("decide-escalation", "respond") => env.open_escalation(QUESTION_EVENT, question()).await?,
        _ => {}
    }
    let valid = env.request(operation)?;
    if let Some((_, body)) = operation.bodies()?.into_iter().find(|(name, _)| *name == example) {
        if example == "refresh" {
            env.expire_secrets_in(60).await?;
        }
        let headers = operation.headers(example);
        return Ok(Request { headers, ..valid.with_body(&env.matcher.substitute_in(body)?) });
    }
    match example {
        "missingToken" => Ok(valid.with_token(None)),
        "expiredToken" => {
            let expired = env.stack.issuer().token_builder(&env.caller.user).expired(120).sign();
            Ok(valid.with_token(Some(expired)))
        }
        "noOrganisation" => {
            let token = env.stack.issuer().token_builder(&env.caller.user).without("app_metadata").sign();
            Ok(valid.with_token(Some(token)))
        }
        "supabaseUnavailable" => {
            env.stack.supabase().set_fault(supabase::Fault::Down).await;
            Ok(valid)
        }
        "invalidIdempotencyKey" => Ok(valid.with_header(IDEMPOTENCY_KEY, "two words")),
        "malformedId" => Ok(valid.with_id(operation, "42")),
        "malformedCursor" => Ok(valid.with_query("cursor=none-of-ours")),
        _ => match operation.id {
            "create-session" => create_session(env, valid, example).await,
            "record-events" => record_events(env, operation, valid, example).await,
            "decide-escalation" => decide_escalation(env, operation, example).await,
            "serve-chatkit" => serve_chatkit(valid, example),
            "get-escalation" | "claim-escalation" | "release-escalation" => {
                escalation_requests::prepare(env, operation, valid, example).await
            }
            _ => read_requests::prepare(env, operation, valid, example).await,
        },
    }
}

/// Removes faults, limits, used quotas and policies that would affect the next example.
pub async fn reset(env: &ExampleEnv) {
    env.stack.openai().clear_faults();
    env.stack.supabase().set_fault(supabase::Fault::None).await;
    for statement in [
        "delete from public.throttles",
        "delete from public.org_limits",
        "drop policy if exists mfa on public.chat_sessions",
    ] {
        // The next example fails if a row is left.
        let _ = sqlx::query(statement).execute(env.stack.database()).await;
    }
}

async fn create_session(env: &mut ExampleEnv, valid: Request, example: &str) -> Result<Request> {
    let resume = |session: String| json!({ "sessionId": session, "purpose": "resume" });
    let body = match example {
        "malformedBody" => return Ok(Request { body: Some("{]".to_owned()), ..valid }),
        "invalidRequest" => json!({}),
        "agentUnavailable" => json!({ "agentId": "unknown" }),
        "channelUnavailable" => {
            let org_id = env.caller.user.org_id;
            env.stack.register_self_hosted_agent(org_id, "self_hosted", json!({})).await?;
            json!({ "agentId": "self_hosted", "channel": "voice" })
        }
        "agentForbidden" => {
            env.register_agent_for("cfo_strategy", &["owner"]).await?;
            json!({ "agentId": "cfo_strategy" })
        }
        "workflowNotFound" => {
            env.register_agent_for("mistaken", &["member"]).await?;
            json!({ "agentId": "mistaken" })
        }
        "chatkitUnavailable" => {
            env.stack.openai().add_fault(Fault::new(OpenAiOperation::CreateSession).status(503));
            json!({ "agentId": AGENT })
        }
        "sessionEnded" => resume(env.ended_session().await?),
        "stillRunning" => {
            let slow =
                Fault::new(OpenAiOperation::CreateSession).delay_response(Duration::from_secs(2)).times(1);
            env.stack.openai().add_fault(slow);
            let request = valid.with_body(&json!({ "agentId": AGENT }));
            let request = request.with_header(IDEMPOTENCY_KEY, "running");
            tokio::spawn(env.response(&request));
            tokio::time::sleep(Duration::from_millis(700)).await;
            return Ok(request);
        }
        "idempotencyKeyReused" => {
            let first = valid.clone().with_body(&json!({ "agentId": AGENT }));
            env.send(&first.with_header(IDEMPOTENCY_KEY, "used")).await?;
            let second = valid.with_body(&json!({ "agentId": AGENT, "channel": "voice" }));
            return Ok(second.with_header(IDEMPOTENCY_KEY, "used"));
        }
        "rateLimited" => {
            env.set_limits(json!({ "p_secrets_per_minute_user": 1 })).await?;
            env.new_session().await?;
            json!({ "agentId": AGENT })
        }
        "tooManySessions" => {
            env.new_session().await?;
            env.set_limits(json!({ "p_active_sessions_user": 1 })).await?;
            json!({ "agentId": AGENT })
        }
        "rowPolicyRefused" => {
            let policy =
                "create policy mfa on public.chat_sessions as restrictive for select to authenticated
                using ((select auth.jwt() ->> 'aal') = 'aal2')";
            sqlx::query(policy).execute(env.stack.database()).await?;
            json!({ "agentId": AGENT })
        }
        "sessionNotFound" => resume(Uuid::new_v4().to_string()),
        _ => bail!("the example {example} has no preparation"),
    };
    Ok(valid.with_body(&body))
}

fn serve_chatkit(valid: Request, example: &str) -> Result<Request> {
    match example {
        "malformedBody" => Ok(Request { body: Some("{]".to_owned()), ..valid }),
        "missingClientSecret" => Ok(valid.with_token(None)),
        "threadNotFound" => {
            let params = json!({ "thread_id": format!("thr_{}", Uuid::new_v4().simple()) });
            Ok(valid.with_body(&json!({ "type": "threads.get_by_id", "params": params })))
        }
        _ => bail!("the example {example} has no preparation"),
    }
}

async fn record_events(
    env: &ExampleEnv,
    operation: &Operation<'_>,
    valid: Request,
    example: &str,
) -> Result<Request> {
    let event =
        |kind: &str, payload: Value| json!({ "id": Uuid::new_v4(), "type": kind, "payload": payload });
    match example {
        "malformedBody" => Ok(Request { body: Some("{]".to_owned()), ..valid }),
        "invalidRequest" => Ok(valid.with_body(&json!([
            event("button_click", json!({ "action": "" })),
            event("button_click", json!({ "action": "approve" })),
            event("button_clicked", json!({})),
        ]))),
        "rateLimited" => {
            env.set_limits(json!({ "p_events_per_minute_session": 100 })).await?;
            let events: Value = (0..100).map(|_| event("custom_x", json!({}))).collect();
            env.send(&valid.clone().with_body(&events)).await?;
            Ok(valid.with_body(&event("custom_x", json!({}))))
        }
        "agentForbidden" => {
            env.register_agent_for("cfo_strategy", &["owner"]).await?;
            Ok(valid.with_body(&event("handover", json!({ "agentId": "cfo_strategy" }))))
        }
        "sessionEnded" => Ok(valid.with_id(operation, &env.ended_session().await?)),
        "sessionNotFound" => Ok(valid.with_id(operation, &Uuid::new_v4().to_string())),
        "eventConflict" => {
            let payload = json!({ "action": "something else" });
            Ok(valid.with_body(&json!({ "id": CLICK_EVENT, "type": "button_click", "payload": payload })))
        }
        _ => bail!("the example {example} has no preparation"),
    }
}

async fn decide_escalation(
    env: &mut ExampleEnv,
    operation: &Operation<'_>,
    example: &str,
) -> Result<Request> {
    let new_event = Uuid::new_v4().to_string();
    let mut body = json!({ "decision": "approve", "subjectHash": SUBJECT_HASH });
    match example {
        "escalationNotFound" => env.matcher.set(ESCALATION_ID, &Uuid::new_v4().to_string()),
        "ownRequest" => {
            let id = env.hold_payment(&new_event).await?;
            env.set_escalation(&id).await?;
        }
        "invalidAnswer" => {
            env.open_escalation(&new_event, question()).await?;
            body["decision"] = json!("respond");
            body["answer"] = json!({ "account": 7 });
        }
        _ => env.open_escalation(&new_event, json!({})).await?,
    }
    body["subjectHash"] = json!(env.matcher.substitute(SUBJECT_HASH));
    let mut request = env.request(operation)?;
    match example {
        "oauthClientForbidden" => {
            let forge = env.stack.issuer().token_builder(&env.caller.user);
            request.token = Some(forge.claim("client_id", "an-application").sign());
        }
        "rateLimited" => {
            env.exhaust_idempotency_keys().await?;
            request = request.with_header(IDEMPOTENCY_KEY, "one-too-many");
        }
        "escalationResolved" => {
            env.send(&request.clone().with_body(&body)).await?;
            body["decision"] = json!("reject");
        }
        "subjectChanged" => body["subjectHash"] = json!("0".repeat(64)),
        "escalationClosed" => {
            let session = env.matcher.substitute(SESSION_ID);
            env.caller.cancel(&format!("/chatkit/sessions/{session}")).await?.expect(200)?;
            env.open_session().await?;
        }
        "decisionNotOffered" => body["decision"] = json!("edit"),
        "escalationNotFound" | "ownRequest" | "invalidAnswer" => {}
        _ => bail!("the example {example} has no preparation"),
    }
    Ok(request.with_body(&body))
}

/// The payload of an escalation that requires an answer.
fn question() -> Value {
    let account = json!({ "type": "string", "maxLength": 34 });
    let schema = json!({
        "type": "object", "required": ["account"], "properties": { "account": account },
    });
    json!({ "reason": "The account is missing", "decisions": ["respond"], "schema": schema })
}
