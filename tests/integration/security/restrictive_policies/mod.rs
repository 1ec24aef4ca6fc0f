//! If a restrictive policy of the project hides a row from a caller, no function writes to it for
//! the caller.

mod attempts;
mod claims;
mod fixture;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::openai::Operation;
use serde_json::json;
use uuid::Uuid;

use crate::support::client::session_path;
use crate::support::escalations::without_request_ids;
use attempts::{ATTEMPTS, Attempt, Rejection, SESSION_NOT_FOUND};
use fixture::{Fixture, Rows};

#[tokio::test]
async fn writes_without_policy_succeed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = Fixture::new(&stack, NO_POLICY).await?;
    try_all(&mut fixture, |_| None).await
}

#[tokio::test]
async fn writes_to_hidden_session_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = Fixture::new(&stack, SESSIONS_POLICY).await?;
    try_all(&mut fixture, |attempt| Some(attempt.with_sessions_policy)).await
}

#[tokio::test]
async fn decisions_on_hidden_escalation_are_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = Fixture::new(&stack, ESCALATIONS_POLICY).await?;
    try_all(&mut fixture, |attempt| attempt.with_escalations_policy).await?;
    // The API accepts one spelling of an id. PostgreSQL accepts several.
    let rows = fixture.create_rows().await?;
    let id = rows.escalation["id"].as_str().context("no escalation id")?;
    for spelling in [id.to_owned(), id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}")] {
        let user = &fixture.fixture.member.user;
        let arguments = json!({
            "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": rows.session["id"],
            "p_actor_type": "user", "p_actor_id": user.id,
            "p_events": [{ "id": Uuid::new_v4(), "type": "hitl_resolved", "payload": {
                "escalationId": spelling, "decision": "approve",
                "subjectHash": rows.escalation["subjectHash"] } }],
        });
        let (status, body) = stack.rpc("record_events", arguments).await?;
        let is_rejected = body["message"] == "escalation_not_found";
        ensure!(is_rejected, "{spelling}: expected escalation_not_found, found {status} {body}");
    }
    Ok(())
}

#[tokio::test]
async fn policy_with_function_that_uses_search_path_is_applied() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = Fixture::new(&stack, SEARCH_PATH_POLICY).await?;
    try_all(&mut fixture, |attempt| Some(attempt.with_sessions_policy)).await?;
    let rows = fixture.create_rows().await?;
    let session = session_path(&rows.session);
    let escalation = format!("/chatkit/escalations/{}", rows.escalation["id"].as_str().unwrap_or_default());
    let [events, messages] = ["/events", "/messages"].map(|list| format!("{session}{list}"));
    for path in [
        "/chatkit/sessions",
        &session,
        &events,
        &messages,
        "/chatkit/changes",
        "/chatkit/agents",
        &escalation,
    ] {
        fixture.read(path, "aal2").await?.expect(200)?;
    }
    for path in [&session, &escalation] {
        fixture.read(path, "aal1").await?.expect(404)?;
    }
    Ok(())
}

/// The control: only the check of the policies rejects the attempts of the other tests.
#[tokio::test]
async fn writes_to_hidden_session_without_policy_check_succeed() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = Fixture::new(&stack, SESSIONS_POLICY).await?;
    sqlx::raw_sql(WITHOUT_POLICY_CHECK).execute(stack.database()).await?;
    try_all(&mut fixture, |_| None).await
}

/// A caller who may not read a session neither waits for its lock nor blocks others.
#[tokio::test]
async fn writes_to_hidden_session_do_not_wait_for_its_lock() -> Result<()> {
    let stack = LocalStack::start().await?;
    let mut fixture = Fixture::new(&stack, SESSIONS_POLICY).await?;
    let rows = fixture.create_rows().await?;
    let mut transaction = stack.database().begin().await?;
    let lock = "select from chat_sessions where id = $1::uuid for update";
    sqlx::query(lock).bind(rows.session["id"].as_str()).execute(&mut *transaction).await?;
    let of_existing_session = ATTEMPTS
        .iter()
        .filter(|attempt| attempt.with_sessions_policy.0 == 404 && !attempt.is_repeated_open());
    for attempt in of_existing_session {
        let (status, code) = attempt.with_sessions_policy;
        let response =
            tokio::time::timeout(Duration::from_secs(2), fixture.send(attempt, "aal1", &rows)).await;
        let response = response.with_context(|| format!("{} waits for the lock", attempt.name))??;
        response.problem(status, code)?;
    }
    transaction.rollback().await?;
    Ok(())
}

