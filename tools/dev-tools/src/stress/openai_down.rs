//! OpenAI is down: only requests for new client secrets fail.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{CONCURRENCY, Person, StressEnv, run_concurrently};
use super::measurement::Measurement;
use super::requests::{Request, TestResponse};
use local_stack::openai::Fault;

/// Enough requests to exhaust the retry budget of every process.
const BUDGET_REQUESTS: usize = 240;

/// The kinds of requests, in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RequestKind {
    Read,
    ListSessions,
    ListMessages,
    ListAgents,
    Record,
    Cancel,
    Create,
    Refresh,
}

const REQUEST_KINDS: [RequestKind; 8] = [
    RequestKind::Read,
    RequestKind::ListSessions,
    RequestKind::Record,
    RequestKind::Cancel,
    RequestKind::Create,
    RequestKind::ListMessages,
    RequestKind::Refresh,
    RequestKind::ListAgents,
];

impl RequestKind {
    fn needs_secret(self) -> bool {
        matches!(self, Self::Create | Self::Refresh)
    }

    fn calls_openai(self) -> bool {
        self.needs_secret() || matches!(self, Self::Read | Self::Cancel)
    }
}

pub async fn run(env: &StressEnv, count: usize) -> Result<Vec<Measurement>> {
    // Every request has its own session, because a cancellation ends it.
    let opened = run_concurrently(BUDGET_REQUESTS + count, CONCURRENCY, async |number| {
        Ok::<_, anyhow::Error>((number, env.open_session(env.person(number)).await?))
    });
    let sessions: Vec<(usize, Value)> = opened.await.into_iter().collect::<Result<_>>()?;
    let expire_soon = "update chatkit_sessions set expires_at = now() + interval '60 seconds'";
    sqlx::query(expire_soon).execute(env.stack.database()).await?;
    env.stack.openai().add_fault(Fault::everywhere().reset_before());
    let (budget_sessions, counted) = sessions.split_at(BUDGET_REQUESTS);
    send_all(env, budget_sessions).await;
    env.stack.openai().clear_requests();
    let outcomes = send_all(env, counted).await;

    let unexpected: Vec<String> = outcomes
        .iter()
        .filter(|(kind, response)| !is_expected(*kind, response))
        .map(|(kind, response)| format!("{kind:?}: {response:?}"))
        .collect();
    let secrets = outcomes.iter().filter(|(kind, _)| kind.needs_secret()).count();
    let asking = outcomes.iter().filter(|(kind, _)| kind.calls_openai()).count();
    Ok(vec![
        Measurement::exactly(
            "reads, events and cancellations that succeeded",
            outcomes.len() - secrets - unexpected.len(),
            count - secrets,
        ),
        Measurement::non_zero("requests for secrets rejected with 503 and Retry-After", secrets),
        Measurement::violations("other responses", &unexpected),
        Measurement::max_ratio(
            "requests to OpenAI per request that needs it, budget exhausted",
            env.stack.openai().requests().len(),
            asking,
            1.1,
        ),
    ])
}

async fn send_all(env: &StressEnv, sessions: &[(usize, Value)]) -> Vec<(RequestKind, TestResponse)> {
    let index = AtomicUsize::new(0);
    run_concurrently(sessions.len(), CONCURRENCY, async |number| {
        let kind = REQUEST_KINDS[index.fetch_add(1, Ordering::Relaxed) % REQUEST_KINDS.len()];
        let (owner, session) = &sessions[number];
        let path = Person::path(session);
        let request = match kind {
            RequestKind::Read => Request::read(path),
            RequestKind::ListSessions => Request::read("/chatkit/sessions".to_owned()),
            RequestKind::ListMessages => Request::read(format!("{path}/messages")),
            RequestKind::ListAgents => Request::read("/chatkit/agents".to_owned()),
            RequestKind::Record => {
                let event = json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} });
                Request::record(session, event)
            }
            RequestKind::Cancel => Request::cancel(session),
            RequestKind::Create => Request::open(None),
            RequestKind::Refresh => Request::renew(session, "refresh", None),
        };
        (kind, env.send(env.person(*owner), &request).await)
    })
    .await
}

fn is_expected(kind: RequestKind, response: &TestResponse) -> bool {
    if kind.needs_secret() {
        response.status == Some(503)
            && response.code() == Some("chatkit_unavailable")
            && response.retry_after.is_some()
    } else {
        response.is_success()
    }
}
