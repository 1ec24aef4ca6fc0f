//! Preparation of the examples of `get-escalation`, `claim-escalation` and `release-escalation`.

use anyhow::{Context, Result, bail};
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::read_requests::PAYMENT_EVENT;
use crate::docs::example_env::{ESCALATION_ID, ExampleEnv, Request, SUBJECT_HASH};
use crate::support::client::TestClient;
use crate::support::openapi_document::Operation;

pub async fn prepare(
    env: &mut ExampleEnv,
    operation: &Operation<'_>,
    valid: Request,
    example: &str,
) -> Result<Request> {
    match (operation.id, example) {
        (_, "escalationNotFound") => Ok(valid.with_id(operation, &Uuid::new_v4().to_string())),
        ("get-escalation", "open") => {
            reject_payment(env).await?;
            hold_documented_payment(env).await?;
            change(env, "claim", json!({})).await?;
            env.request(operation)
        }
        ("get-escalation", "ownRequest") => {
            change(env, "release", json!({})).await?;
            Ok(env.request(operation)?.with_token(Some(env.caller.token.clone())))
        }
        ("get-escalation", "resolved") => {
            let decision = json!({
                "decision": "approve", "comment": "Compared with order 7.",
                "subjectHash": env.matcher.substitute(SUBJECT_HASH),
            });
            change(env, "decision", decision).await?;
            let calls = env.stack.claim_deliveries().await?;
            let call = calls.first().context("the approved payment was not called")?;
            env.stack.finish_delivery(call, json!({ "kind": "completed" })).await?;
            env.request(operation)
        }
        ("release-escalation", "released") => {
            hold_documented_payment(env).await?;
            change(env, "claim", json!({})).await?;
            env.request(operation)
        }
        ("claim-escalation", "ownRequest") => {
            change(env, "release", json!({})).await?;
            Ok(env.request(operation)?.with_token(Some(env.caller.token.clone())))
        }
        (_, "oauthClientForbidden") => {
            let forge = env.stack.issuer().token_builder(&env.approver.user);
            Ok(valid.with_token(Some(forge.claim("client_id", "an-application").sign())))
        }
        (_, "escalationClaimed") => {
            change(env, "claim", json!({})).await?;
            let org_id = env.caller.user.org_id;
            let other = TestClient::in_organisation(&env.stack, org_id, OrgRole::Approver).await?;
            Ok(env.request(operation)?.with_token(Some(other.token.clone())))
        }
        _ => bail!("the example {example} has no preparation"),
    }
}

/// Holds the payment of the examples.
pub async fn hold_documented_payment(env: &mut ExampleEnv) -> Result<()> {
    let id = env.hold_payment(PAYMENT_EVENT).await?;
    env.set_escalation(&id).await
}

/// Holds the same payment by another event, and rejects it.
async fn reject_payment(env: &mut ExampleEnv) -> Result<()> {
    // The preparation claims the calls itself, so the dispatcher must not run.
    env.stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
    let id = env.hold_payment(&Uuid::new_v4().to_string()).await?;
    env.set_escalation(&id).await?;
    let hash = env.matcher.substitute(SUBJECT_HASH);
    let decision = json!({ "decision": "reject", "subjectHash": hash, "comment": "Which order?" });
    change(env, "decision", decision).await
}

/// Sends a request about the escalation as the approver.
async fn change(env: &ExampleEnv, verb: &str, body: Value) -> Result<()> {
    let path = format!("/chatkit/escalations/{}/{verb}", env.matcher.substitute(ESCALATION_ID));
    env.approver.post(&path, body).await?.expect(200)?;
    Ok(())
}
