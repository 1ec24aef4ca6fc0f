//! Reading escalations, as the caller. Row level security shows them to the session's user and to
//! the organisation's approvers only.

use serde::Serialize;
use uuid::Uuid;

use super::Escalation;
use crate::{
    clients::supabase::{Rpc, UserClient},
    domain::{
        RequestContext,
        pagination::{Page, PageRequest, Rows, TimeCursor},
    },
    error::{Error, ErrorCode},
};

const COLUMNS: &str = "id,session_id,user_id,event_id,origin,kind,reason,decisions,answer_schema,risk,approver,\
    author_id,predecessor_id,subject,subject_hash,status,created_at,expires_at,decision,answer,decided_by,decided_at";

#[derive(Serialize)]
struct ListEscalationsCall {
    #[serde(flatten)]
    page: PageRequest<TimeCursor>,
}

impl Rpc for ListEscalationsCall {
    const NAME: &'static str = "list_escalations";
    type Output = Rows<Escalation>;
}

/// Lists the open escalations that the caller may see, oldest first.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    page: PageRequest<TimeCursor>,
) -> Result<Page<Escalation>, Error> {
    let rows =
        user_client.rpc(&ListEscalationsCall { page }, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|last| TimeCursor { at: last.created_at, id: last.id }))
}

/// Returns an escalation, whatever its status.
///
/// # Errors
/// Returns [`ErrorCode::EscalationNotFound`] both if the escalation does not exist and if the
/// caller may not see it.
pub async fn find(user_client: &UserClient, context: &RequestContext, id: Uuid) -> Result<Escalation, Error> {
    let query = user_client.from("chat_escalations").select(COLUMNS).eq("id", id.to_string());
    let rows = user_client.rows(query, &context.caller.token, context.deadline).await?;
    rows.into_iter().next().ok_or_else(|| Error::new(ErrorCode::EscalationNotFound))
}
