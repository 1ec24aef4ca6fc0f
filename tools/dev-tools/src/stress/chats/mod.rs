//! Users chat with a self-hosted agent on several pages. Its model calls tools, and a person
//! decides about the calls that are held. Meanwhile a fifth of the responses of the model, of the
//! agent and of Supabase fail, processes get killed, and leases expire.

mod answers;
mod calls;
mod checks;
mod ledger;
mod page;
mod request;
mod tools;

use std::convert::Infallible;
use std::time::Duration;

use anyhow::{Result, ensure};
use local_stack::model::MODEL;
use serde_json::{Value, json};

use super::deliveries;
use super::env::{StressEnv, run_concurrently};
use super::measurement::Measurement;
pub use answers::question_of;
pub use ledger::Ledger;
use ledger::{count, read};
use page::CHAT_AGENT;
pub use page::Page;

/// Number of pages. Two of them belong to each user. A repeat needs a process of its own, and there
/// are 16.
const PAGES: usize = 12;
const USERS: usize = PAGES / 2;

/// Number of turns between two disturbances is below this.
const MAX_CALM_TURNS: usize = 8;

/// Number of threads that are checked through the function, too.
const LISTED_THREADS: usize = 150;

pub async fn run(env: &StressEnv, turns: usize) -> Result<Vec<Measurement>> {
    register_chat_agent(env).await?;
    let agent = tools::register(env).await?;
    let approver = tools::Approver::add(env).await?;
    let ledger = Ledger::default();
    let mut pages = Vec::new();
    for number in 0..PAGES {
        pages.push(Page::open(env, &ledger, number % USERS).await?);
    }
    env.stack.model().set_default_answer(answers::script);
    let faults = answers::inject_faults(env, 0.2);
    let agent_faults = deliveries::inject_agent_faults(agent);
    let chance = env.inject_supabase_faults(0.2, local_stack::supabase::FailureSet::Transient).await;

    let chatting = run_concurrently(PAGES, PAGES, {
        let pages = std::sync::Mutex::new(pages);
        move |first| {
            let page = pages.lock().ok().and_then(|mut pages| pages.pop());
            chat(page, first, turns)
        }
    });
    let mut pages: Vec<Page<'_>> = tokio::select! {
        pages = chatting => pages.into_iter().collect::<Result<_>>()?,
        Err(error) = disturb(env, &ledger) => return Err(error),
        Err(error) = approver.decide_meanwhile() => return Err(error),
    };
    let hits: usize = faults.iter().map(|fault| env.stack.model().hits(*fault) as usize).sum();
    let agent_hits: usize = agent_faults.iter().map(|fault| agent.hits(*fault) as usize).sum();
    env.clear_faults().await;
    env.stack.model().clear_faults();
    agent.clear_faults();
    // Answers whose page has left go on.
    wait_for_model(env).await?;
    expire_leases(env, "true").await?;
    let before = env.run_job().await?;

    let mut measurements = vec![
        Measurement::exactly("turns", read(&ledger.counts.turns), turns),
        Measurement::non_zero("failed answers of the model", hits),
        Measurement::non_zero("failed calls of the agent", agent_hits),
        Measurement::non_zero("failed requests to Supabase", chance.occurrences()),
        Measurement::non_zero("kills of all processes", read(&ledger.counts.kills)),
        Measurement::non_zero("streams cut", read(&ledger.counts.cut)),
        Measurement::non_zero("error events", read(&ledger.counts.errors)),
        Measurement::info("requests refused", read(&ledger.counts.refused)),
        Measurement::info("leases expired under a live process", read(&ledger.counts.expired_leases)),
        Measurement::non_zero("repeated requests", read(&ledger.counts.repeats)),
        Measurement::non_zero("requests sent twice at once", read(&ledger.counts.concurrent_repeats)),
        Measurement::info("other answers asked for", read(&ledger.counts.retries)),
        Measurement::info("stops", read(&ledger.counts.stops)),
        Measurement::info("streams left", read(&ledger.counts.left)),
        Measurement::info("answers settled by the scheduled run", settled(&before)),
    ];
    measurements.extend(checks::check(env, &ledger).await?);
    measurements.extend(go_on(env, &mut pages, &ledger).await?);
    approver.decide_everything().await?;
    measurements.extend(calls::check(env, agent, &approver).await?);
    measurements.push(Measurement::non_zero("reloads compared with the page", read(&ledger.counts.compared)));
    let lost = read(&ledger.counts.lost_workflows);
    measurements.push(Measurement::info("steps of reasoning shown and not stored", lost));
    measurements.push(Measurement::violations("unexpected responses and views", &ledger.violations()));
    Ok(measurements)
}

