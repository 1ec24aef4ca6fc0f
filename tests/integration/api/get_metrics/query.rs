//! Query parameters of the metrics: validation, defaults and the limit of the result.

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::json;
use uuid::Uuid;

use super::generator::HistoryGenerator;
use crate::support::client::TestClient;

#[tokio::test]
async fn invalid_query_reports_the_parameter() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = TestClient::in_organisation(&stack, Uuid::new_v4(), OrgRole::Owner).await?;
    for (query, parameter) in [
        ("from=yesterday", "from"),
        ("from=2026-11-22", "from"),
        ("from=1969-12-31T00:00:00Z&to=1970-01-01T00:00:01Z", "from"),
        ("from=2026-11-22T00:00:00Z&to=2026-11-22T00:00:00Z", "to"),
        ("from=2026-11-22T00:00:00Z&to=2026-11-21T00:00:00Z", "to"),
        ("from=2025-01-01T00:00:00Z&to=2026-02-05T00:00:01Z", "from"),
        ("from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:01Z&bucket=hour", "from"),
        ("bucket=week", "bucket"),
        ("groupBy=user", "groupBy"),
        ("serviceLevelSeconds=0", "serviceLevelSeconds"),
        ("serviceLevelSeconds=1.5", "serviceLevelSeconds"),
        ("serviceLevelSeconds=31536001", "serviceLevelSeconds"),
        ("orgId=019aaa00-7c00-7000-8000-000000000001", "orgId"),
        ("bucket=day&bucket=day", "bucket"),
    ] {
        let problem =
            owner.get(&format!("/chatkit/metrics?{query}")).await?.problem(422, "invalid_request")?;
        ensure!(problem["errors"][0]["pointer"] == parameter, "{query}: expected {parameter}: {problem:#}");
        ensure!(
            problem["errors"].as_array().is_some_and(|errors| errors.len() == 1),
            "{query}: expected one error: {problem:#}"
        );
    }
    // The longest windows that are permitted.
    for query in [
        "from=2025-01-01T00:00:00Z&to=2026-02-05T00:00:00Z",
        "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&bucket=hour",
    ] {
        owner.get(&format!("/chatkit/metrics?{query}")).await?.expect(200)?;
    }
    Ok(())
}

#[tokio::test]
async fn query_defaults_to_the_last_week_by_day() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    member.open_session().await?;
    let owner = TestClient::in_organisation(&stack, member.user.org_id, OrgRole::Owner).await?;
    let body = owner.get("/chatkit/metrics").await?.expect(200)?;
    let (from, to): (Timestamp, Timestamp) =
        (serde_json::from_value(body["from"].clone())?, serde_json::from_value(body["to"].clone())?);
    let days = (to.duration_since(from).as_secs_f64() / 86_400.0).floor();
    ensure!(from.as_second() % 86_400 == 0 && days == 7.0, "expected seven whole days, found {from} to {to}");
    ensure!(Timestamp::now().duration_since(to).as_secs() < 60, "expected a window up to now, found {to}");
    ensure!(
        body["buckets"].as_array().is_some_and(|buckets| buckets.len() == 8),
        "expected 8 buckets: {body:#}"
    );
    ensure!(
        body["groupBy"] == "none" && body["groups"] == json!([]) && body["serviceLevelSeconds"] == 3600,
        "expected the defaults: {body:#}"
    );
    ensure!(
        body["buckets"][7]["sessions"]["active"] == 1 && body["buckets"][6]["sessions"]["active"] == 0,
        "expected one active session in the last bucket only: {body:#}"
    );
    Ok(())
}

/// The limit counts buckets times groups: here hours times six agents.
#[tokio::test]
async fn result_above_the_bucket_limit_is_rejected() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = TestClient::in_organisation(&stack, Uuid::new_v4(), OrgRole::Owner).await?;
    let mut history = HistoryGenerator::new(1);
    history.add_sessions(&stack, &[owner.user.org_id], 40).await?;
    let assign_agents =
        "with numbered as (select id, row_number() over () as n from public.chat_sessions where org_id = $1)
        update public.chat_sessions as s set agent_id = 'agent_' || n % 6
        from numbered where numbered.id = s.id";
    let mut connection = stack.database().acquire().await?;
    sqlx::query("set session_replication_role = replica").execute(&mut *connection).await?;
    sqlx::query(assign_agents).bind(owner.user.org_id).execute(&mut *connection).await?;
    sqlx::query("reset session_replication_role").execute(&mut *connection).await?;
    let to = Timestamp::now();
    let fetch = async |hours: i64| {
        let from = to - SignedDuration::from_hours(hours);
        owner.get(&format!("/chatkit/metrics?from={from}&to={to}&bucket=hour&groupBy=agent")).await
    };
    // A window of 415 hours overlaps 416 buckets. 416 buckets are permitted, and 417 are not.
    let largest = fetch(415).await?.expect(200)?;
    ensure!(
        largest["buckets"].as_array().is_some_and(|buckets| buckets.len() == 6 * 416),
        "expected 416 hours of 6 agents: {}",
        largest["groups"]
    );
    fetch(416).await?.problem(422, "too_many_figures").map(drop)
}
