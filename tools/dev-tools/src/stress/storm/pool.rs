//! The rows that calls can refer to.

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::stress::rpc::{Catalogue, arguments};

pub const AGENTS: [&str; 2] = ["alpha", "beta"];

/// Limit of the amounts that are called without approval per user and tool in a day.
pub const MAX_DAILY_TOTAL: u32 = 2500;

const ORGANISATIONS: usize = 3;
const USERS: usize = 4;

#[derive(Clone, Debug)]
pub struct Session {
    pub org_id: Uuid,
    pub user_id: Uuid,
    pub id: Uuid,
}

#[derive(Clone, Debug)]
pub struct Escalation {
    pub id: Uuid,
    pub hash: String,
    pub session_id: Uuid,
    pub org_id: Uuid,
}

/// Rows as of the last refresh.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    pub organisations: Vec<Uuid>,
    /// Organisation and user.
    pub users: Vec<(Uuid, Uuid)>,
    pub sessions: Vec<Session>,
    /// Delivery and fence.
    pub deliveries: Vec<(Uuid, i64)>,
    pub escalations: Vec<Escalation>,
    /// Request, session and ChatKit session id.
    pub requests: Vec<(Uuid, Uuid, Option<String>)>,
    /// Users with a running erasure.
    pub erasing: Vec<(Uuid, Uuid)>,
    pub events: Vec<Uuid>,
    pub threads: Vec<String>,
}

impl Pool {
    /// Creates users and registers agents.
    pub async fn create(
        operator: &mut PgConnection,
        service: &mut PgConnection,
        catalogue: &Catalogue,
    ) -> Result<Self> {
        let mut pool = Self::default();
        for _ in 0..ORGANISATIONS {
            let org_id = Uuid::new_v4();
            pool.organisations.push(org_id);
            for role in ["owner", "approver", "member", "member"].iter().cycle().take(USERS) {
                let user_id = Uuid::new_v4();
                let statement = "insert into auth.users (id, aud, role, raw_app_meta_data)
                    values ($1, 'authenticated', 'authenticated', $2)";
                let metadata = json!({ "org_id": org_id, "org_role": role });
                sqlx::query(statement).bind(user_id).bind(metadata).execute(&mut *operator).await?;
                pool.users.push((org_id, user_id));
            }
            for agent in AGENTS {
                let params = arguments([
                    ("p_org_id", json!(org_id)),
                    ("p_agent_id", json!(agent)),
                    ("p_display_name", json!(agent)),
                    ("p_description", json!("")),
                    ("p_chatkit_workflow_id", json!("wf_1")),
                ]);
                let answer = catalogue.call(service, "register_agent", &params).await?;
                answer.ok().context("register_agent failed")?;
                let params = arguments([
                    ("p_org_id", json!(org_id)),
                    ("p_agent_id", json!(agent)),
                    ("p_url", json!("https://agents.example.com/mcp")),
                    ("p_tools", tools("auto")),
                    ("p_routes", routes()),
                ]);
                let answer = catalogue.call(service, "register_agent_server", &params).await?;
                answer.ok().context("register_agent_server failed")?;
            }
        }
        Ok(pool)
    }

    /// Reads the rows that other connections have changed.
    pub async fn refresh(&mut self, operator: &mut PgConnection) -> Result<()> {
        let query = "select org_id, user_id, id from chat_sessions where org_id = any($1) order by status, random() limit 60";
        let sessions: Vec<(Uuid, Uuid, Uuid)> =
            sqlx::query_as(query).bind(&self.organisations).fetch_all(&mut *operator).await?;
        self.sessions =
            sessions.into_iter().map(|(org_id, user_id, id)| Session { org_id, user_id, id }).collect();
        let query = "select id, fence from deliveries where org_id = any($1) order by status <> 'running', random() limit 60";
        self.deliveries = sqlx::query_as(query).bind(&self.organisations).fetch_all(&mut *operator).await?;
        let query = "select id, subject_hash, session_id, org_id from chat_escalations
            where org_id = any($1) order by status <> 'open', random() limit 80";
        let escalations: Vec<(Uuid, String, Uuid, Uuid)> =
            sqlx::query_as(query).bind(&self.organisations).fetch_all(&mut *operator).await?;
        let escalation = |(id, hash, session_id, org_id)| Escalation { id, hash, session_id, org_id };
        self.escalations = escalations.into_iter().map(escalation).collect();
        let query = "select id, session_id, chatkit_session_id from chatkit_sessions
            where org_id = any($1) order by recorded_at is not null, random() limit 60";
        self.requests = sqlx::query_as(query).bind(&self.organisations).fetch_all(&mut *operator).await?;
        let query = "select org_id, user_id from erasures where finished_at is null";
        self.erasing = sqlx::query_as(query).fetch_all(&mut *operator).await?;
        let query = "select id from chat_events order by created_at desc limit 40";
        self.events = sqlx::query_scalar(query).fetch_all(&mut *operator).await?;
        let query = "select thread_id from chatkit_threads order by random() limit 40";
        self.threads = sqlx::query_scalar(query).fetch_all(&mut *operator).await?;
        Ok(())
    }

    /// Returns a session, or one that does not exist.
    pub fn session(&self, rng: &mut Rng) -> Session {
        match rng.choice(&self.sessions) {
            Some(session) if rng.u32(..100) < 95 => session.clone(),
            _ => {
                let (org_id, user_id) = self.user(rng);
                Session { org_id, user_id, id: Uuid::new_v4() }
            }
        }
    }

    pub fn user(&self, rng: &mut Rng) -> (Uuid, Uuid) {
        rng.choice(&self.users).copied().unwrap_or_else(|| (Uuid::new_v4(), Uuid::new_v4()))
    }
}

/// Returns the tools of a registration. All use the same amounts and limits, so that totals can be
/// computed afterwards.
pub fn tools(policy: &str) -> Value {
    let risk = if policy == "confirm" { "low" } else { "medium" };
    json!([{
        "name": "pay", "policy": policy, "risk": risk, "idempotent": true, "amount_pointer": "/amount", "currency": "EUR",
        "ask_above": 1000, "ask_above_total": MAX_DAILY_TOTAL, "refuse_above": 10_000, "release_lowered_amount": true,
    }])
}

pub fn routes() -> Value {
    json!([
        { "tool": "pay", "event_type": "button_click" },
        { "tool": "pay", "event_type": "agent_follow_up" },
        { "tool": "pay", "event_type": "handover", "session_agent_id": "beta" },
    ])
}
