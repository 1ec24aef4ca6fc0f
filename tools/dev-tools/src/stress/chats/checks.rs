//! The threads in the database, compared with what the pages sent and received.

use std::collections::HashMap;

use anyhow::Result;
use local_stack::chat_client::ThreadView;
use serde_json::Value;
use sqlx::PgPool;

use super::answers;
use super::ledger::Ledger;
use super::request::{comparable, compared};
use crate::stress::env::StressEnv;
use crate::stress::measurement::Measurement;

/// Rules of the store, each with a query for its violations.
///
/// The items of a run are those above `preceding_item_seq`, up to `last_item_seq`.
const RULES: &[(&str, &str)] = &[
    ("answers that run without a lease", "select id::text from chat_runs where status = 'running'"),
    (
        "broken answers without a mark",
        "select r.id::text || ' ' || r.status from chat_runs as r
         where r.status not in ('running', 'completed') and (
           r.error_code = 'draft_rejected' or not exists (
             select from chat_messages as m
             where m.thread_id = r.thread_id and m.thread_seq = r.last_item_seq
               and m.thread_seq > r.preceding_item_seq and m.kind = 'task'
               and m.item #> '{task,icon}' is null))",
    ),
    (
        "complete answers with a mark, or without a message",
        "select r.id::text from chat_runs as r where r.status = 'completed' and (
           select coalesce(
             bool_or(m.kind = 'task' and m.item #> '{task,icon}' is null)
               or not bool_or(m.kind = 'assistant_message'),
             true)
           from chat_messages as m
           where m.thread_id = r.thread_id
             and m.thread_seq > r.preceding_item_seq and m.thread_seq <= r.last_item_seq)",
    ),
    (
        // A retry keeps the cards of calls.
        "questions with two visible answers",
        "select r.thread_id || ' ' || r.question_seq from chat_runs as r
         where exists (
           select from chat_messages as m
           where m.thread_id = r.thread_id and m.hidden_at is null and m.kind <> 'widget'
             and m.thread_seq > r.preceding_item_seq and m.thread_seq <= r.last_item_seq)
         group by r.thread_id, r.question_seq having count(*) > 1",
    ),
    (
        "visible items without one run or question",
        "select m.chatkit_item_id || ' ' || m.kind from chat_messages as m
         where m.thread_id is not null and m.hidden_at is null and m.kind <> 'widget' and case m.kind
           when 'user_message' then not exists (
             select from chat_runs as r
             where r.thread_id = m.thread_id and r.question_seq = m.thread_seq)
           else 1 <> (
             select count(*) from chat_runs as r
             where r.thread_id = m.thread_id
               and m.thread_seq > r.preceding_item_seq and m.thread_seq <= r.last_item_seq)
           end",
    ),
    (
        "items removed although no other answer replaces them",
        "select m.chatkit_item_id || ' ' || m.kind from chat_messages as m
         where m.hidden_at is not null and not exists (
           select from chat_runs as r join chat_runs as n on n.thread_id = r.thread_id
           where r.thread_id = m.thread_id and n.question_seq = r.question_seq
             and m.thread_seq > r.preceding_item_seq and m.thread_seq <= r.last_item_seq
             and n.started_at > r.started_at and n.preceding_item_seq >= r.last_item_seq)",
    ),
    (
        "threads whose items are not numbered one by one",
        "select t.id from chat_threads as t
         where t.last_item_seq <> (
             select count(distinct s) from (
               select m.thread_seq from chat_messages as m where m.thread_id = t.id
               union all
               select h.thread_seq from chat_hidden_items as h where h.thread_id = t.id) as i (s))
           or t.last_item_seq <> (
             select (select count(*) from chat_messages as m where m.thread_id = t.id)
               + (select count(*) from chat_hidden_items as h where h.thread_id = t.id))",
    ),
    (
        "runs whose chunks are not numbered one by one",
        "select r.id::text from chat_runs as r
         left join chat_run_chunks as c on c.run_id = r.id and c.session_id = r.session_id
         where r.finished_at is null or r.finished_at > now() - interval '10 minutes'
         group by r.id having count(c.seq) <> r.last_chunk_seq or max(c.seq) <> r.last_chunk_seq",
    ),
    (
        // Without a key, the same words are a new question if their request came after a good end
        // of the answer, after the conversation had gone on, or after 30 seconds. A question names
        // the time of its request, which may wait for the database for some seconds. Its key is
        // that of its first run: the request for another answer has a key of its own.
        "questions that were repeated and not recognised",
        "with asked as (
           select m.user_id, m.content, m.thread_id, m.thread_seq, min(r.started_at) as first_at,
                  (min(m.item ->> 'created_at'))::timestamptz + interval '5 seconds' as latest_at,
                  (array_agg(r.request_key order by r.started_at))[1] like 'key:%' as is_keyed
           from chat_messages as m
           join chat_runs as r on r.thread_id = m.thread_id and r.question_seq = m.thread_seq
           where m.kind = 'user_message'
           group by 1, 2, 3, 4)
         select b.content from asked as a
         join asked as b on b.user_id = a.user_id and b.content = a.content and b.first_at > a.first_at
         where (a.is_keyed or b.is_keyed) or not (
           b.first_at > a.first_at + interval '30 seconds'
           or exists (
             select from chat_runs as r
             where r.thread_id = a.thread_id and r.question_seq = a.thread_seq
               and r.status in ('completed', 'incomplete', 'stopped')
               and r.finished_at <= least(b.first_at, b.latest_at))
           or exists (
             select from chat_runs as r
             where r.thread_id = a.thread_id and r.question_seq <> a.thread_seq
               and r.started_at between a.first_at and least(b.first_at, b.latest_at)))",
    ),
];

/// A row of the transcript.
#[derive(sqlx::FromRow)]
struct StoredItem {
    thread_id: String,
    chatkit_item_id: String,
    kind: String,
    item: Value,
    content: String,
}

/// A run and the texts of its messages.
#[derive(sqlx::FromRow)]
struct StoredRun {
    id: String,
    status: String,
    question: String,
    messages: Vec<String>,
}

/// Checks the rules of the store, and compares it with the ledger and with the model's requests.
pub async fn check(env: &StressEnv, ledger: &Ledger) -> Result<Vec<Measurement>> {
    let database = env.stack.database();
    let mut measurements = Vec::new();
    for (name, query) in RULES {
        let found: Vec<String> = sqlx::query_scalar(*query).fetch_all(database).await?;
        measurements.push(Measurement::violations(name, &found));
    }
    let query = "select thread_id, chatkit_item_id, kind, item, content from chat_messages
                 where thread_id is not null";
    let stored: Vec<StoredItem> = sqlx::query_as(query).fetch_all(database).await?;
    let runs = runs(database).await?;
    measurements.push(Measurement::violations("messages received as done and lost", &lost(&stored, ledger)));
    measurements.extend(questions(&stored, ledger));
    measurements.push(Measurement::violations("answers with other words", &wrong_answers(&runs)));
    measurements.push(Measurement::violations("runs for which the model answered twice", &twice(env, &runs)));
    let (streamed, strange) = streams(database).await?;
    measurements.push(Measurement::non_zero("recorded streams compared with their items", streamed));
    measurements.push(Measurement::violations("of these, different", &strange));
    let count = |status: &str| runs.iter().filter(|run| run.status == status).count();
    measurements.push(Measurement::non_zero("answers complete", count("completed")));
    measurements.push(Measurement::info("answers failed", count("failed")));
    measurements.push(Measurement::info("answers interrupted", count("interrupted")));
    measurements.push(Measurement::info("answers stopped", count("stopped")));
    Ok(measurements)
}

async fn runs(database: &PgPool) -> Result<Vec<StoredRun>> {
    let query = "select r.id::text as id, r.status, q.content as question, array(
                   select m.content from chat_messages as m
                   where m.thread_id = r.thread_id and m.kind = 'assistant_message'
                     and m.thread_seq > r.preceding_item_seq and m.thread_seq <= r.last_item_seq
                   order by m.thread_seq) as messages
                 from chat_runs as r
                 join chat_messages as q on q.thread_id = r.thread_id and q.thread_seq = r.question_seq";
    Ok(sqlx::query_as(query).fetch_all(database).await?)
}