/// The policy of Supabase's documentation that requires a second factor.
const SESSIONS_POLICY: &str =
    "create policy mfa on public.chat_sessions as restrictive for select to authenticated
    using ((select auth.jwt() ->> 'aal') = 'aal2')";
const ESCALATIONS_POLICY: &str =
    "create policy mfa on public.chat_escalations as restrictive for select to authenticated
    using ((select auth.jwt() ->> 'aal') = 'aal2')";
/// The same, by a function that depends on the search path of the request, `public, extensions`.
const SEARCH_PATH_POLICY: &str = "
    create table public.demanded (aal text);
    insert into public.demanded values ('aal2');
    grant select on public.demanded to authenticated;
    create function extensions.caller_aal() returns text language sql stable
    as 'select auth.jwt() ->> ''aal''';
    create function public.meets_demand() returns boolean language plpgsql stable
    as 'begin return exists (select from demanded where aal = caller_aal()); end';
    create policy mfa on public.chat_sessions as restrictive for select to authenticated
    using (public.meets_demand())";
const NO_POLICY: &str = "select";

/// Replaces the check of the policies by one that always succeeds.
const WITHOUT_POLICY_CHECK: &str = "create or replace function chatkit_private.readable_ids(
      p_claims jsonb, p_session_ids uuid[], p_escalation_ids uuid[] default '{}')
    returns uuid[] language sql set search_path = '' as 'select p_session_ids || p_escalation_ids'";

/// Makes every attempt, each with new rows. The function returns how an attempt without the second
/// factor is rejected. A rejected attempt succeeds with the second factor.
async fn try_all(fixture: &mut Fixture<'_>, rejection: impl Fn(&Attempt) -> Option<Rejection>) -> Result<()> {
    for attempt in ATTEMPTS {
        let rows = fixture.create_rows().await?;
        let description = |aal: &str| format!("{} with {aal} and {}", attempt.name, fixture.policy);
        let accepted_aal = match rejection(attempt) {
            Some(rejection) => {
                let outcome = expect_rejection(fixture, attempt, rejection, &rows).await;
                outcome.with_context(|| description("aal1"))?;
                "aal2"
            }
            None => "aal1",
        };
        let response = fixture.send(attempt, accepted_aal, &rows).await?;
        response.expect(attempt.success).with_context(|| description(accepted_aal))?;
    }
    Ok(())
}

/// The response is that for rows that do not exist, nothing is written, and OpenAI is not called.
async fn expect_rejection(
    fixture: &Fixture<'_>,
    attempt: &Attempt,
    (status, code): Rejection,
    rows: &Rows,
) -> Result<()> {
    let openai_calls = || fixture.fixture.stack.openai().calls(Operation::CreateSession).len();
    let calls_before = openai_calls();
    let before = fixture.state().await?;
    let problem = fixture.send(attempt, "aal1", rows).await?.problem(status, code)?;
    if status == 404 && !attempt.is_repeated_open() {
        let mut absent = rows.clone();
        let hidden = if code == SESSION_NOT_FOUND.1 { &mut absent.session } else { &mut absent.escalation };
        hidden["id"] = json!(Uuid::now_v7());
        absent.key = Uuid::new_v4().to_string();
        let absent = fixture.send(attempt, "aal1", &absent).await?.problem(404, code)?;
        let (hidden, absent) = (without_request_ids(problem), without_request_ids(absent));
        ensure!(hidden == absent, "expected {absent}, as for an absent row, found {hidden}");
    }
    ensure!(fixture.state().await? == before, "the attempt changed a row");
    let calls = openai_calls();
    ensure!(calls == calls_before, "expected {calls_before} calls of OpenAI, found {calls}");
    Ok(())
}
