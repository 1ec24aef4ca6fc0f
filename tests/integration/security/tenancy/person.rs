//! A person with sessions, and the ids of the person's rows.

use anyhow::{Context, Result, bail, ensure};
use local_stack::supabase::User;
use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;

#[derive(Clone, Debug)]
pub struct Person {
    pub user: User,
    pub session: Uuid,
    /// A session without an escalation, which can become idle.
    pub idle_session: Uuid,
    /// A session that has ended, and whose threads are not copied yet.
    pub ended_session: Uuid,
    /// A request for a ChatKit session that is recorded.
    pub request: Uuid,
    /// A request for a ChatKit session that OpenAI has not answered.
    pub pending_request: Uuid,
    pub chatkit_session: String,
    pub event: Uuid,
    pub escalation: Uuid,
    pub message: Uuid,
    pub idempotency_key: Uuid,
    /// The deliveries of the session, in the order of its queue.
    pub dead_delivery: Uuid,
    /// Its agent has asked a question.
    pub asked_delivery: Uuid,
    pub running_delivery: Uuid,
    pub waiting_delivery: Uuid,
    /// The fence of the running delivery.
    pub fence: u64,
    /// The escalation of the asked delivery.
    pub ask: Uuid,
    /// The subject hash of that escalation.
    pub subject_hash: String,
    /// A session of the self-hosted chat, with one thread and a running answer.
    pub chat_session: Uuid,
    /// The request for the client secret of that session.
    pub chat_request: Uuid,
    /// The hash of that secret.
    pub chat_secret: String,
    pub thread: String,
    /// The user's message in the thread.
    pub item: String,
    pub run: Uuid,
}

impl Person {
    /// A person with unique ids, without rows.
    pub fn new(user: User) -> Self {
        let id = Uuid::new_v4;
        Self {
            user,
            session: id(),
            idle_session: id(),
            ended_session: id(),
            request: id(),
            pending_request: id(),
            chatkit_session: format!("cksess_{}", id().simple()),
            event: id(),
            escalation: id(),
            message: id(),
            idempotency_key: id(),
            dead_delivery: id(),
            asked_delivery: id(),
            running_delivery: id(),
            waiting_delivery: id(),
            fence: id().as_u64_pair().0 >> 1,
            ask: id(),
            subject_hash: id().simple().to_string().repeat(2),
            chat_session: id(),
            chat_request: id(),
            chat_secret: id().simple().to_string().repeat(2),
            thread: format!("thr_{}", id().simple()),
            item: format!("msg_{}", id().simple()),
            run: id(),
        }
    }

    /// Reads the ids that the database generated, and sets a unique fence: the first fence of every
    /// delivery is the same.
    pub async fn load_ids(&mut self, database: &PgPool) -> Result<()> {
        let deliveries: Vec<Uuid> =
            sqlx::query_scalar("select id from public.deliveries where session_id = $1 order by seq")
                .bind(self.session)
                .fetch_all(database)
                .await?;
        let deliveries = <[Uuid; 4]>::try_from(deliveries);
        let Ok([dead, asked, running, waiting]) = deliveries else {
            bail!("expected 4 deliveries, found {deliveries:?}")
        };
        (self.dead_delivery, self.asked_delivery) = (dead, asked);
        (self.running_delivery, self.waiting_delivery) = (running, waiting);
        let ask = "select id, subject_hash from public.chat_escalations where delivery_id = $1";
        let ask = sqlx::query_as(ask).bind(asked).fetch_one(database).await;
        (self.ask, self.subject_hash) = ask.context("the asked delivery has no escalation")?;
        let fence = "update public.deliveries set fence = $1 where id = $2 and status = 'running'";
        let updated =
            sqlx::query(fence).bind(i64::try_from(self.fence)?).bind(running).execute(database).await?;
        ensure!(updated.rows_affected() == 1, "the delivery {running} is not running");
        Ok(())
    }

    /// The placeholders of templates, and the values for this person.
    pub fn placeholders(&self) -> [(&'static str, String); 26] {
        [
            ("{org}", self.user.org_id.to_string()),
            ("{user}", self.user.id.to_string()),
            ("{session}", self.session.to_string()),
            ("{idle_session}", self.idle_session.to_string()),
            ("{ended_session}", self.ended_session.to_string()),
            ("{request}", self.request.to_string()),
            ("{pending}", self.pending_request.to_string()),
            ("{event}", self.event.to_string()),
            ("{escalation}", self.escalation.to_string()),
            ("{message}", self.message.to_string()),
            ("{key}", self.idempotency_key.to_string()),
            ("{chatkit_session}", self.chatkit_session.clone()),
            // The id of the card of the escalation `ask`.
            ("{card}", format!("msg_{}", self.ask.simple())),
            ("{dead}", self.dead_delivery.to_string()),
            ("{asked}", self.asked_delivery.to_string()),
            ("{running}", self.running_delivery.to_string()),
            ("{waiting}", self.waiting_delivery.to_string()),
            ("{fence}", self.fence.to_string()),
            ("{ask}", self.ask.to_string()),
            ("{subject_hash}", self.subject_hash.clone()),
            ("{chat_session}", self.chat_session.to_string()),
            ("{chat_request}", self.chat_request.to_string()),
            ("{chat_secret}", self.chat_secret.clone()),
            ("{thread}", self.thread.clone()),
            ("{item}", self.item.clone()),
            ("{run}", self.run.to_string()),
        ]
    }

    /// The ids of this person's rows. The organisation and the user are not unique to a person.
    pub fn own_ids(&self) -> impl Iterator<Item = String> {
        self.placeholders()
            .into_iter()
            .filter(|(name, _)| !["{org}", "{user}"].contains(name))
            .map(|(_, id)| id)
    }

    /// Replaces the placeholders of a template. Each `{new}` becomes another new id, `{hash}` the
    /// hash of every request, and `{session_of_user}` and the like the first arguments of most
    /// functions.
    pub fn fill(&self, template: &str) -> String {
        let mut filled = template
            .replace("{session_of_user}", r#""p_user_id": "{user}", {session_of_org}"#)
            .replace("{session_of_org}", r#""p_org_id": "{org}", "p_session_id": "{session}""#)
            .replace("{idle_session_of_org}", r#""p_org_id": "{org}", "p_session_id": "{idle_session}""#)
            .replace("{ended_session_of_org}", r#""p_org_id": "{org}", "p_session_id": "{ended_session}""#)
            .replace("{hash}", &"0123456789abcdef".repeat(4));
        while filled.contains("{new}") {
            filled = filled.replacen("{new}", &Uuid::new_v4().to_string(), 1);
        }
        self.placeholders().iter().fold(filled, |filled, (name, id)| filled.replace(name, id))
    }

    /// Fills a template of a function's arguments.
    pub fn arguments(&self, template: &str) -> Result<Value> {
        let arguments = self.fill(template);
        serde_json::from_str(&arguments).with_context(|| format!("the arguments {arguments}"))
    }
}
