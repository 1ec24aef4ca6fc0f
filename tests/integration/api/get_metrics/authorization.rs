//! Who is told, and what can be asked.

use anyhow::{Result, ensure};
use http_client::Method;
use jiff::{SignedDuration, Timestamp};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::generator::History;
use crate::support::client::TestClient;

const ROLES: [(OrgRole, bool); 4] =
    [(OrgRole::Owner, true), (OrgRole::Admin, true), (OrgRole::Approver, true), (OrgRole::Member, false)];

// NAME: metrics: owners, admins and approvers are told, of their own organisation
#[tokio::test]
async fn told() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    member.open().await?;
    for (role, may) in ROLES {
        let caller = TestClient::joining(&stack, member.user.org_id, role).await?;
        let reply = caller.get("/chatkit/metrics").await?;
        if may {
            ensure!(
                reply.expect(200)?["total"]["sessions"]["created"] == 1,
                "{role:?} is told of another number"
            );
        } else {
            reply.problem(403, "metrics_forbidden")?;
        }
        let elsewhere = TestClient::joining(&stack, Uuid::new_v4(), role).await?;
        let reply = elsewhere.get("/chatkit/metrics?groupBy=agent").await?;
        if may {
            let body = reply.expect(200)?;
            ensure!(body["total"]["sessions"]["created"] == 0 && body["groups"] == json!([]), "{body:#}");
        } else {
            reply.problem(403, "metrics_forbidden")?;
        }
    }
    Ok(())
}

fn arguments() -> Value {
    let now = Timestamp::now();
    json!({ "p_from": now - SignedDuration::from_hours(48), "p_to": now, "p_bucket": "day", "p_group_by": "none",
        "p_service_level_seconds": 3600 })
}

// NAME: metrics: PostgREST tells nobody who is not told by the API
#[tokio::test]
async fn directly() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    member.open().await?;
    let ask = async |token: &str, arguments: Value| {
        stack.rest(token, Method::POST, "/rpc/get_metrics", Some(arguments)).await
    };
    for (role, may) in ROLES {
        let caller = TestClient::joining(&stack, member.user.org_id, role).await?;
        let (status, body) = ask(&caller.token, arguments()).await?;
        let as_it_should = if may {
            status == 200 && body["total"]["sessions"]["created"] == 1
        } else {
            status == 403 && body["message"] == "metrics_forbidden"
        };
        ensure!(as_it_should, "{role:?}: {status} {body}");
    }
    let owner = TestClient::joining(&stack, member.user.org_id, OrgRole::Owner).await?;
    let nobodies = [
        stack.issuer().forge(&owner.user).without("app_metadata").sign(),
        stack.issuer().forge(&owner.user).claim("is_anonymous", true).sign(),
    ];
    for token in nobodies {
        let (status, body) = ask(&token, arguments()).await?;
        ensure!(status == 403 && body["message"] == "metrics_forbidden", "{status} {body}");
    }
    for key in [stack.supabase().publishable_key(), stack.supabase().secret_key()] {
        let (status, body) = ask(key, arguments()).await?;
        ensure!(status == 401 || status == 403 || status == 404, "{status} {body}");
    }
    // It cannot be asked what the API would refuse to ask.
    for (name, value) in [
        ("bucket", json!("minute")),
        ("bucket", Value::Null),
        ("group_by", json!("user")),
        ("service_level_seconds", json!(0)),
        ("service_level_seconds", json!(31_536_001)),
        ("from", json!("-infinity")),
        ("from", json!("2020-01-01T00:00:00Z")),
        ("to", json!("infinity")),
        ("to", json!("2020-01-01T00:00:00Z")),
    ] {
        let mut arguments = arguments();
        arguments[format!("p_{name}")] = value.clone();
        let (status, body) = ask(&owner.token, arguments).await?;
        ensure!(status == 422 && body["details"] == name, "{name} {value}: {status} {body}");
    }
    Ok(())
}

// NAME: metrics: a question that cannot be answered says what is wrong with it
#[tokio::test]
async fn questions() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = TestClient::joining(&stack, Uuid::new_v4(), OrgRole::Owner).await?;
    for (query, wrong) in [
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
        ensure!(problem["errors"][0]["pointer"] == wrong, "{query}: {problem:#}");
        ensure!(problem["errors"].as_array().is_some_and(|errors| errors.len() == 1), "{query}: {problem:#}");
    }
    // The longest that can be asked for.
    for query in [
        "from=2025-01-01T00:00:00Z&to=2026-02-05T00:00:00Z",
        "from=2026-01-01T00:00:00Z&to=2026-02-01T00:00:00Z&bucket=hour",
    ] {
        owner.get(&format!("/chatkit/metrics?{query}")).await?.expect(200)?;
    }
    Ok(())
}

// NAME: metrics: what is left out is the last week by day, up to now
#[tokio::test]
async fn defaults() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    member.open().await?;
    let owner = TestClient::joining(&stack, member.user.org_id, OrgRole::Owner).await?;
    let body = owner.get("/chatkit/metrics").await?.expect(200)?;
    let (from, to): (Timestamp, Timestamp) =
        (serde_json::from_value(body["from"].clone())?, serde_json::from_value(body["to"].clone())?);
    let days = (to.duration_since(from).as_secs_f64() / 86_400.0).floor();
    ensure!(from.as_second() % 86_400 == 0 && days == 7.0, "from {from} to {to}");
    ensure!(Timestamp::now().duration_since(to).as_secs() < 60, "up to {to}");
    ensure!(body["buckets"].as_array().is_some_and(|buckets| buckets.len() == 8), "{body:#}");
    ensure!(body["groupBy"] == "none" && body["groups"] == json!([]) && body["serviceLevelSeconds"] == 3600);
    ensure!(body["buckets"][7]["sessions"]["active"] == 1 && body["buckets"][6]["sessions"]["active"] == 0);
    Ok(())
}

// NAME: metrics: more parts than fit an answer are refused
/// Six agents, by the hour.
#[tokio::test]
async fn too_many() -> Result<()> {
    let stack = LocalStack::start().await?;
    let owner = TestClient::joining(&stack, Uuid::new_v4(), OrgRole::Owner).await?;
    let mut history = History::new(1);
    history.go_on(&stack, &[owner.user.org_id], 40).await?;
    let spread =
        "with numbered as (select id, row_number() over () as n from public.chat_sessions where org_id = $1)
        update public.chat_sessions as s set agent_id = 'agent_' || n % 6
        from numbered where numbered.id = s.id";
    let mut connection = stack.database().acquire().await?;
    sqlx::query("set session_replication_role = replica").execute(&mut *connection).await?;
    sqlx::query(spread).bind(owner.user.org_id).execute(&mut *connection).await?;
    sqlx::query("reset session_replication_role").execute(&mut *connection).await?;
    let to = Timestamp::now();
    let ask = async |hours: i64| {
        let from = to - SignedDuration::from_hours(hours);
        owner.get(&format!("/chatkit/metrics?from={from}&to={to}&bucket=hour&groupBy=agent")).await
    };
    // Six agents: of 416 hours as many as may be, of 417 one too many.
    let most = ask(415).await?.expect(200)?;
    ensure!(most["buckets"].as_array().is_some_and(|buckets| buckets.len() == 6 * 416), "{}", most["groups"]);
    ask(416).await?.problem(422, "too_many_figures").map(drop)
}
