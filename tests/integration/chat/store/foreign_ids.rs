//! The cost of ids of other users. A call with the id of another user's thread, item or run reads as
//! many rows as a call with an unknown id, so its time does not reveal whether the id exists. Rows
//! are counted, because times vary.

use anyhow::{Result, ensure};
use local_stack::supabase::{OrgRole, User};
use uuid::Uuid;

use super::Chat;
use crate::support::chat_rpc::{self as rpc, CHAT_AGENT, ChatSession, Question};

/// Rows that a foreign id may cost beyond a missing one: the row with the id, which belongs to
/// another user, each time that the call looks for it.
const ROWS_WITH_THE_ID: i64 = 2;

/// The RPCs that take the id of a thread or a run.
const CALLS: &[(&str, &str)] = &[
    ("list_chat_threads", "p_limit => 5, p_descending => true, p_after => '{thread}'"),
    ("list_chat_items", "p_thread_id => '{thread}', p_limit => 5, p_descending => true"),
    ("list_chat_items", "p_thread_id => '{thread}', p_limit => 5, p_descending => true, p_after => '{item}'"),
    ("rename_chat_thread", "p_thread_id => '{thread}', p_title => 'x'"),
    ("delete_chat_thread", "p_thread_id => '{thread}'"),
    (
        "record_chat_feedback",
        "p_thread_id => '{thread}', p_item_ids => '{{item}}', p_rating => 'positive',
         p_feedback_id => gen_random_uuid()",
    ),
    ("get_chat_card", "p_thread_id => '{thread}', p_item_id => '{item}'"),
    (
        "decide_chat_card",
        "p_thread_id => '{thread}', p_item_id => '{item}', p_decision => 'approve', p_subject_hash => 'x'",
    ),
    ("begin_chat_run", "{begin}"),
    ("begin_chat_run", "{begin}, p_retry_after_item_id => '{item}'"),
    ("begin_chat_run", "{begin}, p_continued_item_id => '{item}'"),
    ("begin_chat_run", "{begin}, p_client_tool_output => '{}'"),
    ("append_chat_run", "p_run_id => '{run}', p_chunk_seq => 1, p_events => '[]'"),
    ("finish_chat_run", "p_run_id => '{run}', p_status => 'completed', p_chunk_seq => 1, p_events => '[]'"),
    ("follow_chat_run", "p_run_id => '{run}', p_after_chunk_seq => 0"),
    (
        "begin_chat_call",
        "p_run_id => '{run}', p_call_id => 'call_1', p_tool => 'pay', p_inputs => '{}', p_call_item => '{}'",
    ),
];

const BEGIN: &str = "p_run_id => gen_random_uuid(), p_request_key => 'x', p_request_hash => 'x',
    p_key_is_explicit => true, p_thread_id => '{thread}', p_is_new_thread => false";

/// The ids that a call names.
#[derive(Clone, Debug)]
struct Ids {
    thread: String,
    item: String,
    run: String,
}

impl Ids {
    fn unknown() -> Self {
        let id = |prefix: &str| format!("{prefix}_{}", Uuid::new_v4().simple());
        Self { thread: id("thr"), item: id("msg"), run: Uuid::new_v4().to_string() }
    }

    fn of(question: &Question) -> Self {
        let item = question.items[0]["id"].as_str().unwrap_or_default().to_owned();
        Self { thread: question.thread_id.clone(), item, run: question.run_id.to_string() }
    }

    fn call(&self, session: &ChatSession, (name, arguments): (&str, &str)) -> String {
        let arguments = arguments
            .replace("{begin}", BEGIN)
            .replace("{thread}", &self.thread)
            .replace("{item}", &self.item)
            .replace("{run}", &self.run);
        format!("select public.{name}(p_secret_hash => '{}', {arguments})", session.secret)
    }
}

/// Returns what a call responds, or the message of its error, and the rows that it reads from all
/// tables. The call runs twice, and the second one is measured: the first one also plans.
async fn outcome(chat: &Chat, call: &str) -> Result<(String, i64)> {
    const READ: &str = "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint
        from pg_stat_xact_all_tables where schemaname in ('public', 'chatkit_private', 'auth')";
    const CALL: &str = "create function pg_temp.outcome(p_call text) returns text language plpgsql as $$
        declare v_outcome text;
        begin
          execute p_call into v_outcome;
          return v_outcome;
        exception when others then
          get stacked diagnostics v_outcome = message_text;
          return v_outcome;
        end $$";
    let mut transaction = chat.stack.database().begin().await?;
    sqlx::raw_sql(CALL).execute(&mut *transaction).await?;
    let mut measured = (String::new(), 0);
    for _ in 0..2 {
        let before: i64 = sqlx::query_scalar(READ).fetch_one(&mut *transaction).await?;
        let outcome = sqlx::query_scalar("select pg_temp.outcome($1)").bind(call);
        let outcome = outcome.fetch_one(&mut *transaction).await?;
        let after: i64 = sqlx::query_scalar(READ).fetch_one(&mut *transaction).await?;
        measured = (outcome, after - before);
    }
    transaction.rollback().await?;
    Ok(measured)
}

