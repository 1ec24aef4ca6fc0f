//! Several dispatchers claim concurrently for one user and tool, whose calls would exceed the daily
//! total of `auto`.

use anyhow::{Context, Result, bail};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::pool::{MAX_DAILY_TOTAL, tools};
use crate::stress::measurement::Measurement;
use crate::stress::rpc::{Catalogue, arguments};

/// Number of sessions, each with a call of this amount: twice as much as the limit.
const SESSIONS: u32 = 50;
const AMOUNT: u32 = 100;

async fn call(
    catalogue: &Catalogue,
    connection: &mut PgConnection,
    name: &str,
    params: serde_json::Map<String, Value>,
) -> Result<Value> {
    match catalogue.call(connection, name, &params).await? {
        Ok(answer) => Ok(answer),
        Err(error) => bail!("{name} failed: {error:?}"),
    }
}

pub async fn run(
    catalogue: &Catalogue,
    connections: &mut [PgConnection],
    operator: &mut PgConnection,
    runs: usize,
) -> Result<Vec<Measurement>> {
    let (mut started, mut wrong) = (0, Vec::new());
    for run in 0..runs {
        let (org_id, user_id) = (Uuid::new_v4(), Uuid::new_v4());
        let first = connections.first_mut().context("there is no connection")?;
        set_up(catalogue, first, operator, org_id, user_id).await?;
        let claims = connections.iter_mut().map(|connection| claim(catalogue, connection, org_id));
        let calls: usize = try_join_all(claims).await?.into_iter().sum();
        started += calls;
        let escalated: i64 =
            sqlx::query_scalar("select count(*) from deliveries where org_id = $1 and status = 'asked'")
                .bind(org_id)
                .fetch_one(&mut *operator)
                .await?;
        let max = usize::try_from(MAX_DAILY_TOTAL / AMOUNT)?;
        if calls != max || usize::try_from(escalated)? != usize::try_from(SESSIONS)? - max {
            wrong.push(format!("run {run}: {calls} called, {escalated} escalated"));
        }
    }
    Ok(vec![
        Measurement::non_zero("calls started by concurrent dispatchers for one user and tool", started),
        Measurement::violations("runs that exceed the daily total, or stay below it", &wrong),
    ])
}

async fn set_up(
    catalogue: &Catalogue,
    service: &mut PgConnection,
    operator: &mut PgConnection,
    org_id: Uuid,
    user_id: Uuid,
) -> Result<()> {
    let insert = "insert into auth.users (id, aud, role, raw_app_meta_data)
        values ($1, 'authenticated', 'authenticated', $2)";
    let metadata = json!({ "org_id": org_id, "org_role": "member" });
    sqlx::query(insert).bind(user_id).bind(metadata).execute(&mut *operator).await?;
    let agent = arguments([
        ("p_org_id", json!(org_id)),
        ("p_agent_id", json!("alpha")),
        ("p_display_name", json!("alpha")),
        ("p_description", json!("")),
        ("p_chatkit_workflow_id", json!("wf_1")),
    ]);
    call(catalogue, service, "register_agent", agent).await?;
    let server = arguments([
        ("p_org_id", json!(org_id)),
        ("p_agent_id", json!("alpha")),
        ("p_url", json!("https://agents.example.com/mcp")),
        ("p_tools", tools("auto")),
        ("p_routes", json!([{ "tool": "pay", "event_type": "button_click" }])),
    ]);
    call(catalogue, service, "register_agent_server", server).await?;
    for _ in 0..SESSIONS {
        let session_id = Uuid::now_v7();
        let session = arguments([
            ("p_org_id", json!(org_id)),
            ("p_user_id", json!(user_id)),
            ("p_session_id", json!(session_id)),
            ("p_agent_id", json!("alpha")),
            ("p_channel", json!("web")),
            ("p_metadata", json!({})),
        ]);
        call(catalogue, service, "open_session", session).await?;
        let click = json!({ "id": Uuid::new_v4(), "type": "button_click", "payload": { "amount": AMOUNT } });
        let events = arguments([
            ("p_org_id", json!(org_id)),
            ("p_user_id", json!(user_id)),
            ("p_session_id", json!(session_id)),
            ("p_actor_type", json!("user")),
            ("p_actor_id", json!(user_id)),
            ("p_events", json!([click])),
        ]);
        call(catalogue, service, "record_events", events).await?;
    }
    Ok(())
}

/// Claims and finishes deliveries until none is due, and returns the number of started calls of the
/// organisation.
async fn claim(catalogue: &Catalogue, connection: &mut PgConnection, org_id: Uuid) -> Result<usize> {
    let (mut started, mut idle) = (0, 0);
    while idle < 3 {
        let params = arguments([
            ("p_limit", json!(3)),
            ("p_lease_seconds", json!(60)),
            ("p_claim_id", json!(Uuid::now_v7())),
        ]);
        let answer = call(catalogue, connection, "claim_deliveries", params).await?;
        let calls = answer["deliveries"].as_array().cloned().unwrap_or_default();
        idle = if calls.is_empty() && answer["next_due_in_seconds"] != 0 { idle + 1 } else { 0 };
        for delivery in calls {
            started += usize::from(delivery["org_id"] == json!(org_id));
            let finish = arguments([
                ("p_delivery_id", delivery["id"].clone()),
                ("p_fence", delivery["fence"].clone()),
                ("p_outcome", json!({ "kind": "completed" })),
            ]);
            call(catalogue, connection, "finish_delivery", finish).await?;
        }
    }
    Ok(started)
}
