//! All write operations. Each must be atomic, whenever its process dies.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::env::{OTHER_AGENT, Person, StressEnv};
use super::kills::batch;
use super::requests::Request;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Open,
    Refresh,
    Cancel,
    Record,
    HandOver,
    Decide,
    Expire,
}

pub const OPERATIONS: [Operation; 7] = [
    Operation::Open,
    Operation::Refresh,
    Operation::Cancel,
    Operation::Record,
    Operation::HandOver,
    Operation::Decide,
    Operation::Expire,
];

impl Operation {
    /// Returns the function that executes it.
    pub fn function(self) -> &'static str {
        match self {
            Self::Open | Self::Refresh => "create-session",
            Self::Cancel => "cancel-session",
            Self::Record | Self::HandOver => "record-events",
            Self::Decide => "decide-escalation",
            Self::Expire => "expire-sessions",
        }
    }
}

/// An operation with its preconditions, for one session.
pub struct PreparedOperation {
    number: usize,
    operation: Operation,
    /// Null for a session that is not open yet.
    session: Value,
    /// The request; `None` if a scheduled run executes it.
    request: Option<Request>,
}

impl PreparedOperation {
    /// Creates the preconditions.
    pub async fn new(env: &StressEnv, operation: Operation, number: usize) -> Result<Self> {
        let person = env.person(number);
        let session =
            if operation == Operation::Open { Value::Null } else { env.open_session(person).await? };
        let key = Some(format!("operation-{number}"));
        let mut rng = env.rng(number);
        let request = match operation {
            Operation::Open => Some(Request::open(key)),
            Operation::Refresh => {
                touch(env, &session, "update chatkit_sessions set expires_at = now() + interval '60 seconds' where session_id = $1")
                    .await?;
                Some(Request::renew(&session, "refresh", key))
            }
            Operation::Cancel => Some(Request::cancel(&session)),
            Operation::Record => Some(Request::record(&session, batch(&mut rng))),
            Operation::HandOver => {
                let payload = json!({ "agentId": OTHER_AGENT, "reason": "Taxes" });
                let event =
                    json!({ "id": Uuid::from_u128(rng.u128(..)), "type": "handover", "payload": payload });
                Some(Request::record(&session, event))
            }
            Operation::Decide => {
                let payload = json!({ "reason": "Above the limit", "decisions": ["approve"] });
                let id = Uuid::from_u128(rng.u128(..));
                let event = json!({ "id": id, "type": "hitl_escalation", "payload": payload });
                ensure!(
                    env.send_until_response(person, &Request::record(&session, event)).await.is_success(),
                    "the escalation was not opened"
                );
                let read = env.send_until_response(person, &Request::read(Person::path(&session))).await;
                Some(Request::decide(&read.body["escalations"][0], "approve"))
            }
            Operation::Expire => {
                touch(
                    env,
                    &session,
                    "update chat_sessions set last_activity_at = now() - interval '25 hours' where id = $1",
                )
                .await?;
                None
            }
        };
        Ok(Self { number, operation, session, request })
    }

    /// Executes it once and returns the acknowledged response.
    pub async fn attempt(&self, env: &StressEnv) -> Result<Option<Value>> {
        match &self.request {
            Some(request) => {
                let response = env.send(env.person(self.number), request).await;
                Ok(response.is_success().then_some(response.body))
            }
            None => Ok(env.run_job().await.ok()),
        }
    }

    /// Repeats it until it is acknowledged, and returns a violated expectation.
    pub async fn finish(&self, env: &StressEnv, before: Option<&Value>) -> Result<Option<String>> {
        let mut session = self.session.clone();
        if let Some(request) = &self.request {
            let response = env.send_with_retries(env.person(self.number), request, 5).await.response;
            if !response.is_success() {
                return Ok(Some(format!("the repetition failed: {response:?}")));
            }
            if self.operation == Operation::Open {
                session = response.body.clone();
            }
            let same = ["id", "events", "event"]
                .iter()
                .all(|part| before.is_none_or(|b| b[*part] == response.body[*part]));
            if !same {
                return Ok(Some(format!("{:?} was acknowledged first, and {} later", before, response.body)));
            }
        }
        self.violation(env.stack.database(), &session).await
    }

    async fn violation(&self, database: &PgPool, session: &Value) -> Result<Option<String>> {
        let id = id(session)?;
        let count = async |query: &'static str| -> Result<i64> {
            Ok(sqlx::query_scalar(query).bind(id).fetch_one(database).await?)
        };
        let (what, found, expected) = match self.operation {
            Operation::Open => ("active sessions", count("select count(*) from chat_sessions where id = $1 and status = 'active'").await?, 1),
            Operation::Refresh => ("active sessions", count("select count(*) from chat_sessions where id = $1 and status = 'active'").await?, 1),
            Operation::Cancel => ("cancelled sessions", count("select count(*) from chat_sessions where id = $1 and end_reason = 'cancelled'").await?, 1),
            Operation::Record => {
                let escalations = count("select count(*) from chat_escalations where session_id = $1").await?;
                ensure!(escalations == 1, "{escalations} escalations of {id}");
                ("events", count("select count(*) from chat_events where session_id = $1").await?, 3)
            }
            Operation::HandOver => ("handovers", count("select count(*) from chat_events as e join chat_sessions as s on s.id = e.session_id where s.id = $1 and e.type = 'handover' and s.agent_id = 'tax_compliance'").await?, 1),
            Operation::Decide => ("decisions", count("select count(*) from chat_events where session_id = $1 and type = 'hitl_resolved'").await?, 1),
            Operation::Expire => ("expired sessions", count("select count(*) from chat_sessions where id = $1 and end_reason = 'expired'").await?, 1),
        };
        Ok((found != expected).then(|| format!("expected {expected} {what} of {id}, found {found}")))
    }
}

/// Changes a session's rows directly in the database.
async fn touch(env: &StressEnv, session: &Value, statement: &'static str) -> Result<()> {
    sqlx::query(statement).bind(id(session)?).execute(env.stack.database()).await?;
    Ok(())
}

fn id(session: &Value) -> Result<Uuid> {
    Ok(session["id"].as_str().context("the session has no id")?.parse()?)
}
