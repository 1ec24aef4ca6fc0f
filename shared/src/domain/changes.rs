//! The change feed: which sessions and escalations changed since a cursor, as the caller.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clients::supabase::{Rpc, UserClient},
    domain::{
        RequestContext,
        model::{
            escalation::EscalationStatus,
            session::{Scope, SessionStatus},
        },
        pagination::Cursor,
    },
    error::Error,
    platform::parse::{Timestamp, integer},
};

/// Position in the feed: a snapshot of PostgreSQL, `xmin:xmax:xip,…`, which names the transactions
/// that had been committed when the feed was read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(transparent)]
pub struct ChangeCursor(String);

/// Maximum number of running transactions in a cursor. The database names at most 100.
const MAX_RUNNING: usize = 200;

impl Cursor for ChangeCursor {
    fn to_text(&self) -> String {
        self.0.clone()
    }

    /// Accepts what PostgreSQL accepts as a snapshot, so that the database does not reject it.
    fn from_text(text: String) -> Option<Self> {
        let (xmin, rest) = text.split_once(':')?;
        let (xmax, running) = rest.split_once(':')?;
        // PostgreSQL's transaction ids have 64 bits. Half of them are enough for any database.
        let (xmin, xmax) = (integer::<i64>(xmin)?, integer::<i64>(xmax)?);
        let running = match running {
            "" => Vec::new(),
            list => list.split(',').map(integer::<i64>).collect::<Option<_>>()?,
        };
        let is_sound = 0 < xmin
            && xmin <= xmax
            && running.len() <= MAX_RUNNING
            && running.iter().all(|id| (xmin..xmax).contains(id))
            && running.is_sorted_by(|one, next| one < next);
        is_sound.then_some(Self(text))
    }
}

/// The changed object in its latest state. It has ids and numbers only.
#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields(serialize = "camelCase"))]
pub enum Change {
    /// The session, its events, messages or tasks.
    Session {
        session_id: Uuid,
        status: SessionStatus,
        last_event_seq: i64,
        last_message_seq: i64,
    },
    Escalation {
        escalation_id: Uuid,
        session_id: Uuid,
        status: EscalationStatus,
    },
}

/// Numbers of open escalations that the caller may read. The database counts up to 500.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct EscalationCounts {
    pub open: u32,
    /// Those of which the caller may take every decision.
    pub decidable: u32,
    pub oldest_created_at: Option<Timestamp>,
    pub next_expires_at: Option<Timestamp>,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Changes {
    pub changes: Vec<Change>,
    /// Whether the caller must read the lists, because more has changed than `changes` contains.
    pub incomplete: bool,
    /// `None` if no escalation changed.
    pub counts: Option<EscalationCounts>,
    #[serde(serialize_with = "encode")]
    pub cursor: ChangeCursor,
}

fn encode<S: serde::Serializer>(cursor: &ChangeCursor, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&cursor.encode())
}

#[derive(Serialize)]
struct ListChangesCall {
    #[serde(skip_serializing_if = "Option::is_none")]
    p_since: Option<ChangeCursor>,
    p_whole_organisation: bool,
}

impl Rpc for ListChangesCall {
    const NAME: &'static str = "list_changes";
    type Output = Changes;
}

/// Lists what changed since a cursor, for the sessions of `scope` and for the escalations that the
/// caller may see. Without a cursor, returns the current one.
pub async fn list(
    user_client: &UserClient,
    context: &RequestContext,
    scope: Scope,
    since: Option<ChangeCursor>,
) -> Result<Changes, Error> {
    let call = ListChangesCall { p_since: since, p_whole_organisation: scope == Scope::Organisation };
    Ok(user_client.rpc(&call, &context.caller.token, context.deadline).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn cursor_is_a_snapshot_that_postgresql_accepts() {
        for text in ["1:1:", "731:731:", "731:740:731,735", "9223372036854775806:9223372036854775807:"] {
            let cursor = ChangeCursor(text.to_owned());
            assert_eq!(ChangeCursor::decode(&cursor.encode()).unwrap(), cursor);
        }
        for text in [
            "",
            "731",
            "731:731",
            "0:1:",
            "731:730:",
            "731:740:730",
            "731:740:740",
            "731:740:735,735",
            "731:740:735,",
            "731:740:,",
            "731:740:736,735",
            "731:740: 735",
            "731:740:+735",
            "-1:740:",
            "9223372036854775807:9223372036854775808:",
        ] {
            let cursor = ChangeCursor(text.to_owned()).encode();
            let code = ChangeCursor::decode(&cursor).unwrap_err().code;
            assert_eq!(code, ErrorCode::MalformedCursor, "{text}");
        }
        let many = (1..=201).map(|id| id.to_string()).collect::<Vec<_>>().join(",");
        assert!(ChangeCursor::from_text(format!("1:300:{many}")).is_none());
    }

    #[test]
    fn response_has_the_names_of_the_api() {
        let (session_id, escalation_id) = (Uuid::nil(), Uuid::from_u128(1));
        let changes: Changes = serde_json::from_value(serde_json::json!({
            "changes": [
                { "kind": "session", "session_id": session_id, "status": "active", "last_event_seq": 7,
                  "last_message_seq": 2 },
                { "kind": "escalation", "escalation_id": escalation_id, "session_id": session_id,
                  "status": "open" },
            ],
            "incomplete": false,
            "counts": { "open": 2, "decidable": 1, "oldest_created_at": "2026-11-22T10:00:00.000001+00:00",
                        "next_expires_at": null },
            "cursor": "731:740:735",
        }))
        .unwrap();
        let expected = serde_json::json!({
            "changes": [
                { "kind": "session", "sessionId": session_id, "status": "active", "lastEventSeq": 7,
                  "lastMessageSeq": 2 },
                { "kind": "escalation", "escalationId": escalation_id, "sessionId": session_id,
                  "status": "open" },
            ],
            "incomplete": false,
            "counts": { "open": 2, "decidable": 1, "oldestCreatedAt": "2026-11-22T10:00:00.000001Z",
                        "nextExpiresAt": null },
            "cursor": "NzMxOjc0MDo3MzU",
        });
        assert_eq!(serde_json::to_value(changes).unwrap(), expected);
    }
}
