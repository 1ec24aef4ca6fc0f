//! Somebody with a session.

use anyhow::{Context, Result, bail, ensure};
use local_stack::supabase::User;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

/// Somebody with a session, and the ids that are theirs.
#[derive(Clone, Debug)]
pub struct Person {
    pub user: User,
    pub session: Uuid,
    /// Another session, in which nobody is asked: it can become idle.
    pub quiet: Uuid,
    /// A third one, which has ended and whose threads are still to be copied.
    pub over: Uuid,
    /// At ChatKit, recorded.
    pub request: Uuid,
    /// Asked for and not answered yet.
    pub pending: Uuid,
    pub upstream: String,
    pub event: Uuid,
    pub escalation: Uuid,
    pub message: Uuid,
    /// What they sent requests under that must not be done twice.
    pub key: Uuid,
    /// Of their session's deliveries the one that was given up,
    pub dead: Uuid,
    /// the one whose agent wants an answer,
    pub asked: Uuid,
    /// the one whose call is under way,
    pub running: Uuid,
    /// and the one behind it.
    pub waiting: Uuid,
    /// By which the call under way is finished.
    pub fence: u64,
    /// What the agent wants to know, and the hash of what it is about.
    pub question: Uuid,
    pub subject_hash: String,
}

impl Person {
    /// Somebody with ids that nobody else has, and nothing behind them yet.
    pub fn new(user: User) -> Self {
        let id = Uuid::new_v4;
        Self {
            user,
            session: id(),
            quiet: id(),
            over: id(),
            request: id(),
            pending: id(),
            upstream: format!("cksess_{}", id().simple()),
            event: id(),
            escalation: id(),
            message: id(),
            key: id(),
            dead: id(),
            asked: id(),
            running: id(),
            waiting: id(),
            fence: id().as_u64_pair().0 >> 1,
            question: id(),
            subject_hash: id().simple().to_string().repeat(2),
        }
    }

    /// Learns the ids that the database made, and gives the call under way their fence: everybody's first is the same.
    pub async fn learn(&mut self, database: &PgPool) -> Result<()> {
        let deliveries: Vec<Uuid> =
            sqlx::query_scalar("select id from public.deliveries where session_id = $1 order by seq")
                .bind(self.session)
                .fetch_all(database)
                .await?;
        let deliveries = <[Uuid; 4]>::try_from(deliveries);
        let Ok([dead, asked, running, waiting]) = deliveries else {
            bail!("not four deliveries: {deliveries:?}")
        };
        (self.dead, self.asked, self.running, self.waiting) = (dead, asked, running, waiting);
        let question = "select id, subject_hash from public.chat_escalations where delivery_id = $1";
        (self.question, self.subject_hash) =
            sqlx::query_as(question).bind(asked).fetch_one(database).await.context("no question")?;
        let fence = "update public.deliveries set fence = $1 where id = $2 and status = 'running'";
        let fenced =
            sqlx::query(fence).bind(i64::try_from(self.fence)?).bind(running).execute(database).await?;
        ensure!(fenced.rows_affected() == 1, "no call is under way");
        Ok(())
    }

    /// Who they are and everything that is theirs, by the names that it has in templates.
    pub fn ids(&self) -> [(&'static str, String); 19] {
        [
            ("{org}", self.user.org_id.to_string()),
            ("{user}", self.user.id.to_string()),
            ("{session}", self.session.to_string()),
            ("{quiet}", self.quiet.to_string()),
            ("{over}", self.over.to_string()),
            ("{request}", self.request.to_string()),
            ("{pending}", self.pending.to_string()),
            ("{event}", self.event.to_string()),
            ("{escalation}", self.escalation.to_string()),
            ("{message}", self.message.to_string()),
            ("{key}", self.key.to_string()),
            ("{upstream}", self.upstream.clone()),
            ("{dead}", self.dead.to_string()),
            ("{asked}", self.asked.to_string()),
            ("{running}", self.running.to_string()),
            ("{waiting}", self.waiting.to_string()),
            ("{fence}", self.fence.to_string()),
            ("{question}", self.question.to_string()),
            ("{subject_hash}", self.subject_hash.clone()),
        ]
    }

    /// Everything that is theirs alone.
    pub fn own(&self) -> impl Iterator<Item = String> {
        self.ids().into_iter().filter(|(name, _)| !["{org}", "{user}"].contains(name)).map(|(_, id)| id)
    }

    /// A template with this person's ids put in. Each `{new}` is a new one, `{hash}` is that of every request, and three
    /// arguments of most functions together say which session of whom it is.
    pub fn fill(&self, template: &str) -> String {
        let mut filled = template
            .replace("{the user's session}", r#""p_user_id": "{user}", {the organisation's session}"#)
            .replace("{the organisation's session}", r#""p_org_id": "{org}", "p_session_id": "{session}""#)
            .replace(
                "{the organisation's quiet session}",
                r#""p_org_id": "{org}", "p_session_id": "{quiet}""#,
            )
            .replace(
                "{the organisation's session that is over}",
                r#""p_org_id": "{org}", "p_session_id": "{over}""#,
            )
            .replace("{hash}", &"0123456789abcdef".repeat(4));
        while filled.contains("{new}") {
            filled = filled.replacen("{new}", &Uuid::new_v4().to_string(), 1);
        }
        self.ids().iter().fold(filled, |filled, (name, id)| filled.replace(name, id))
    }

    /// The same for the arguments of a function.
    pub fn call(&self, template: &str) -> Result<Value> {
        let call = self.fill(template);
        serde_json::from_str(&call).with_context(|| format!("in the call {call}"))
    }
}
