//! A page with a session: turns of the chat, and events that are routed to the agent.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use http_client::Method;
use local_stack::chat_client::{ChatClient, ThreadView};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ANSWER;
use crate::stress::env::{Person, StressEnv};
use crate::stress::requests::Request;

/// A delivery takes at most this long, on any machine.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(30);

/// Interval of the checks whether a delivery is done.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

pub struct Page<'a> {
    env: &'a StressEnv,
    person: &'a Person,
    session: Value,
    pub chat: ChatClient,
}

impl<'a> Page<'a> {
    /// Opens a session with an agent.
    pub async fn open(env: &'a StressEnv, person: &'a Person, agent_id: &str) -> Result<Self> {
        let request = Request {
            method: Method::POST,
            path: "/chatkit/sessions".to_owned(),
            key: Some(Uuid::new_v4().to_string()),
            body: Some(json!({ "agentId": agent_id })),
        };
        let session = env.send_with_retries(person, &request, 9).await.response;
        ensure!(session.is_success(), "the session was not opened: {session:?}");
        let secret = session.secret().context("the session has no secret")?;
        let chat = ChatClient::new(&env.stack.function_url("serve-chatkit"), secret);
        Ok(Self { env, person, session: session.body, chat })
    }

    pub fn session_id(&self) -> Result<Uuid> {
        Ok(self.session["id"].as_str().context("the session has no id")?.parse()?)
    }

    /// Asks a question in a new thread and reads the whole answer. Returns how long it took.
    pub async fn ask(&self, question: &str) -> Result<(Duration, ThreadView)> {
        let started = Instant::now();
        let events = self.chat.create_thread(question).await?.finish().await?;
        let took = started.elapsed();
        let view = ThreadView::from_events(&events)?;
        ensure!(view.errors.is_empty() && view.answer() == ANSWER, "{question:?}: {view:?}");
        Ok((took, view))
    }

    /// Records clicks. Returns the ids of the events.
    pub async fn click(&self, count: usize) -> Result<Vec<Uuid>> {
        let ids: Vec<Uuid> = (0..count).map(|_| Uuid::now_v7()).collect();
        let event = |id: &Uuid| {
            let data = json!({ "invoice": "42", "amount": 7 });
            json!({ "id": id, "type": "button_click", "payload": { "action": "check", "data": data } })
        };
        let events = ids.iter().map(event).collect();
        let recorded =
            self.env.send_with_retries(self.person, &Request::record(&self.session, events), 9).await;
        ensure!(recorded.response.status == Some(201), "{:?}", recorded.response);
        Ok(ids)
    }

    /// Records one click. Returns how long it took until the agent had executed it.
    pub async fn deliver(&self) -> Result<Duration> {
        let started = Instant::now();
        let event_id = self.click(1).await?[0];
        let query = "select status from deliveries where event_id = $1";
        loop {
            let status: Option<String> =
                sqlx::query_scalar(query).bind(event_id).fetch_optional(self.env.stack.database()).await?;
            match status.as_deref() {
                Some("done") => return Ok(started.elapsed()),
                Some("pending" | "running") if started.elapsed() < DELIVERY_TIMEOUT => {}
                other => bail!("the delivery is {other:?} after {:?}", started.elapsed()),
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}
