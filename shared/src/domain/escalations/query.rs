//! Reading escalations, as the caller. Row level security shows them to the session's user and to
//! the organisation's approvers only.

use serde::Serialize;
use uuid::Uuid;

use super::Escalation;
use crate::{
    clients::supabase::UserClient,
    domain::{
        RequestContext,
        pagination::{Page, PageSize, Rows, TimeCursor},
    },
    error::{Error, ErrorCode},
};

const COLUMNS: &str = "id,session_id,user_id,event_id,origin,kind,reason,decisions,answer_schema,risk,approver,\
    author_id,predecessor_id,subject,subject_hash,status,created_at,expires_at,decision,answer,decided_by,decided_at";

/// Lists the open escalations that the caller may see, oldest first.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    limit: PageSize,
    after: Option<TimeCursor>,
) -> Result<Page<Escalation>, Error> {
    #[derive(Serialize)]
    struct Arguments {
        p_limit: PageSize,
        #[serde(flatten)]
        after: Option<TimeCursor>,
    }
    let arguments = Arguments { p_limit: limit, after };
    let rows: Rows<Escalation> =
        user_client.read("list_escalations", &arguments, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|escalation| TimeCursor { at: escalation.created_at, id: escalation.id }.encode()))
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
