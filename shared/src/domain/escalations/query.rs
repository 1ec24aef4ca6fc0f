//! Reading escalations, as the caller: the session's user and the organisation's approvers have them to see, nobody else.

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

/// A page of the open escalations that the caller may see, oldest first.
///
/// # Errors
/// Those of Supabase.
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

/// One escalation, open or not.
///
/// # Errors
/// `escalation_not_found`, the same whether it is somebody else's or nobody's.
pub async fn find(user_client: &UserClient, context: &RequestContext, id: Uuid) -> Result<Escalation, Error> {
    let query = user_client.from("chat_escalations").select(COLUMNS).eq("id", id.to_string());
    let rows = user_client.rows(query, &context.caller.token, context.deadline).await?;
    rows.into_iter().next().ok_or_else(|| Error::new(ErrorCode::EscalationNotFound))
}
