//! Sessions that are cancelled while other devices ask for their secrets.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::env::{Ground, Person, each};
use super::invariants;
use super::measurement::Figure;
use super::requests::{TestResponse, Wish};
use local_stack::http::RandomFault;
use local_stack::openai::{Fault, On};

/// Sessions at once; each is asked for by five.
const AT_ONCE: usize = 6;
const REFRESHES: usize = 4;

/// What came of one session.
#[derive(Default)]
struct Raced {
    /// Secrets that a browser could still use once the cancel was answered.
    usable: Vec<String>,
    /// All secrets that were ever handed out.
    secrets: Vec<String>,
    /// Refreshes that won, and those that were told that the session has ended.
    refreshed: usize,
    refused: usize,
    strange: Vec<String>,
}

pub async fn run(ground: &Ground, count: usize) -> Result<Vec<Figure>> {
    // A tenth with OpenAI refusing every cancel.
    let (down, up) = (count / 10, count - count / 10);
    let slow = Fault::new(On::CreateSession)
        .late(Duration::from_millis(15))
        .chance(RandomFault::new(0.3, ground.seed));
    ground.stack.openai().fault(slow);
    let raced = each(up, AT_ONCE, async |number| race(ground, number).await).await;
    let raced: Vec<Raced> = raced.into_iter().collect::<Result<_>>()?;

    ground.stack.openai().fault(Fault::new(On::CancelSession).status(503).should_retry(false));
    let outage = each(down, AT_ONCE, async |number| race(ground, up + number).await).await;
    let outage: Vec<Raced> = outage.into_iter().collect::<Result<_>>()?;
    let left = outage.iter().map(|raced| raced.usable.len()).sum();
    ground.calm().await;
    ground.leases_ran_out().await?;
    ground.run_job().await?;
    let usable = |raced: &[Raced]| raced.iter().map(|raced| raced.usable.len()).sum::<usize>();
    let sum = |part: fn(&Raced) -> usize| raced.iter().chain(&outage).map(part).sum();
    let strange: Vec<String> = raced.iter().chain(&outage).flat_map(|raced| raced.strange.clone()).collect();
    let mut figures = vec![
        Figure::some("refreshes that came in time", sum(|raced| raced.refreshed)),
        Figure::some("refreshes that were told of the end", sum(|raced| raced.refused)),
        Figure::violations("any other outcome", &strange),
        Figure::none("secrets usable once the cancel was answered", usable(&raced)),
        Figure::some("the same with OpenAI refusing to cancel", left),
    ];
    figures.extend(invariants::figures(ground).await?);
    // Its clock is ten minutes on by now.
    let mut outlived = 0;
    for secret in outage.iter().flat_map(|raced| &raced.secrets) {
        outlived += usize::from(is_usable(ground, secret).await);
    }
    figures.push(Figure::none("of those, usable after ten minutes", outlived));
    Ok(figures)
}

async fn race(ground: &Ground, number: usize) -> Result<Raced> {
    let person = ground.person(number);
    let session = ground.opened(person).await?;
    let mut rng = ground.rng(number);
    let runs_out = rng.bool();
    if runs_out {
        // The secret at hand is about to run out, so that each refresh asks OpenAI.
        let query = "update chatkit_sessions set expires_at = now() + interval '60 seconds' where session_id = $1::uuid";
        sqlx::query(query).bind(session["id"].as_str()).execute(ground.stack.database()).await?;
    }
    let pauses: Vec<u64> = (0..=REFRESHES).map(|_| rng.u64(..40)).collect();
    let cancelling = async {
        pause(pauses[REFRESHES]).await;
        let cancelled = ground.insist(person, &Wish::cancel(&session), 5).await.reply;
        let usable = is_usable(ground, session["chatkit"]["clientSecret"].as_str().unwrap_or_default()).await;
        (cancelled, usable)
    };
    let refreshing = each(REFRESHES, REFRESHES, async |device| {
        pause(pauses[device]).await;
        let purpose = if device % 2 == 0 { "refresh" } else { "resume" };
        ground.answered(person, &Wish::renew(&session, purpose, None)).await
    });
    let ((cancelled, usable), refreshes) = tokio::join!(cancelling, refreshing);
    if runs_out {
        // What the database believes to have run out is not cancelled any more, and OpenAI still gives it its ten minutes.
        let query = "update chatkit_sessions set expires_at = $2::timestamptz where chatkit_session_id = $1";
        let first = &session["chatkit"];
        let real = sqlx::query(query).bind(first["sessionId"].as_str()).bind(first["expiresAt"].as_str());
        anyhow::ensure!(
            real.execute(ground.stack.database()).await?.rows_affected() == 1,
            "no row of {first}"
        );
    }
    judge(ground, &session, &cancelled, usable, &refreshes).await
}

async fn judge(
    ground: &Ground,
    session: &Value,
    cancelled: &TestResponse,
    first_is_usable: bool,
    refreshes: &[TestResponse],
) -> Result<Raced> {
    let mut raced = Raced::default();
    let path = Person::path(session);
    if cancelled.status != Some(200) || cancelled.body["status"] != "ended" {
        raced.strange.push(format!("{path} was not cancelled: {cancelled:?}"));
    }
    if first_is_usable {
        raced.usable.push(path.clone());
    }
    raced.secrets.extend(session["chatkit"]["clientSecret"].as_str().map(str::to_owned));
    for refresh in refreshes {
        match (refresh.status, refresh.code(), refresh.secret()) {
            (Some(200), None, Some(secret)) => {
                raced.refreshed += 1;
                raced.secrets.push(secret.to_owned());
                if is_usable(ground, secret).await {
                    raced.usable.push(path.clone());
                }
            }
            (Some(409), Some("session_ended"), _) => raced.refused += 1,
            // Another device's refresh took this one's place.
            (Some(409), Some("still_running"), _) => {}
            _ => raced.strange.push(format!("{path} was not refreshed: {refresh:?}")),
        }
    }
    Ok(raced)
}

/// Whether a browser could still talk with it.
async fn is_usable(ground: &Ground, secret: &str) -> bool {
    ground.stack.openai().say(secret, None, "Are you there?").await.is_ok()
}

async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}
