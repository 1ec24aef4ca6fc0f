//! The RPC functions receive the caller's claims as an argument. Without the claims that a policy
//! requires, the service cannot write for the caller.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::User;
use serde_json::{Value, json};
use uuid::Uuid;

use super::fixture::{Fixture, Rows};
use super::{NO_POLICY, SESSIONS_POLICY};
use crate::support::client::AGENT;

#[tokio::test]
async fn rpc_without_required_claims_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = Fixture::new(&stack, NO_POLICY).await?;
    let (user, approver) = (fixture.fixture.member.user.clone(), fixture.fixture.approver.user.clone());
    let other_org = User { org_id: Uuid::new_v4(), ..user.clone() };
    let cases = [
        case("absent", None, Outcome::PolicyDecides),
        case("null", Some(Value::Null), Outcome::PolicyDecides),
        case("the user's", Some(claims(&user, "aal1")), Outcome::PolicyDecides),
        case("the user's, with a second factor", Some(claims(&user, "aal2")), Outcome::Success),
        case("an approver's", Some(claims(&approver, "aal2")), Outcome::NotAMember),
        case("the user's in another organisation", Some(claims(&other_org, "aal2")), Outcome::NotAMember),
        case("an array", Some(json!([1])), Outcome::NotAMember),
        case("an empty object", Some(json!({})), Outcome::NotAMember),
        case("a string", Some(json!("aal2")), Outcome::NotAMember),
    ];
    for has_policy in [false, true] {
        if has_policy {
            sqlx::raw_sql(SESSIONS_POLICY).execute(stack.database()).await?;
        }
        for Case { description, claims, outcome } in &cases {
            let rows = fixture.create_rows().await?;
            for (function, policy_code, mut arguments) in calls(&user, &rows)? {
                if let Some(claims) = claims {
                    arguments["p_claims"] = claims.clone();
                }
                let (status, body) = stack.rpc(function, arguments).await?;
                let expected = match outcome {
                    Outcome::NotAMember => Some("not_a_member"),
                    Outcome::PolicyDecides if has_policy => Some(policy_code),
                    Outcome::PolicyDecides | Outcome::Success => None,
                };
                let code = body["message"].as_str().filter(|_| !status.is_success());
                ensure!(
                    code == expected,
                    "{function}, claims: {description}, policy: {has_policy}: \
                     expected {expected:?}, found {status} {body}"
                );
            }
        }
    }
    Ok(())
}

struct Case {
    description: &'static str,
    claims: Option<Value>,
    outcome: Outcome,
}

enum Outcome {
    Success,
    /// A success without a policy.
    PolicyDecides,
    NotAMember,
}

fn case(description: &'static str, claims: Option<Value>, outcome: Outcome) -> Case {
    Case { description, claims, outcome }
}

fn claims(user: &User, aal: &str) -> Value {
    json!({ "sub": user.id, "role": "authenticated", "aal": aal, "app_metadata": user.app_metadata() })
}

/// The functions that write for a caller, the code with which the policy rejects them, and
/// arguments.
fn calls(user: &User, rows: &Rows) -> Result<Vec<(&'static str, &'static str, Value)>> {
    let mut calls = vec![
        (
            "open_session",
            "row_policy_refused",
            json!({
                "p_session_id": Uuid::now_v7(), "p_agent_id": AGENT, "p_channel": "web", "p_metadata": {},
            }),
        ),
        (
            "renew_chatkit_session",
            "session_not_found",
            json!({
                "p_session_id": rows.session["id"], "p_purpose": "refresh", "p_min_life_seconds": 0,
            }),
        ),
        (
            "record_events",
            "session_not_found",
            json!({
                "p_session_id": rows.session["id"], "p_actor_type": "user", "p_actor_id": user.id,
                "p_events": [{ "id": Uuid::new_v4(), "type": "custom_y", "payload": {} }],
            }),
        ),
        ("claim_escalation", "escalation_not_found", json!({ "p_escalation_id": rows.escalation["id"] })),
        ("release_escalation", "escalation_not_found", json!({ "p_escalation_id": rows.escalation["id"] })),
        (
            "decide_escalation",
            "escalation_not_found",
            json!({
                "p_escalation_id": rows.escalation["id"], "p_decision": "approve",
                "p_subject_hash": rows.escalation["subjectHash"],
            }),
        ),
        ("cancel_session", "session_not_found", json!({ "p_session_id": rows.session["id"] })),
    ];
    for (.., arguments) in &mut calls {
        let arguments = arguments.as_object_mut().context("the arguments are not an object")?;
        arguments.insert("p_org_id".to_owned(), json!(user.org_id));
        arguments.insert("p_user_id".to_owned(), json!(user.id));
    }
    Ok(calls)
}
