//! Reading sessions, as the caller: what row level security hides is not there.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{AgentId, Session, Status};
use crate::{
    clients::supabase::Reader,
    domain::{
        Call,
        model::escalation::Escalation,
        model::event::{Event, Task},
        pagination::{Page, PageSize, Rows, TimeCursor},
    },
    error::{Code, Error},
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
    pub status: Option<Status>,
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
pub async fn find(reader: &Reader, call: &Call, id: Uuid) -> Result<Summary, Error> {
    let query = reader
        .from("chat_sessions")
        .select(format!("{COLUMNS},chatkit_users(chatkit_user)"))
        .eq("id", id.to_string());
    let rows = reader.rows(query, &call.caller.token, call.deadline).await?;
    rows.into_iter().next().ok_or_else(|| Error::new(Code::SessionNotFound))
}

/// What hangs off a session, of one moment.
///
/// # Errors
/// `session_not_found`.
pub async fn details(reader: &Reader, call: &Call, id: Uuid) -> Result<Details, Error> {
    #[derive(Serialize)]
    struct Arguments {
        p_session_id: Uuid,
    }
    let arguments = Arguments { p_session_id: id };
    Ok(reader.read("session_details", &arguments, &call.caller.token, call.deadline).await?)
}

/// A page of sessions, newest activity first.
///
/// # Errors
/// Those of Supabase.
pub async fn list(reader: &Reader, call: &Call, filter: &Filter) -> Result<Page<Session>, Error> {
    #[derive(Serialize)]
    struct Arguments<'a> {
        p_limit: PageSize,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_user_id: Option<Uuid>,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_status: Option<Status>,
        #[serde(skip_serializing_if = "Option::is_none")]
        p_agent_id: Option<&'a AgentId>,
        #[serde(flatten)]
        after: Option<TimeCursor>,
    }
    let arguments = Arguments {
        p_limit: filter.limit,
        p_user_id: (filter.scope == Scope::Own).then_some(call.caller.user_id),
        p_status: filter.status,
        p_agent_id: filter.agent_id.as_ref(),
        after: filter.after,
    };
    let rows: Rows<Session> =
        reader.read("list_sessions", &arguments, &call.caller.token, call.deadline).await?;
    Ok(rows.page(|session| TimeCursor { at: session.last_activity_at, id: session.id }.encode()))
}
