//! Deciding an escalation. The answer is validated here, since the database does not know JSON
//! Schema; the database checks everything else in one transaction.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::{Answer, Comment, Decision, Escalation, EscalationStatus, NewDecision};
use crate::{
    auth::DecisionRules,
    clients::supabase::{Rpc, ServiceClient, UserClient},
    domain::{RequestContext, idempotency::IdempotencyKey, model::event::RecordedEvent},
    error::{Error, ErrorCode, FieldError},
    platform::{json_schema::Schema, telemetry},
};

/// The result of a decision.
#[derive(Debug, Deserialize, Serialize)]
pub struct ResolvedEscalation {
    /// The escalation after the decision.
    pub escalation: Escalation,
    /// The event that records the decision.
    pub event: RecordedEvent,
}

#[derive(Serialize)]
struct DecideEscalationCall<'a> {
    p_escalation_id: Uuid,
    p_decision: Decision,
    p_subject_hash: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_answer: Option<&'a Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_comment: Option<&'a Comment>,
    #[serde(flatten)]
    idempotency: Option<IdempotencyKey>,
}

impl Rpc for DecideEscalationCall<'_> {
    const NAME: &'static str = "decide_escalation";
    type Output = ResolvedEscalation;
}

/// Decides an escalation as the caller. Only one decision is recorded; if the same person repeats
/// it, the recorded one is returned.
///
/// # Errors
/// `oauth_client_forbidden`, `step_up_required`, `not_a_member`, `escalation_not_found`,
/// `own_request`, `author_may_not_decide`, `requester_must_confirm`, `subject_changed`,
/// `escalation_resolved` with the recorded decision, `escalation_closed`, `decision_not_offered`,
/// `answer_required`, `comment_required`, `invalid_answer`, `policy_forbids`, `too_many_edits`,
/// `no_other_approver`.
pub async fn decide(
    user_client: &UserClient,
    service_client: &ServiceClient,
    context: &RequestContext,
    rules: &DecisionRules,
    id: Uuid,
    decision: &NewDecision,
    idempotency: Option<IdempotencyKey>,
) -> Result<ResolvedEscalation, Error> {
    rules.check(&context.caller.assurance)?;
    if let Some(answer) = &decision.answer {
        check(&find_answer_target(user_client, context, id).await?, decision, answer)?;
    }
    let call = context.on_behalf(DecideEscalationCall {
        p_escalation_id: id,
        p_decision: decision.decision,
        p_subject_hash: decision.subject_hash.as_str(),
        p_answer: decision.answer.as_ref(),
        p_comment: decision.comment.as_ref(),
        idempotency,
    });
    let resolved = service_client.rpc(&call, context.deadline).await?;
    telemetry::record_session_id(resolved.escalation.session_id);
    Ok(resolved)
}

/// The part of an escalation that an answer is checked against.
#[derive(Debug, Deserialize)]
struct AnswerTarget {
    status: EscalationStatus,
    subject_hash: String,
    answer_schema: Option<Value>,
}

async fn find_answer_target(
    user_client: &UserClient,
    context: &RequestContext,
    id: Uuid,
) -> Result<AnswerTarget, Error> {
    let query = user_client
        .from("chat_escalations")
        .select("status,subject_hash,answer_schema")
        .eq("id", id.to_string());
    let rows = user_client.rows(query, &context.caller.token, context.deadline).await?;
    rows.into_iter().next().ok_or_else(|| Error::new(ErrorCode::EscalationNotFound))
}

/// Validates an answer against the escalation's JSON schema. Skips the check if the escalation is
/// not open or the hash names another subject: both are permanent, and the database has a more
/// precise error for them.
fn check(target: &AnswerTarget, decision: &NewDecision, answer: &Answer) -> Result<(), Error> {
    let undecided =
        target.status == EscalationStatus::Open && target.subject_hash == decision.subject_hash.as_str();
    let Some(schema) = target.answer_schema.as_ref().filter(|_| undecided) else { return Ok(()) };
    let schema = Schema::compile(schema).map_err(|why| {
        let detail = format!("The escalation's schema {why}, so it cannot have an answer.");
        Error::new(ErrorCode::InvalidAnswer).detail(detail)
    })?;
    let mistakes = schema.errors(answer.value()).into_iter();
    let fields: Vec<_> = mistakes
        .map(|mistake| FieldError::at(format!("/answer{}", mistake.pointer), mistake.detail))
        .collect();
    if fields.is_empty() { Ok(()) } else { Err(Error { fields, ..Error::new(ErrorCode::InvalidAnswer) }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check_answer(schema: Value, status: &str, hash: &str) -> Result<(), Error> {
        let escalation = serde_json::from_value(json!({
            "answer_schema": schema, "subject_hash": "ab".repeat(32), "status": status,
        }));
        let decision = json!({ "decision": "respond", "subjectHash": hash, "answer": { "amount": "much" } });
        let decision: NewDecision = serde_json::from_value(decision).unwrap();
        check(&escalation.unwrap(), &decision, decision.answer.as_ref().unwrap())
    }

    #[test]
    fn answer_is_validated_only_if_the_decision_can_be_recorded() {
        let right = "ab".repeat(32);
        let wrong = "cd".repeat(32);
        let schema = json!({ "properties": { "amount": { "type": "number" } } });
        let error = check_answer(schema.clone(), "open", &right).unwrap_err();
        assert_eq!(
            (error.code, error.fields[0].pointer.as_str()),
            (ErrorCode::InvalidAnswer, "/answer/amount")
        );
        assert!(check_answer(json!({ "type": "object" }), "open", &right).is_ok());
        assert!(check_answer(Value::Null, "open", &right).is_ok());
        // The database rejects these with errors of its own.
        assert!(
            check_answer(schema.clone(), "resolved", &right).is_ok()
                && check_answer(schema, "open", &wrong).is_ok()
        );
    }

    #[test]
    fn unusable_schema_rejects_any_answer() {
        let error =
            check_answer(json!({ "$ref": "https://example.com/s" }), "open", &"ab".repeat(32)).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidAnswer);
        assert!(error.detail.unwrap().contains("leads out of it"));
    }
}
