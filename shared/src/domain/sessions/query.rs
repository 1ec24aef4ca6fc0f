//! Reading sessions, as the caller. A session that row level security hides is reported as not
//! found.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AgentId, Provider, Scope, Session, SessionStatus, SessionThread};
use crate::{
    clients::supabase::{Rpc, UserClient},
    domain::{
        RequestContext,
        model::escalation::Escalation,
        model::event::{Event, Task},
        pagination::{Page, PageRequest, Rows, TimeCursor},
    },
    error::{Error, ErrorCode},
};

const COLUMNS: &str = "id,user_id,status,agent_id,provider,channel,title,device_label,metadata,created_at,last_activity_at,ended_at,end_reason";

/// A session, its provider, and its user's name at ChatKit.
#[derive(Debug, Deserialize)]
pub struct Summary {
    #[serde(flatten)]
    pub session: Session,
    pub provider: Provider,
    chatkit_users: ChatkitUser,
}

#[derive(Debug, Deserialize)]
struct ChatkitUser {
    chatkit_user: String,
}

impl Summary {
    /// The pseudonym under which ChatKit knows the session's user.
    pub fn chatkit_user(&self) -> &str {
        &self.chatkit_users.chatkit_user
    }
}

/// Rows that belong to a session.
#[derive(Debug, Deserialize)]
pub struct Details {
    /// The latest events, newest last.
    pub events: Vec<Event>,
    /// Ordered by id.
    pub tasks: Vec<Task>,
    /// The longest-open escalations, oldest first. `GET /chatkit/escalations` lists all of them.
    pub escalations: Vec<Escalation>,
    /// ChatKit ids of the threads that the session's events linked, latest link first.
    pub thread_ids: Vec<String>,
    /// Threads of the self-hosted chat, latest use first.
    pub threads: Vec<SessionThread>,
    /// Names of the lists that are truncated: events, tasks, escalations, threads.
    pub cut: Vec<String>,
}

#[derive(Debug)]
pub struct SessionFilter {
    pub scope: Scope,
    pub status: Option<SessionStatus>,
    pub agent_id: Option<AgentId>,
}

/// Returns a session with its user's name at ChatKit.
///
/// # Errors
/// Returns [`ErrorCode::SessionNotFound`] both if the session does not exist and if the caller may
/// not see it.
pub async fn find(user_client: &UserClient, context: &RequestContext, id: Uuid) -> Result<Summary, Error> {
    let query = user_client
        .from("chat_sessions")
        .select(format!("{COLUMNS},chatkit_users(chatkit_user)"))
        .eq("id", id.to_string());
    let rows = user_client.rows(query, &context.caller.token, context.deadline).await?;
    rows.into_iter().next().ok_or_else(|| Error::new(ErrorCode::SessionNotFound))
}

#[derive(Serialize)]
struct SessionDetailsCall {
    p_session_id: Uuid,
}

impl Rpc for SessionDetailsCall {
    const NAME: &'static str = "session_details";
    type Output = Details;
}

/// Returns the rows that belong to a session, read in one snapshot.
///
/// # Errors
/// Returns `session_not_found` if the session does not exist or the caller may not see it.
pub async fn details(user_client: &UserClient, context: &RequestContext, id: Uuid) -> Result<Details, Error> {
    let call = SessionDetailsCall { p_session_id: id };
    Ok(user_client.rpc(&call, &context.caller.token, context.deadline).await?)
}

#[derive(Serialize)]
struct ListSessionsCall<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    p_user_id: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_status: Option<SessionStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_agent_id: Option<&'a AgentId>,
    #[serde(flatten)]
    page: PageRequest<TimeCursor>,
}

impl Rpc for ListSessionsCall<'_> {
    const NAME: &'static str = "list_sessions";
    type Output = Rows<Session>;
}

/// Lists sessions by their latest activity, newest first.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    filter: &SessionFilter,
    page: PageRequest<TimeCursor>,
) -> Result<Page<Session>, Error> {
    let call = ListSessionsCall {
        p_user_id: (filter.scope == Scope::Own).then_some(context.caller.user_id),
        p_status: filter.status,
        p_agent_id: filter.agent_id.as_ref(),
        page,
    };
    let rows = user_client.rpc(&call, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|last| TimeCursor { at: last.last_activity_at, id: last.id }))
}
