//! Reading sessions, as the caller: what row level security hides is not there.

use jiff::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use super::{AgentId, Session, Status};
use crate::{
    call::Call,
    error::{Code, Error},
    escalations::{self, Escalation},
    events::{Event, Task},
    page::{Page, TimeCursor, cut},
    supabase::Reader,
    words::words,
};

const COLUMNS: &str =
    "id,user_id,status,agent_id,channel,metadata,created_at,last_activity_at,ended_at,end_reason";

/// How many of the latest events are shown with a session.
const LATEST_EVENTS: usize = 20;

/// How many of the open escalations, each of which may be large. All of them stand in the list of escalations.
const OLDEST_ESCALATIONS: usize = 20;

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
    pub chat_events: Vec<Event>,
    /// Every task, by id.
    pub chat_tasks: Vec<Task>,
    /// The open escalations that wait longest, oldest first.
    pub chat_escalations: Vec<Escalation>,
    /// The threads that the session's events linked.
    pub chatkit_threads: Vec<LinkedThread>,
}

/// A thread that an event of the session named.
#[derive(Debug, Deserialize)]
pub struct LinkedThread {
    /// ChatKit's id.
    pub thread_id: String,
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
    pub limit: u16,
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
    let query = reader
        .from("chat_sessions")
        .select(format!(
            "chat_events(id,seq,type,payload,actor_type,actor_id,occurred_at,created_at),\
             chat_tasks(id,title,status,requires_hitl,updated_at),\
             chat_escalations({}),chatkit_threads(thread_id)",
            escalations::COLUMNS
        ))
        .eq("id", id.to_string())
        .order_with_options("seq", Some("chat_events"), false, false)
        .foreign_table_limit(LATEST_EVENTS, "chat_events")
        .order_with_options("id", Some("chat_tasks"), true, false)
        .eq("chat_escalations.status", "open")
        .order_with_options("created_at", Some("chat_escalations"), true, false)
        .foreign_table_limit(OLDEST_ESCALATIONS, "chat_escalations")
        .order_with_options("linked_at", Some("chatkit_threads"), false, false);
    let rows: Vec<Details> = reader.rows(query, &call.caller.token, call.deadline).await?;
    let mut details = rows.into_iter().next().ok_or_else(|| Error::new(Code::SessionNotFound))?;
    details.chat_events.reverse();
    Ok(details)
}

/// A page of sessions, newest activity first.
///
/// # Errors
/// Those of Supabase.
pub async fn list(reader: &Reader, call: &Call, filter: &Filter) -> Result<Page<Session>, Error> {
    let mut query = reader
        .from("chat_sessions")
        .select(COLUMNS)
        .order("last_activity_at.desc,id.desc")
        // One more than asked tells whether there is another page.
        .limit(usize::from(filter.limit) + 1);
    if filter.scope == Scope::Own {
        query = query.eq("user_id", call.caller.user_id.to_string());
    }
    if let Some(status) = filter.status {
        query = query.eq("status", status.as_str());
    }
    if let Some(agent_id) = &filter.agent_id {
        query = query.eq("agent_id", agent_id.as_str());
    }
    if let Some(TimeCursor { at, id }) = filter.after {
        query = query.or(after(at, id));
    }
    let rows = reader.rows(query, &call.caller.token, call.deadline).await?;
    let cursor = |session: &Session| TimeCursor { at: session.last_activity_at, id: session.id };
    Ok(cut(rows, filter.limit, cursor, TimeCursor::encode))
}

/// A time and an id print no character that PostgREST reserves, but the colon and the full stop, which quotes cover.
fn after(at: Timestamp, id: Uuid) -> String {
    format!("last_activity_at.lt.\"{at}\",and(last_activity_at.eq.\"{at}\",id.lt.{id})")
}
