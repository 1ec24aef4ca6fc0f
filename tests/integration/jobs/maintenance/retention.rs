//! Retention: a run erases sessions that ended before the period of their organisation.

use anyhow::{Context, Result, ensure};
use local_stack::openai::{Fault, Operation};
use local_stack::supabase::CannedResponse;
use local_stack::{LocalStack, supabase};
use serde_json::{Value, json};

use crate::jobs::erasure::{count, fixture, table_rows};
use crate::jobs::maintenance::run_maintenance;
use crate::support::client::{TestClient, session_path};

#[tokio::test]
async fn overdue_sessions_are_erased_and_others_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let overdue = fixture::member(&stack).await?;
    let recent = fixture::colleague(&stack, &overdue).await?;
    let unlimited = fixture::member(&stack).await?;
    for member in [&overdue, &unlimited, &recent] {
        fixture::create_data(&stack, member).await?;
        run_maintenance(&stack).await?;
    }
    fixture::backdate_end(&stack, &overdue, 31).await?;
    fixture::backdate_end(&stack, &unlimited, 3100).await?;
    fixture::backdate_end(&stack, &recent, 29).await?;
    let before = table_rows::read_all(&stack).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["erasedSessions"] == 0, "erased without a retention period: {report}");
    set_retention(&stack, &overdue, 30).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["erasedSessions"] == 1 && report["sessionEraseFailures"] == 0, "{report}");
    ensure!(report["deletedThreads"] == 1, "{report}");

    let after = table_rows::read_all(&stack).await?;
    ensure!(count(&stack, "select count(*) from chat_sessions where status = 'ended'").await? == 2);
    for table in ["chat_events", "chat_messages", "deliveries", "chat_escalations", "chatkit_sessions"] {
        let rows = |rows: &table_rows::Rows, client: &TestClient| {
            table_rows::of_user(rows, client).get(table).map_or(0, Vec::len)
        };
        for kept in [&unlimited, &recent] {
            ensure!(rows(&after, kept) == rows(&before, kept), "rows of another user in {table} are erased");
        }
        ensure!(rows(&after, &overdue) < rows(&before, &overdue), "no row of {table} is erased");
    }
    let sessions = &table_rows::of_user(&before, &overdue)["chat_sessions"];
    let erased = sessions.iter().find(|row| row["status"] == "ended").context("no session had ended")?;
    let erased_id = erased["id"].as_str().context("no id")?.to_owned();
    let found = table_rows::containing(&after, &[erased_id]);
    ensure!(found.is_empty(), "rows contain the erased session's id: {found:#?}");
    let second = run_maintenance(&stack).await?;
    ensure!(second["erasedSessions"] == 0 && second["deletedThreads"] == 0, "{second}");
    Ok(())
}

/// The threads are deleted at OpenAI, so their session must go with them.
#[tokio::test]
async fn session_of_deleted_threads_is_erased_after_supabase_outage() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    fixture::create_data(&stack, &member).await?;
    run_maintenance(&stack).await?;
    fixture::backdate_end(&stack, &member, 31).await?;
    set_retention(&stack, &member, 30).await?;
    let canned = CannedResponse::gateway(401, "Invalid API key");
    let canned = canned.at("/rest/v1/rpc/erase_overdue_session").times(4);
    stack.supabase().set_fault(supabase::Fault::Canned(canned)).await;
    let report = run_maintenance(&stack).await?;
    ensure!(report["deletedThreads"] == 1, "expected a deleted thread: {report}");
    ensure!(report["erasedSessions"] == 1 && report["sessionEraseFailures"] == 0, "{report}");
    Ok(())
}

