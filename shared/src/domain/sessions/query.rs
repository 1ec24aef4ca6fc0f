//! Reading sessions, as the caller: what row level security hides is not there.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AgentId, Session, SessionStatus};
use crate::{
    clients::supabase::UserClient,
    domain::{
        RequestContext,
        model::escalation::Escalation,
        model::event::{Event, Task},
        pagination::{Page, PageSize, Rows, TimeCursor},
    },
    error::{Error, ErrorCode},
    platform::string_enum::words,
};

const COLUMNS: &str =
    "id,user_id,status,agent_id,channel,metadata,created_at,last_activity_at,ended_at,end_reason";

/// A session and the name under which ChatKit knows its user.
#[derive(Debug, Deserialize)]
pub struct Summary {
    /// The session.
    #[serde(flatten)]
    pub session: Session,
    chatkit_users: ChatkitUser,
}

#[derive(Debug, Deserialize)]
struct ChatkitUser {
    chatkit_user: String,
}

impl Summary {
    /// ChatKit's name of the session's user.
    pub fn chatkit_user(&self) -> &str {
        &self.chatkit_users.chatkit_user
    }
}

/// What hangs off a session.
#[derive(Debug, Deserialize)]
pub struct Details {
    /// The latest events, newest last.
    pub events: Vec<Event>,
    /// The tasks, by id.
    pub tasks: Vec<Task>,
    /// The open escalations that wait longest, oldest first. All of them stand in the list of escalations.
    pub escalations: Vec<Escalation>,
    /// ChatKit's ids of the threads that the session's events linked, the last link first.
    pub thread_ids: Vec<String>,
    /// Which of the tasks and the escalations are not all.
    pub cut: Vec<String>,
}

words! {
    /// Whose sessions to list.
    pub enum Scope {
        /// The caller's own.
        Own = "own",
        /// All of the organisation, for those who may see them.
        Organisation = "organisation",
    }
}

/// Which sessions to list.
#[derive(Debug)]
pub struct Filter {
    /// Whose.
    pub scope: Scope,
    /// Only those with this status.
    pub status: Option<SessionStatus>,
    /// Only those with this agent.
    pub agent_id: Option<AgentId>,
    /// How many.
    pub limit: PageSize,
    /// After which.
    pub after: Option<TimeCursor>,
}

/// One session.
///
/// # Errors
/// `session_not_found`, the same whether it is somebody else's or nobody's.
pub async fn find(user_client: &UserClient, context: &RequestContext, id: Uuid) -> Result<Summary, Error> {
    let query = user_client
        .from("chat_sessions")
        .select(format!("{COLUMNS},chatkit_users(chatkit_user)"))
        .eq("id", id.to_string());
    let rows = user_client.rows(query, &context.caller.token, context.deadline).await?;
    rows.into_iter().next().ok_or_else(|| Error::new(ErrorCode::SessionNotFound))
}

/// What hangs off a session, of one moment.
///
/// # Errors
/// `session_not_found`.
pub async fn details(user_client: &UserClient, context: &RequestContext, id: Uuid) -> Result<Details, Error> {
    #[derive(Serialize)]
    struct Arguments {
        p_session_id: Uuid,
    }
    let arguments = Arguments { p_session_id: id };
    Ok(user_client.read("session_details", &arguments, &context.caller.token, context.deadline).await?)
}

/// A page of sessions, newest activity first.
///
/// # Errors
/// Those of Supabase.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    filter: &Filter,
) -> Result<Page<Session>, Error> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_limit: PageSize,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_user_id: Option<Uuid>,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_status: Option<SessionStatus>,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_agent_id: Option<&'a AgentId>,
        #[serde(flatten)]
        after: Option<TimeCursor>,
    }
    let arguments = Arguments {
        p_limit: filter.limit,
        p_user_id: (filter.scope == Scope::Own).then_some(context.caller.user_id),
        p_status: filter.status,
        p_agent_id: filter.agent_id.as_ref(),
        after: filter.after,
    };
    let rows: Rows<Session> =
        user_client.read("list_sessions", &arguments, &context.caller.token, context.deadline).await?;
    Ok(rows.into_page(|session| TimeCursor { at: session.last_activity_at, id: session.id }.encode()))
}
