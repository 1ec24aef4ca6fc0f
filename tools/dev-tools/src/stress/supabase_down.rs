//! PostgREST fully down: a quick 503, and nothing is asked of OpenAI for nothing.

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use super::env::{Ground, Person, each};
use super::measurement::Figure;
use super::requests::{TestResponse, Wish};
use local_stack::supabase::Fault;

/// Few at once: it is to be seen how long one takes, not how long it waits for the others.
const AT_ONCE: usize = 4;

/// The longest that a caller may have to wait, in milliseconds.
const LONGEST: u64 = 2000;

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    let opened = each(AT_ONCE, AT_ONCE, async |number| {
        Ok::<_, anyhow::Error>((number, ground.opened(ground.person(number)).await?))
    });
    let sessions: Vec<(usize, Value)> = opened.await.into_iter().collect::<Result<_>>()?;
    // Processes are started and keys are fetched.
    let warm = ask(ground, &sessions, 8 * AT_ONCE).await;
    let unwell = warm.iter().filter(|reply| !reply.is_done()).count();

    ground.stack.openai().clear_ledger();
    let before = ground.history.entries().len();
    let mut replies = Vec::new();
    for fault in [Fault::Down, Fault::Unavailable] {
        ground.stack.supabase().fault(fault).await;
        replies.extend(ask(ground, &sessions, count / 2).await);
    }
    let asked = ground.stack.openai().requests().len();
    ground.calm().await;

    let wrong: Vec<String> =
        replies.iter().filter(|reply| !as_promised(reply)).map(|reply| format!("{reply:?}")).collect();
    let slowest = ground.history.entries()[before..].iter().map(|entry| entry.told - entry.sent).max();
    let slowest = slowest.unwrap_or(u64::MAX);
    Ok(vec![
        Figure::none("requests that failed while it was up", unwell),
        Figure::exactly("answered 503 with Retry-After", replies.len() - wrong.len(), replies.len()),
        Figure::violations("any other answer", &wrong),
        Figure {
            what: "the longest that anybody waited",
            found: format!("{slowest} ms"),
            promised: format!("≤ {LONGEST}"),
            holds: slowest <= LONGEST,
        },
        Figure::none("calls of OpenAI", asked),
    ])
}

async fn ask(ground: &Ground, sessions: &[(usize, Value)], count: usize) -> Vec<TestResponse> {
    each(count, AT_ONCE, async |number| {
        let (owner, session) = &sessions[number % sessions.len()];
        let path = Person::path(session);
        let wish = match number / sessions.len() % 7 {
            0 => Wish::read(path),
            1 => Wish::read("/chatkit/sessions".to_owned()),
            2 => Wish::read(format!("{path}/messages")),
            3 => Wish::read("/chatkit/agents".to_owned()),
            4 => Wish::record(session, json!({ "id": Uuid::new_v4(), "type": "custom_x", "payload": {} })),
            5 => Wish::open(Some(format!("down-{number}"))),
            _ => Wish::renew(session, "refresh", None),
        };
        ground.ask(ground.person(*owner), &wish).await
    })
    .await
}

fn as_promised(reply: &TestResponse) -> bool {
    reply.status == Some(503) && reply.code() == Some("supabase_unavailable") && reply.retry_after.is_some()
}
