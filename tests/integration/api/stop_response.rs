//! `POST /chatkit/sessions/{id}/stop`: the running answer stops.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};
use crate::support::self_hosted::{SelfHostedSession, thread_id};

#[tokio::test]
async fn stop_reaches_every_running_answer_of_the_session_only() -> Result<()> {
    let stack = LocalStack::start().await?;
    let session = SelfHostedSession::open(&stack).await?;
    let same_user = TestClient::from_user(&stack, session.caller.user.clone());
    let other = SelfHostedSession::open_for(&stack, same_user).await?;
    let stopped = stop(&session.caller, &session.path).await?.expect(200)?;
    ensure!(stopped == answer(&session, 0), "nothing runs, and the response is {stopped}");

    let one = session.begin_run(&stack, &thread_id(), "Is invoice 42 paid?").await?;
    let two = session.begin_run(&stack, &thread_id(), "And invoice 43?").await?;
    let elsewhere = other.begin_run(&stack, &thread_id(), "Who are you?").await?;
    let first = stop(&session.caller, &session.path).await?.expect(200)?;
    ensure!(first == answer(&session, 2), "expected two answers, found {first}");
    let requested = stop_times(&stack, &[one, two, elsewhere]).await?;
    ensure!(
        requested[0].is_some() && requested[1].is_some() && requested[2].is_none(),
        "expected that only the session's answers stop, found {requested:?}"
    );

    // A repeat has the same effect and the same response, also with another body or a key.
    let repeated = session.caller.post(&format!("{}/stop", session.path), json!({})).await?.expect(200)?;
    ensure!(repeated == first, "expected {first}, found {repeated}");
    ensure!(stop_times(&stack, &[one, two, elsewhere]).await? == requested, "a repeat changed the time");

    // An answer that has ended is not stopped.
    session.finish_run(&stack, one, &[]).await?;
    let after_one = stop(&session.caller, &session.path).await?.expect(200)?;
    ensure!(after_one == answer(&session, 1), "expected one answer, found {after_one}");
    Ok(())
}

#[tokio::test]
async fn stop_of_a_session_of_another_user_returns_404() -> Result<()> {
    let stack = LocalStack::start().await?;
    let session = SelfHostedSession::open(&stack).await?;
    let run = session.begin_run(&stack, &thread_id(), "Is invoice 42 paid?").await?;
    let org_id = session.caller.user.org_id;
    let elsewhere = Uuid::new_v4();
    for (org_id, role) in [
        (org_id, OrgRole::Member),
        // Approvers may read the session.
        (org_id, OrgRole::Approver),
        (org_id, OrgRole::Owner),
        (elsewhere, OrgRole::Owner),
    ] {
        let other = TestClient::in_organisation(&stack, org_id, role).await?;
        stop(&other, &session.path).await?.problem(404, "session_not_found")?;
    }
    ensure!(stop_times(&stack, &[run]).await? == [None], "another user stopped the answer");
    Ok(())
}

#[tokio::test]
async fn stop_after_the_end_of_the_session_returns_200() -> Result<()> {
    let stack = LocalStack::start().await?;
    let session = SelfHostedSession::open(&stack).await?;
    session.begin_run(&stack, &thread_id(), "Is invoice 42 paid?").await?;
    session.caller.cancel(&session.path).await?.expect(200)?;
    // The answer still runs until its process notices the end.
    let stopped = stop(&session.caller, &session.path).await?.expect(200)?;
    ensure!(stopped == answer(&session, 1), "expected one answer, found {stopped}");
    Ok(())
}

/// A session of a hosted agent never has running answers here.
#[tokio::test]
async fn stop_of_a_hosted_session_has_no_effect() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session().await?;
    let path = crate::support::client::session_path(&session);
    let stopped = stop(&caller, &path).await?.expect(200)?;
    ensure!(stopped == json!({ "sessionId": session["id"], "stopping": 0 }), "{stopped}");
    let calls = stack.openai().requests().len();
    ensure!(calls == 1, "expected no request to OpenAI except for the opening, found {calls}");
    Ok(())
}

async fn stop(caller: &TestClient, session: &str) -> Result<TestResponse> {
    caller.send(http_client::Method::POST, &format!("{session}/stop"), &[], None).await
}

fn answer(session: &SelfHostedSession, stopping: u32) -> Value {
    json!({ "sessionId": session.path.rsplit('/').next(), "stopping": stopping })
}

/// When each run was asked to stop, as text.
async fn stop_times(stack: &LocalStack, runs: &[Uuid]) -> Result<Vec<Option<String>>> {
    let mut times = Vec::new();
    for run in runs {
        let query = "select stop_requested_at::text from public.chat_runs where id = $1";
        let time = sqlx::query_scalar(query).bind(run).fetch_optional(stack.database()).await?;
        times.push(time.context("the run does not exist")?);
    }
    Ok(times)
}
