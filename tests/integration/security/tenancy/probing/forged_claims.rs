//! Tokens that claim an organisation or a role, but not in `app_metadata`, which only the operator
//! can write, or with a malformed value.

use anyhow::{Error, Result, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use serde_json::{Value, json};

use super::{find_leak, ids_hidden_from};
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::seed_calls::SESSIONS_PER_PERSON;
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::without_functions;

/// A value that a user can write does not make the user a member or an approver.
#[tokio::test]
async fn only_valid_app_metadata_grants_access() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (org_id, other_org_id) = (tenants.org_id, tenants.other_org_id);
    let owner = |org_id: Value| json!({ "org_id": org_id, "org_role": "owner" });
    const OWN: usize = SESSIONS_PER_PERSON;
    // A claim in the token of a member of the other organisation, and the number of visible
    // sessions.
    let claims = [
        ("user_metadata", owner(json!(org_id)), OWN),
        ("org_id", json!(org_id), OWN),
        ("org_role", json!("owner"), OWN),
        ("app_metadata", Value::Null, 0),
        ("app_metadata", json!({}), 0),
        ("app_metadata", json!("owner"), 0),
        ("app_metadata", json!([owner(json!(org_id))]), 0),
        ("app_metadata", json!({ "org_role": "owner" }), 0),
        ("app_metadata", owner(json!(null)), 0),
        ("app_metadata", owner(json!("")), 0),
        ("app_metadata", owner(json!(7)), 0),
        ("app_metadata", owner(json!([org_id])), 0),
        ("app_metadata", owner(json!({ "id": org_id })), 0),
        ("app_metadata", owner(json!(format!(" {org_id}"))), 0),
        ("app_metadata", owner(json!(format!("{org_id}\n"))), 0),
        ("app_metadata", owner(json!(format!("{{{org_id}}}"))), 0),
        ("app_metadata", owner(json!(org_id.simple())), 0),
        ("app_metadata", owner(json!(format!("{org_id}' or true --"))), 0),
        ("app_metadata", owner(json!("%")), 0),
        ("app_metadata", json!({ "org_id": other_org_id, "org_role": "Owner" }), OWN),
        ("app_metadata", json!({ "org_id": other_org_id, "org_role": "owner " }), OWN),
        ("app_metadata", json!({ "org_id": other_org_id, "org_role": ["owner"] }), OWN),
        ("app_metadata", json!({ "org_id": other_org_id, "org_role": true }), OWN),
        ("app_metadata", json!({ "org_id": other_org_id }), OWN),
        ("is_anonymous", json!(true), 0),
        ("is_anonymous", json!("true"), 0),
        ("is_anonymous", json!(1), 0),
        ("is_anonymous", json!(false), OWN),
        ("sub", Value::Null, 0),
        ("sub", json!(tenants.person(Caller::User).user.id), 0),
    ];
    let member = &tenants.person(Caller::MemberOfOtherOrg).user;
    let hidden = ids_hidden_from(&tenants, Caller::MemberOfOtherOrg);
    for (claim, value, sessions) in claims {
        let token = tenants.stack.issuer().token_builder(member).claim(claim, value.clone()).sign();
        let (status, found) =
            tenants.stack.rest(&token, Method::GET, "/chat_sessions?select=*", None).await?;
        let visible = found.as_array().map(Vec::len);
        // The token is that of the user in the other organisation, who has sessions there.
        let expected = if claim == "sub" && value.is_string() { OWN } else { sessions };
        let is_expected = status == 200 && visible == Some(expected);
        ensure!(is_expected, "{claim} {value}: expected {expected} sessions, found {status} {found}");
        if claim != "sub" {
            find_leak(&hidden, "", &found).map_err(Error::msg)?;
        }
    }
    // A malformed user id is an error.
    let token = tenants.stack.issuer().token_builder(member).claim("sub", "not-a-uuid").sign();
    let (status, body) = tenants.stack.rest(&token, Method::GET, "/chat_sessions?select=*", None).await?;
    ensure!(status.is_client_error(), "expected 4xx, found {status} {body}");
    Ok(())
}