/// Gives a thread 2,000 items and as many hidden ones and runs, so that a call which reads them
/// before it checks the owner is seen.
async fn fill(chat: &Chat, session: &ChatSession, thread: &str) -> Result<()> {
    let (org, user, session) = (chat.user.org_id, chat.user.id, session.id);
    chat.execute_without_triggers(&format!(
        "insert into chat_messages (org_id, user_id, session_id, id, seq, role, content, chatkit_item_id,
                                    thread_id, thread_seq, kind, item)
         select '{org}', '{user}', '{session}', gen_random_uuid(), 1000 + n, 'user', 'x', 'msg_filler_' || n,
                '{thread}', 1000 + n, 'user_message', '{{}}'
         from generate_series(1, 2000) as n;
         insert into chat_hidden_items (org_id, user_id, thread_id, thread_seq, kind, item)
         select '{org}', '{user}', '{thread}', 5000 + n, 'reasoning', '{{}}' from generate_series(1, 2000) as n;
         insert into chat_runs (id, org_id, user_id, session_id, thread_id, agent_id, secret_hash, request_key,
                                request_hash, status, question_seq, preceding_item_seq, last_item_seq,
                                started_at, lease_until, finished_at)
         select gen_random_uuid(), '{org}', '{user}', '{session}', '{thread}', '{CHAT_AGENT}', 'x', 'k' || n,
                'x', 'completed', n, n, n + 1, now() - interval '1 hour', now(), now()
         from generate_series(1, 2000) as n"
    ))
    .await?;
    chat.execute("analyze").await
}

/// Others with a thread of their own, and the same user in another organisation.
async fn others(chat: &Chat) -> Result<Vec<(&'static str, ChatSession, Question)>> {
    let colleague = chat.stack.add_user(chat.user.org_id, OrgRole::Owner).await?;
    let other_org = Uuid::new_v4();
    rpc::register_agents(&chat.stack, other_org).await?;
    let stranger = chat.stack.add_user(other_org, OrgRole::Member).await?;
    let elsewhere = User { org_id: other_org, ..chat.user.clone() };
    chat.stack.upsert_user(&elsewhere).await?;
    let mut others = Vec::new();
    for (who, user) in [
        ("a colleague", colleague),
        ("a stranger", stranger),
        ("the same user in another organisation", elsewhere),
    ] {
        let session = rpc::open_session(&chat.stack, &user, CHAT_AGENT).await?;
        let own = Question::in_new_thread("Mine");
        session.answer(&chat.stack, &own, "Yours").await?;
        others.push((who, session, own));
    }
    Ok(others)
}

#[tokio::test]
async fn every_rpc_with_a_client_secret_is_measured() -> Result<()> {
    let chat = Chat::start().await?;
    let query = "select proname::text from pg_proc
        where pronamespace = 'public'::regnamespace and proargnames[1] = 'p_secret_hash' order by 1";
    let found: Vec<String> = sqlx::query_scalar(query).fetch_all(chat.stack.database()).await?;
    let mut measured: Vec<_> = CALLS.iter().map(|(name, _)| *name).collect();
    measured.sort_unstable();
    measured.dedup();
    ensure!(measured == found, "expected {found:?}, found {measured:?}");
    Ok(())
}

#[tokio::test]
async fn ids_of_others_cost_as_much_as_missing_ones() -> Result<()> {
    let chat = Chat::start().await?;
    let owner = chat.open().await?;
    let answered = Question::in_new_thread("Is invoice 42 paid?");
    owner.answer(&chat.stack, &answered, "Yes").await?;
    fill(&chat, &owner, &answered.thread_id).await?;
    // The run of a foreign id is under way.
    let running = Question::in_thread(&answered.thread_id, "And 43?");
    owner.expect_begin(&chat.stack, &running, "begun").await?;
    let foreign = Ids { item: Ids::of(&answered).item, ..Ids::of(&running) };
    let missing = Ids::unknown();
    for (who, session, own) in others(&chat).await? {
        let own = Ids::of(&own);
        let everything = CALLS.iter().map(|call| (*call, foreign.clone(), missing.clone()));
        // An item of the owner in a thread of one's own.
        let with_item = CALLS.iter().filter(|(_, arguments)| arguments.contains("{item}"));
        let items = with_item.map(|call| {
            let of_foreign = Ids { item: foreign.item.clone(), ..own.clone() };
            (*call, of_foreign, Ids { item: missing.item.clone(), ..own.clone() })
        });
        for (call, foreign, missing) in everything.chain(items) {
            let (found, rows) = outcome(&chat, &foreign.call(&session, call)).await?;
            let (expected, most) = outcome(&chat, &missing.call(&session, call)).await?;
            ensure!(
                found == expected && (found.ends_with("_not_found") || found.contains("not_offered")),
                "{who}, {call:?}: expected {expected}, found {found}"
            );
            ensure!(
                rows <= most + ROWS_WITH_THE_ID,
                "{who}, {call:?}: {rows} rows with the id of another user, {most} with a missing one"
            );
        }
    }
    Ok(())
}