/// Registers the self-hosted agent of the stress tests.
pub async fn register_chat_agent(env: &StressEnv) -> Result<()> {
    let agent = json!({
        "p_org_id": env.person(0).user.org_id, "p_agent_id": CHAT_AGENT, "p_display_name": "Chat",
        "p_description": "Answers", "p_provider": "self_hosted", "p_model": MODEL,
        "p_instructions": "You answer questions about invoices.",
    });
    let (status, body) = env.stack.rpc("register_agent", agent).await?;
    ensure!(status.is_success(), "the agent was not registered: {body}");
    Ok(())
}

/// Sends every turn of a page.
async fn chat(page: Option<Page<'_>>, first: usize, turns: usize) -> Result<Page<'_>> {
    let mut page = page.ok_or_else(|| anyhow::anyhow!("there is a page for each number"))?;
    for number in (first..turns).step_by(PAGES) {
        page.turn(number).await?;
    }
    Ok(page)
}

/// Kills all processes now and then, and lets leases expire: of the killed processes, which saves
/// time, and of a live one, as if it had been frozen.
async fn disturb(env: &StressEnv, ledger: &Ledger) -> Result<Infallible> {
    let mut rng = env.rng(usize::MAX);
    let function = env.stack.lambda().function("serve-chatkit")?;
    let mut next = MAX_CALM_TURNS;
    loop {
        tokio::time::sleep(Duration::from_millis(5)).await;
        if read(&ledger.counts.turns) < next {
            continue;
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(..600))).await;
        if rng.u8(..3) > 0 {
            let expired = expire_leases(
                env,
                "id = (
                select r.id from chat_runs as r where r.status = 'running'
                order by r.started_at desc limit 1)",
            )
            .await?;
            sqlx::query("select settle_chat_runs(10)").execute(env.stack.database()).await?;
            ledger.counts.expired_leases.fetch_add(expired, std::sync::atomic::Ordering::Relaxed);
        } else {
            count(&ledger.counts.kills);
            function.kill();
            // One kill in four is noticed when the leases have expired by themselves.
            if rng.u8(..4) > 0 {
                tokio::time::sleep(Duration::from_millis(rng.u64(..300))).await;
                expire_leases(env, "lease_until < clock_timestamp() + interval '14 seconds'").await?;
            }
        }
        next = read(&ledger.counts.turns) + rng.usize(1..MAX_CALM_TURNS);
    }
}

/// Expires the leases of running answers. Returns their number.
async fn expire_leases(env: &StressEnv, condition: &str) -> Result<usize> {
    let query = format!(
        "update chat_runs set lease_until = clock_timestamp() where status = 'running' and {condition}"
    );
    let expired = sqlx::query(sqlx::AssertSqlSafe(query)).execute(env.stack.database()).await?;
    Ok(usize::try_from(expired.rows_affected())?)
}

/// Waits until no answer is being written.
async fn wait_for_model(env: &StressEnv) -> Result<()> {
    for _ in 0..600 {
        if env.stack.model().running() == 0 {
            // Time for saving the end.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    anyhow::bail!("the model still answers")
}

fn settled(report: &Value) -> usize {
    report["interruptedAnswers"].as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default()
}

/// Reads threads page by page, and sends one more question in each.
async fn go_on(env: &StressEnv, pages: &mut [Page<'_>], ledger: &Ledger) -> Result<Vec<Measurement>> {
    let query = "select t.id, t.user_id::text, array(
                   select m.chatkit_item_id from chat_messages as m
                   where m.thread_id = t.id and m.hidden_at is null order by m.thread_seq)
                 from chat_threads as t order by t.last_item_seq desc limit $1";
    let threads: Vec<(String, String, Vec<String>)> =
        sqlx::query_as(query).bind(i64::try_from(LISTED_THREADS)?).fetch_all(env.stack.database()).await?;
    let (mut unequal, mut stuck) = (Vec::new(), Vec::new());
    for (number, (thread_id, user_id, stored)) in threads.iter().enumerate() {
        let Some(page) = pages.iter_mut().find(|page| page.user_id() == *user_id) else { continue };
        page.renew_secret().await?;
        for (limit, order) in [(3, "asc"), (3, "desc"), (100, "asc")] {
            let mut ids = page.item_ids(thread_id, limit, order).await?;
            if order == "desc" {
                ids.reverse();
            }
            if ids != *stored {
                unequal.push(format!("{thread_id}, {limit} {order}: {ids:?} instead of {stored:?}"));
            }
        }
        let text = format!("One more question {number}");
        ledger.ask(&text, false);
        let expected = answers::texts(&text);
        let answer = page.last_messages(thread_id, &text).await;
        if !answer.as_ref().is_ok_and(|answer| *answer == expected) {
            stuck.push(format!("{thread_id}: {answer:?}"));
        }
    }
    Ok(vec![
        Measurement::non_zero("threads read page by page", threads.len()),
        Measurement::violations("pages that are not whole", &unequal),
        Measurement::violations("threads that do not go on", &stuck),
    ])
}
