//! Tokens that claim an organisation or a role in other ways than the one that counts: `app_metadata`, which only the
//! operator writes.

use crate::security::tenancy::in_a_project;
use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use serde_json::{Value, json};

use super::{given_away, secrets_to};
use crate::security::tenancy::lifecycle::SESSIONS_EACH;
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::tenants::Tenants;

// NAME: tenancy: only what the operator wrote into a token counts
/// Nothing that a user can write, and nothing malformed, makes anybody a member or an approver.
#[tokio::test]
async fn only_the_operators() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (here, elsewhere) = (tenants.here, tenants.elsewhere);
    let owner = |org_id: Value| json!({ "org_id": org_id, "org_role": "owner" });
    const OWN: usize = SESSIONS_EACH;
    // What is claimed, instead of or beside what a stranger's token says; and how many sessions that shows.
    let claims = [
        ("user_metadata", owner(json!(here)), OWN),
        ("org_id", json!(here), OWN),
        ("org_role", json!("owner"), OWN),
        ("app_metadata", Value::Null, 0),
        ("app_metadata", json!({}), 0),
        ("app_metadata", json!("owner"), 0),
        ("app_metadata", json!([owner(json!(here))]), 0),
        ("app_metadata", json!({ "org_role": "owner" }), 0),
        ("app_metadata", owner(json!(null)), 0),
        ("app_metadata", owner(json!("")), 0),
        ("app_metadata", owner(json!(7)), 0),
        ("app_metadata", owner(json!([here])), 0),
        ("app_metadata", owner(json!({ "id": here })), 0),
        ("app_metadata", owner(json!(format!(" {here}"))), 0),
        ("app_metadata", owner(json!(format!("{here}\n"))), 0),
        ("app_metadata", owner(json!(format!("{{{here}}}"))), 0),
        ("app_metadata", owner(json!(here.simple())), 0),
        ("app_metadata", owner(json!(format!("{here}' or true --"))), 0),
        ("app_metadata", owner(json!("%")), 0),
        ("app_metadata", json!({ "org_id": elsewhere, "org_role": "Owner" }), OWN),
        ("app_metadata", json!({ "org_id": elsewhere, "org_role": "owner " }), OWN),
        ("app_metadata", json!({ "org_id": elsewhere, "org_role": ["owner"] }), OWN),
        ("app_metadata", json!({ "org_id": elsewhere, "org_role": true }), OWN),
        ("app_metadata", json!({ "org_id": elsewhere }), OWN),
        ("is_anonymous", json!(true), 0),
        ("is_anonymous", json!("true"), 0),
        ("is_anonymous", json!(1), 0),
        ("is_anonymous", json!(false), OWN),
        ("sub", Value::Null, 0),
        ("sub", json!(tenants.person(Who::User).user.id), 0),
    ];
    let stranger = &tenants.person(Who::Stranger).user;
    let secrets = secrets_to(&tenants, Who::Stranger);
    for (claim, value, sessions) in claims {
        let token = tenants.stack.issuer().forge(stranger).claim(claim, value.clone()).sign();
        let (status, found) =
            tenants.stack.rest(&token, Method::GET, "/chat_sessions?select=*", None).await?;
        let shown = found.as_array().map(Vec::len);
        // The user has been elsewhere as well, and this says to be them there.
        let expected = if claim == "sub" && value.is_string() { OWN } else { sessions };
        ensure!(status == 200 && shown == Some(expected), "{claim} {value}: {status} {found}");
        if claim != "sub" {
            given_away(&secrets, "", &found).map_err(anyhow::Error::msg)?;
        }
    }
    // An id that is none is no reason for anything but an error.
    let token = tenants.stack.issuer().forge(stranger).claim("sub", "nobody").sign();
    let (status, body) = tenants.stack.rest(&token, Method::GET, "/chat_sessions?select=*", None).await?;
    ensure!(status.is_client_error(), "{status} {body}");
    Ok(())
}
