//! Reading escalations, as the caller: the session's user and the organisation's approvers have them to see, nobody else.

use uuid::Uuid;

use super::{Escalation, Status};
use crate::{
    call::Call,
    error::{Code, Error},
    page::{Page, TimeCursor, cut},
    supabase::Reader,
};

pub(crate) const COLUMNS: &str = "id,session_id,user_id,event_id,origin,kind,reason,decisions,answer_schema,risk,approver,\
    author_id,predecessor_id,subject,subject_hash,status,created_at,expires_at,decision,answer,decided_by,decided_at";

/// The most escalations that a page holds, however many were asked for: the largest of this number fit into an answer.
const MOST: u16 = 25;

/// A page of the open escalations that the caller may see, oldest first.
///
/// # Errors
/// Those of Supabase.
pub async fn list(
    reader: &Reader,
    call: &Call,
    limit: u16,
    after: Option<TimeCursor>,
) -> Result<Page<Escalation>, Error> {
    let limit = limit.min(MOST);
    let mut query = reader
        .from("chat_escalations")
        .select(COLUMNS)
        .eq("status", Status::Open.as_str())
        .order("created_at.asc,id.asc")
        // One more than a page holds tells whether there is another.
        .limit(usize::from(limit) + 1);
    if let Some(TimeCursor { at, id }) = after {
        // A time and an id print no character that PostgREST reserves, but the colon and the full stop, which quotes cover.
        query = query.or(format!("created_at.gt.\"{at}\",and(created_at.eq.\"{at}\",id.gt.{id})"));
    }
    let rows = reader.rows(query, &call.caller.token, call.deadline).await?;
    let cursor = |escalation: &Escalation| TimeCursor { at: escalation.created_at, id: escalation.id };
    Ok(cut(rows, limit, cursor, TimeCursor::encode))
}

/// One escalation, open or not.
///
/// # Errors
/// `escalation_not_found`, the same whether it is somebody else's or nobody's.
pub async fn find(reader: &Reader, call: &Call, id: Uuid) -> Result<Escalation, Error> {
    let query = reader.from("chat_escalations").select(COLUMNS).eq("id", id.to_string());
    let rows = reader.rows(query, &call.caller.token, call.deadline).await?;
    rows.into_iter().next().ok_or_else(|| Error::new(Code::EscalationNotFound))
}
