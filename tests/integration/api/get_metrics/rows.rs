//! The rows of an organisation, read from the tables.

use anyhow::Result;
use local_stack::LocalStack;
use sqlx::Row;
use uuid::Uuid;

/// Microseconds since 1970, the resolution of the database.
pub type Micros = i64;

pub struct Session {
    pub id: Uuid,
    pub agent_id: String,
    pub channel: String,
    pub created_at: Micros,
    pub ended_at: Option<Micros>,
    pub end_reason: Option<String>,
}

pub struct Escalation {
    pub session_id: Uuid,
    pub created_at: Micros,
    pub closed_at: Option<Micros>,
    pub status: String,
    pub kind: String,
    pub delivery_id: Option<Uuid>,
}

pub struct Delivery {
    pub id: Uuid,
    pub session_id: Uuid,
    pub agent_id: String,
    pub tool: String,
    pub created_at: Micros,
    pub status: String,
    pub finished_as: Option<String>,
    pub resumes: Option<Uuid>,
    pub fence: i64,
}

pub struct Run {
    pub session_id: Uuid,
    pub started_at: Micros,
    pub status: String,
    pub input_tokens: Option<i64>,
    pub output_tokens: Option<i64>,
}

pub struct Rows {
    pub sessions: Vec<Session>,
    /// The session of each event.
    pub events: Vec<Uuid>,
    pub escalations: Vec<Escalation>,
    pub deliveries: Vec<Delivery>,
    pub runs: Vec<Run>,
}

impl Rows {
    pub async fn read(stack: &LocalStack, org_id: Uuid) -> Result<Self> {
        let all = async |columns: &str, table: &str| -> Result<Vec<sqlx::postgres::PgRow>> {
            let query = format!("select {columns} from public.{table} where org_id = $1");
            Ok(sqlx::query(sqlx::AssertSqlSafe(query)).bind(org_id).fetch_all(stack.database()).await?)
        };
        let micros = |column: &str| format!("(extract(epoch from {column}) * 1000000)::bigint as {column}");
        let (created, ended, closed) = (micros("created_at"), micros("ended_at"), micros("closed_at"));

        let columns = format!("id, agent_id, channel, end_reason, {created}, {ended}");
        let sessions = all(&columns, "chat_sessions").await?.into_iter().map(|row| Session {
            id: row.get("id"),
            agent_id: row.get("agent_id"),
            channel: row.get("channel"),
            created_at: row.get("created_at"),
            ended_at: row.get("ended_at"),
            end_reason: row.get("end_reason"),
        });
        let events = all("session_id", "chat_events").await?.into_iter().map(|row| row.get("session_id"));
        let columns = format!("session_id, status, kind, delivery_id, {created}, {closed}");
        let escalations = all(&columns, "chat_escalations").await?.into_iter().map(|row| Escalation {
            session_id: row.get("session_id"),
            created_at: row.get("created_at"),
            closed_at: row.get("closed_at"),
            status: row.get("status"),
            kind: row.get("kind"),
            delivery_id: row.get("delivery_id"),
        });
        let columns =
            format!("id, session_id, agent_id, tool, status, finished_as, resumes, fence, {created}");
        let deliveries = all(&columns, "deliveries").await?.into_iter().map(|row| Delivery {
            id: row.get("id"),
            session_id: row.get("session_id"),
            agent_id: row.get("agent_id"),
            tool: row.get("tool"),
            created_at: row.get("created_at"),
            status: row.get("status"),
            finished_as: row.get("finished_as"),
            resumes: row.get("resumes"),
            fence: row.get("fence"),
        });
        let columns = format!("session_id, status, input_tokens, output_tokens, {}", micros("started_at"));
        let runs = all(&columns, "chat_runs").await?.into_iter().map(|row| Run {
            session_id: row.get("session_id"),
            started_at: row.get("started_at"),
            status: row.get("status"),
            input_tokens: row.get("input_tokens"),
            output_tokens: row.get("output_tokens"),
        });
        Ok(Self {
            sessions: sessions.collect(),
            events: events.collect(),
            escalations: escalations.collect(),
            deliveries: deliveries.collect(),
            runs: runs.collect(),
        })
    }
}