/// Messages, and marks, that a page received as done, and that are not stored like that.
fn lost(stored: &[StoredItem], ledger: &Ledger) -> Vec<String> {
    let by_id: HashMap<&str, &StoredItem> =
        stored.iter().map(|item| (item.chatkit_item_id.as_str(), item)).collect();
    let done = ledger.done();
    let messages = done.iter().filter(|item| item["type"] != "workflow");
    let is_lost = |item: &&Value| {
        let found = by_id.get(item["id"].as_str().unwrap_or_default());
        found.is_none_or(|found| {
            comparable(&found.item) != comparable(item) || item["thread_id"] != found.thread_id.as_str()
        })
    };
    messages.filter(is_lost).map(Value::to_string).collect()
}

/// Compares the questions that were sent with those that are stored.
fn questions(stored: &[StoredItem], ledger: &Ledger) -> Vec<Measurement> {
    let mut found: HashMap<&str, usize> = HashMap::new();
    for item in stored.iter().filter(|item| item.kind == "user_message") {
        *found.entry(&item.content).or_default() += 1;
    }
    let asked = ledger.asked();
    let times = |text: &str| found.get(text).copied().unwrap_or_default();
    let named = |wrong: Vec<(&String, usize)>| -> Vec<String> {
        wrong.into_iter().map(|(text, times)| format!("{text} {times} times")).collect()
    };
    let lost = asked.iter().filter(|(_, asked)| asked.is_answered).map(|(text, _)| (text, times(text)));
    let lost = named(lost.filter(|(_, times)| *times == 0).collect());
    let once = asked.iter().filter(|(_, asked)| asked.is_keyed || asked.sent == 1);
    let doubled = named(once.map(|(text, _)| (text, times(text))).filter(|(_, times)| *times > 1).collect());
    let unknown: Vec<String> =
        found.keys().filter(|text| !asked.contains_key(**text)).map(|text| (*text).to_owned()).collect();
    let keyless = found.values().filter(|times| **times > 1).count();
    vec![
        Measurement::violations("questions of answered requests lost", &lost),
        Measurement::violations("questions with a key, or sent once, stored twice", &doubled),
        Measurement::violations("questions that were not asked", &unknown),
        Measurement::info("questions without a key, asked again after a good answer", keyless),
    ]
}

