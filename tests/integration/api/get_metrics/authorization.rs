//! Authorization of metrics, through the API and through PostgREST.

use anyhow::{Result, ensure};
use http_client::Method;
use jiff::{SignedDuration, Timestamp};
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::client::TestClient;

/// Each role, and whether it may read the metrics.
const ROLES: [(OrgRole, bool); 4] =
    [(OrgRole::Owner, true), (OrgRole::Admin, true), (OrgRole::Approver, true), (OrgRole::Member, false)];

#[tokio::test]
async fn approvers_read_metrics_of_their_own_organisation() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    member.open_session().await?;
    for (role, permitted) in ROLES {
        let client = TestClient::in_organisation(&stack, member.user.org_id, role).await?;
        let response = client.get("/chatkit/metrics").await?;
        if permitted {
            let metrics = response.expect(200)?;
            ensure!(
                metrics["total"]["sessions"]["created"] == 1,
                "{role:?}: expected one session: {metrics:#}"
            );
        } else {
            response.problem(403, "metrics_forbidden")?;
        }
        let foreign = TestClient::in_organisation(&stack, Uuid::new_v4(), role).await?;
        let response = foreign.get("/chatkit/metrics?groupBy=agent").await?;
        if permitted {
            let metrics = response.expect(200)?;
            ensure!(
                metrics["total"]["sessions"]["created"] == 0 && metrics["groups"] == json!([]),
                "{role:?}: expected the metrics of an empty organisation: {metrics:#}"
            );
        } else {
            response.problem(403, "metrics_forbidden")?;
        }
    }
    Ok(())
}

/// Valid arguments of the RPC.
fn arguments() -> Value {
    let now = Timestamp::now();
    json!({
        "p_from": now - SignedDuration::from_hours(48), "p_to": now, "p_bucket": "day",
        "p_group_by": "none", "p_service_level_seconds": 3600,
    })
}

#[tokio::test]
async fn rpc_through_postgrest_requires_an_approver() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = TestClient::new(&stack).await?;
    member.open_session().await?;
    let call = async |token: &str, arguments: Value| {
        stack.rest(token, Method::POST, "/rpc/get_metrics", Some(arguments)).await
    };
    for (role, permitted) in ROLES {
        let client = TestClient::in_organisation(&stack, member.user.org_id, role).await?;
        let (status, body) = call(&client.token, arguments()).await?;
        let is_expected = if permitted {
            status == 200 && body["total"]["sessions"]["created"] == 1
        } else {
            status == 403 && body["message"] == "metrics_forbidden"
        };
        ensure!(is_expected, "{role:?}, permitted: {permitted}: found {status} {body}");
    }
    let owner = TestClient::in_organisation(&stack, member.user.org_id, OrgRole::Owner).await?;
    let unauthorized_tokens = [
        stack.issuer().token_builder(&owner.user).without("app_metadata").sign(),
        stack.issuer().token_builder(&owner.user).claim("is_anonymous", true).sign(),
    ];
    for token in unauthorized_tokens {
        let (status, body) = call(&token, arguments()).await?;
        ensure!(
            status == 403 && body["message"] == "metrics_forbidden",
            "expected metrics_forbidden, found {status} {body}"
        );
    }
    for key in [stack.supabase().publishable_key(), stack.supabase().secret_key()] {
        let (status, body) = call(key, arguments()).await?;
        ensure!(
            status == 401 || status == 403 || status == 404,
            "expected a rejected key, found {status} {body}"
        );
    }
    // The RPC validates its arguments like the API.
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
        let (status, body) = call(&owner.token, arguments).await?;
        ensure!(
            status == 422 && body["details"] == name,
            "{name} {value}: expected 422 for {name}, found {status} {body}"
        );
    }
    Ok(())
}
