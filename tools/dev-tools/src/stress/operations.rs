//! All ways to write, each of which must be whole or not at all whenever its process dies.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

use super::env::{Ground, OTHER_AGENT, Person};
use super::kills::batch;
use super::requests::Wish;

/// A way to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Deed {
    Open,
    Refresh,
    Cancel,
    Record,
    HandOver,
    Decide,
    Expire,
}

pub const DEEDS: [Deed; 7] =
    [Deed::Open, Deed::Refresh, Deed::Cancel, Deed::Record, Deed::HandOver, Deed::Decide, Deed::Expire];

impl Deed {
    /// Which function does it.
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

/// A deed that is about to be done, for one session.
pub struct Prepared {
    number: usize,
    deed: Deed,
    /// Null for a session that is yet to be opened.
    session: Value,
    /// What is asked; nothing where the scheduler does it.
    wish: Option<Wish>,
}

impl Prepared {
    /// Brings about what it needs.
    pub async fn new(ground: &Ground, deed: Deed, number: usize) -> Result<Self> {
        let person = ground.person(number);
        let session = if deed == Deed::Open { Value::Null } else { ground.opened(person).await? };
        let key = Some(format!("deed-{number}"));
        let mut rng = ground.rng(number);
        let wish = match deed {
            Deed::Open => Some(Wish::open(key)),
            Deed::Refresh => {
                touch(ground, &session, "update chatkit_sessions set expires_at = now() + interval '60 seconds' where session_id = $1")
                    .await?;
                Some(Wish::renew(&session, "refresh", key))
            }
            Deed::Cancel => Some(Wish::cancel(&session)),
            Deed::Record => Some(Wish::record(&session, batch(&mut rng))),
            Deed::HandOver => {
                let payload = json!({ "agentId": OTHER_AGENT, "reason": "Taxes" });
                let event =
                    json!({ "id": Uuid::from_u128(rng.u128(..)), "type": "handover", "payload": payload });
                Some(Wish::record(&session, event))
            }
            Deed::Decide => {
                let payload = json!({ "reason": "Above the limit", "decisions": ["approve"] });
                let id = Uuid::from_u128(rng.u128(..));
                let event = json!({ "id": id, "type": "hitl_escalation", "payload": payload });
                ensure!(
                    ground.answered(person, &Wish::record(&session, event)).await.is_done(),
                    "nothing was asked"
                );
                let read = ground.answered(person, &Wish::read(Person::path(&session))).await;
                Some(Wish::decide(&read.body["escalations"][0], "approve"))
            }
            Deed::Expire => {
                touch(
                    ground,
                    &session,
                    "update chat_sessions set last_activity_at = now() - interval '25 hours' where id = $1",
                )
                .await?;
                None
            }
        };
        Ok(Self { number, deed, session, wish })
    }

    /// Does it once, and says what was acknowledged.
    pub async fn attempt(&self, ground: &Ground) -> Result<Option<Value>> {
        match &self.wish {
            Some(wish) => {
                let reply = ground.ask(ground.person(self.number), wish).await;
                Ok(reply.is_done().then_some(reply.body))
            }
            None => Ok(ground.run_job().await.ok()),
        }
    }

    /// Does it again until it is acknowledged, and says what is not as it has to be then.
    pub async fn finish(&self, ground: &Ground, before: Option<&Value>) -> Result<Option<String>> {
        let mut session = self.session.clone();
        if let Some(wish) = &self.wish {
            let reply = ground.insist(ground.person(self.number), wish, 5).await.reply;
            if !reply.is_done() {
                return Ok(Some(format!("it was not done again: {reply:?}")));
            }
            if self.deed == Deed::Open {
                session = reply.body.clone();
            }
            let same = ["id", "events", "event"]
                .iter()
                .all(|part| before.is_none_or(|b| b[*part] == reply.body[*part]));
            if !same {
                return Ok(Some(format!("{:?} was acknowledged, and now {}", before, reply.body)));
            }
        }
        self.wrong(ground.stack.database(), &session).await
    }

    async fn wrong(&self, database: &PgPool, session: &Value) -> Result<Option<String>> {
        let id = id(session)?;
        let count = async |query: &'static str| -> Result<i64> {
            Ok(sqlx::query_scalar(query).bind(id).fetch_one(database).await?)
        };
        let (what, found, right) = match self.deed {
            Deed::Open => ("active sessions", count("select count(*) from chat_sessions where id = $1 and status = 'active'").await?, 1),
            Deed::Refresh => ("active sessions", count("select count(*) from chat_sessions where id = $1 and status = 'active'").await?, 1),
            Deed::Cancel => ("cancelled sessions", count("select count(*) from chat_sessions where id = $1 and end_reason = 'cancelled'").await?, 1),
            Deed::Record => {
                let escalations = count("select count(*) from chat_escalations where session_id = $1").await?;
                ensure!(escalations == 1, "{escalations} escalations of {id}");
                ("events", count("select count(*) from chat_events where session_id = $1").await?, 3)
            }
            Deed::HandOver => ("handovers that took place", count("select count(*) from chat_events as e join chat_sessions as s on s.id = e.session_id where s.id = $1 and e.type = 'handover' and s.agent_id = 'tax_compliance'").await?, 1),
            Deed::Decide => ("decisions", count("select count(*) from chat_events where session_id = $1 and type = 'hitl_resolved'").await?, 1),
            Deed::Expire => ("expired sessions", count("select count(*) from chat_sessions where id = $1 and end_reason = 'expired'").await?, 1),
        };
        Ok((found != right).then(|| format!("{found} {what} under {id} instead of {right}")))
    }
}

/// Changes a session's rows behind everybody's back.
async fn touch(ground: &Ground, session: &Value, statement: &'static str) -> Result<()> {
    sqlx::query(statement).bind(id(session)?).execute(ground.stack.database()).await?;
    Ok(())
}

fn id(session: &Value) -> Result<Uuid> {
    Ok(session["id"].as_str().context("a session without an id")?.parse()?)
}