/// Complete answers whose text is not the model's, and others that are not a beginning of it.
fn wrong_answers(runs: &[StoredRun]) -> Vec<String> {
    // A run that takes up a broken one goes on after the calls that were made for the question.
    let is_wrong = |run: &&StoredRun| {
        let possible = (0..).map_while(|made| answers::texts_after(&run.question, made));
        !possible.into_iter().any(|expected| is_answer(run, &expected))
    };
    let wrong = runs.iter().filter(is_wrong);
    wrong.map(|run| format!("{} {}: {:?}", run.id, run.status, run.messages)).collect()
}

fn is_answer(run: &StoredRun, expected: &[String]) -> bool {
    if run.status == "completed" {
        return run.messages == expected;
    }
    run.messages.len() <= expected.len()
        && run.messages.iter().zip(expected).all(|(found, whole)| whole.starts_with(found.as_str()))
}

/// Responses to a question, after the same number of calls, that the model began more often than
/// there were runs.
fn twice(env: &StressEnv, runs: &[StoredRun]) -> Vec<String> {
    let mut begun: HashMap<&str, usize> = HashMap::new();
    for run in runs {
        *begun.entry(&run.question).or_default() += 1;
    }
    let mut responses: HashMap<(String, usize), usize> = HashMap::new();
    for request in env.stack.model().requests() {
        if request.status == Some(200) && request.response_id.is_some() {
            *responses.entry(answers::question_of(&request.body)).or_default() += 1;
        }
    }
    let is_more = |((text, _), count): &(&(String, usize), &usize)| {
        **count > begun.get(text.as_str()).copied().unwrap_or_default()
    };
    let more = responses.iter().filter(is_more);
    more.map(|((text, made), count)| format!("{text} after {made} calls: {count}")).collect()
}

/// Applies the recorded stream of each finished run, as a repeated request does, and compares it
/// with the run's items. Returns how many, and those that differ. `expire-sessions` deletes the
/// stream of a run that finished more than ten minutes ago.
async fn streams(database: &PgPool) -> Result<(usize, Vec<String>)> {
    let query = "select r.id::text,
                   (select jsonb_agg(e.value order by c.seq, e.place)
                    from chat_run_chunks as c
                    cross join lateral jsonb_array_elements(c.events) with ordinality as e (value, place)
                    where c.session_id = r.session_id and c.run_id = r.id),
                   (select coalesce(jsonb_agg(m.item order by m.thread_seq), '[]') from chat_messages as m
                    where m.thread_id = r.thread_id
                      and m.thread_seq > r.preceding_item_seq and m.thread_seq <= r.last_item_seq)
                 from chat_runs as r
                 where r.status in ('completed', 'incomplete', 'stopped', 'failed')
                   and r.finished_at > now() - interval '10 minutes'";
    let rows: Vec<(String, Option<Vec<Value>>, Vec<Value>)> = sqlx::query_as::<
        _,
        (String, Option<sqlx::types::Json<Vec<Value>>>, sqlx::types::Json<Vec<Value>>),
    >(query)
    .fetch_all(database)
    .await?
    .into_iter()
    .map(|(id, events, items)| (id, events.map(|events| events.0), items.0))
    .collect();
    let mut strange = Vec::new();
    for (id, events, items) in &rows {
        match ThreadView::from_events(events.as_deref().unwrap_or_default()) {
            Ok(view) if view.unfinished().is_empty() && compared(view.items()) == compared(items) => {}
            Ok(view) => strange.push(format!("{id} has {items:?} and streamed {:?}", view.items())),
            Err(error) => strange.push(format!("{id}: {error:#}")),
        }
    }
    Ok((rows.len(), strange))
}