#[tokio::test]
async fn threads_of_remaining_sessions_and_other_users_are_kept() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let other = fixture::colleague(&stack, &member).await?;
    let link_thread = async |caller: &TestClient, session: &Value| -> Result<String> {
        let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
        let thread_id = stack.openai().post_message(secret, None, "Hello").await?.thread_id;
        caller
            .record_event(&session_path(session), "thread_changed", json!({ "threadId": thread_id }))
            .await?
            .expect(201)?;
        Ok(thread_id)
    };
    let (first, second, active) =
        (member.open_session().await?, member.open_session().await?, member.open_session().await?);
    let foreign = link_thread(&other, &other.open_session().await?).await?;
    let (own, both, shared) = (
        link_thread(&member, &first).await?,
        link_thread(&member, &first).await?,
        link_thread(&member, &first).await?,
    );
    for (session, thread) in
        [(&second, &both), (&active, &shared), (&first, &foreign), (&other.open_session().await?, &own)]
    {
        let caller = if thread == &own { &other } else { &member };
        caller
            .record_event(&session_path(session), "thread_changed", json!({ "threadId": thread }))
            .await?
            .expect(201)?;
    }
    for session in [&first, &second] {
        member.cancel(&session_path(session)).await?.expect(200)?;
    }
    fixture::backdate_end(&stack, &member, 2).await?;
    set_retention(&stack, &member, 1).await?;
    let report = run_maintenance(&stack).await?;
    ensure!(report["erasedSessions"] == 2 && report["deletedThreads"] == 2, "{report}");
    let name = fixture::chatkit_user(&stack, &member).await?;
    ensure!(
        stack.openai().thread_ids_of_user(&name) == [shared],
        "{:?}",
        stack.openai().thread_ids_of_user(&name)
    );
    let others = fixture::chatkit_user(&stack, &other).await?;
    ensure!(stack.openai().thread_ids_of_user(&others) == [foreign], "a thread of another user is deleted");
    Ok(())
}

/// The retention period can be extended after a session was claimed.
#[tokio::test]
async fn erase_overdue_session_keeps_sessions_that_are_not_overdue() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let (ended, active) = (member.open_session().await?, member.open_session().await?);
    member.cancel(&session_path(&ended)).await?.expect(200)?;
    fixture::backdate_end(&stack, &member, 20).await?;
    let erase = async |session: &Value| {
        let arguments = json!({ "p_org_id": member.user.org_id, "p_session_id": session["id"] });
        Ok::<_, anyhow::Error>(stack.rpc("erase_overdue_session", arguments).await?.1)
    };
    let kept = json!({ "erased": false, "overdue": false, "wait_seconds": 0 });
    for days in [None, Some(21)] {
        if let Some(days) = days {
            set_retention(&stack, &member, days).await?;
        }
        ensure!(erase(&ended).await? == kept && erase(&active).await? == kept, "retention: {days:?} days");
    }
    set_retention(&stack, &member, 19).await?;
    ensure!(erase(&active).await? == kept && erase(&ended).await?["erased"] == true);
    for days in [0, -1, 40_000] {
        let (status, answer) = stack
            .rpc("set_retention", json!({ "p_org_id": member.user.org_id, "p_keep_days": days }))
            .await?;
        ensure!(status == 422 && answer["message"] == "invalid_retention", "{answer}");
    }
    Ok(())
}

#[tokio::test]
async fn openai_outage_postpones_erasure_of_overdue_sessions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    fixture::create_data(&stack, &member).await?;
    run_maintenance(&stack).await?;
    fixture::backdate_end(&stack, &member, 2).await?;
    set_retention(&stack, &member, 1).await?;
    stack.openai().add_fault(Fault::new(Operation::DeleteThread).status(503).should_retry(false));
    let report = run_maintenance(&stack).await?;
    ensure!(report["erasedSessions"] == 0 && report["sessionEraseFailures"] == 1, "{report}");
    ensure!(count(&stack, "select count(*) from chat_sessions where status = 'ended'").await? == 1);
    stack.openai().clear_faults();
    ensure!(
        run_maintenance(&stack).await?["erasedSessions"] == 0,
        "the run erased a session whose lease is valid"
    );
    sqlx::query("update retention_leases set lease_until = now()").execute(stack.database()).await?;
    ensure!(run_maintenance(&stack).await?["erasedSessions"] == 1);
    Ok(())
}

/// Sets the retention period of a client's organisation.
async fn set_retention(stack: &LocalStack, client: &TestClient, days: i32) -> Result<()> {
    let (status, answer) =
        stack.rpc("set_retention", json!({ "p_org_id": client.user.org_id, "p_keep_days": days })).await?;
    ensure!(status.is_success() && answer["retention"]["keep_days"] == days, "{answer}");
    Ok(())
}
