//! OpenAI fully down: only new secrets wait.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{AT_ONCE, Ground, Person, each};
use super::measurement::Figure;
use super::requests::{TestResponse, Wish};
use local_stack::openai::Fault;

/// So many requests spend every process's retry budget.
const SPENDING: usize = 240;

/// What is asked, in turn, and whether OpenAI plays a part in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    ListSessions,
    ListMessages,
    ListAgents,
    Record,
    Cancel,
    Create,
    Refresh,
}

const KINDS: [Kind; 8] = [
    Kind::Read,
    Kind::ListSessions,
    Kind::Record,
    Kind::Cancel,
    Kind::Create,
    Kind::ListMessages,
    Kind::Refresh,
    Kind::ListAgents,
];

impl Kind {
    fn needs_a_secret(self) -> bool {
        matches!(self, Self::Create | Self::Refresh)
    }

    fn asks_openai(self) -> bool {
        self.needs_a_secret() || matches!(self, Self::Read | Self::Cancel)
    }
}

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    // Every request has a session of its own: a cancel ends it.
    let opened = each(SPENDING + count, AT_ONCE, async |number| {
        Ok::<_, anyhow::Error>((number, ground.opened(ground.person(number)).await?))
    });
    let sessions: Vec<(usize, Value)> = opened.await.into_iter().collect::<Result<_>>()?;
    let run_out = "update chatkit_sessions set expires_at = now() + interval '60 seconds'";
    sqlx::query(run_out).execute(ground.stack.database()).await?;
    ground.stack.openai().fault(Fault::everywhere().reset_before());
    let (spending, counted) = sessions.split_at(SPENDING);
    ask(ground, spending).await;
    ground.stack.openai().clear_ledger();
    let outcomes = ask(ground, counted).await;

    let wrong: Vec<String> = outcomes
        .iter()
        .filter(|(kind, reply)| !as_promised(*kind, reply))
        .map(|(kind, reply)| format!("{kind:?}: {reply:?}"))
        .collect();
    let secrets = outcomes.iter().filter(|(kind, _)| kind.needs_a_secret()).count();
    let asking = outcomes.iter().filter(|(kind, _)| kind.asks_openai()).count();
    Ok(vec![
        Figure::exactly(
            "reads, events and cancels that went on",
            outcomes.len() - secrets - wrong.len(),
            count - secrets,
        ),
        Figure::some("new secrets that were refused with 503 and Retry-After", secrets),
        Figure::violations("any other answer", &wrong),
        Figure::at_most(
            "calls of OpenAI for each request that asks it, the budget spent",
            ground.stack.openai().requests().len(),
            asking,
            1.1,
        ),
    ])
}

async fn ask(ground: &Ground, sessions: &[(usize, Value)]) -> Vec<(Kind, TestResponse)> {
    let place = AtomicUsize::new(0);
    each(sessions.len(), AT_ONCE, async |number| {
        let kind = KINDS[place.fetch_add(1, Ordering::Relaxed) % KINDS.len()];
        let (owner, session) = &sessions[number];
        let path = Person::path(session);
        let wish = match kind {
            Kind::Read => Wish::read(path),
            Kind::ListSessions => Wish::read("/chatkit/sessions".to_owned()),
            Kind::ListMessages => Wish::read(format!("{path}/messages")),
            Kind::ListAgents => Wish::read("/chatkit/agents".to_owned()),
            Kind::Record => {
                let event = json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} });
                Wish::record(session, event)
            }
            Kind::Cancel => Wish::cancel(session),
            Kind::Create => Wish::open(None),
            Kind::Refresh => Wish::renew(session, "refresh", None),
        };
        (kind, ground.ask(ground.person(*owner), &wish).await)
    })
    .await
}

fn as_promised(kind: Kind, reply: &TestResponse) -> bool {
    if kind.needs_a_secret() {
        reply.status == Some(503)
            && reply.code() == Some("chatkit_unavailable")
            && reply.retry_after.is_some()
    } else {
        reply.is_done()
    }
}
