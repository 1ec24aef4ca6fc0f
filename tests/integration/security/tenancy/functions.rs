//! Calls of a function by requests to PostgREST: who may call it, and whose rows a call changes.

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use http_client::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::callers::Caller;
use super::expectations::{Function, Tenant};
use super::person::Person;
use super::rows::{Except, execute, fingerprint, restore};
use super::tables::{truncated, unless_denied};
use super::tenants::Tenants;

/// Every difference from the expectations of this function that these callers can observe.
pub async fn violations(tenants: &Tenants, function: &Function, callers: &[Caller]) -> Result<Vec<String>> {
    let before = fingerprint(tenants, Except::Nothing).await?;
    let others = callers.iter().filter(|caller| **caller != Caller::Service);
    let calls = others.map(|caller| call_as(tenants, function, *caller));
    let mut found = try_join_all(calls).await?.concat();
    let has_service = callers.contains(&Caller::Service);
    if has_service {
        found.extend(call_across_tenants(tenants, function).await?);
    }
    let is_changed = fingerprint(tenants, Except::Nothing).await? != before;
    if is_changed {
        found.push(format!("a rejected call of {} changed rows", function.name));
    }
    if has_service {
        found.extend(call_within_tenant(tenants, function).await?);
    }
    if is_changed || has_service {
        restore(tenants).await?;
    }
    Ok(found)
}

/// Calls a function with the ids of a person.
pub async fn call(
    tenants: &Tenants,
    caller: Caller,
    function: &Function,
    person: &Person,
) -> Result<(u16, Value)> {
    let path = format!("/rpc/{}", function.name);
    tenants.request(caller, Method::POST, &path, Some(person.arguments(function.arguments)?)).await
}

/// A caller other than the service is denied, also with the caller's own ids.
async fn call_as(tenants: &Tenants, function: &Function, caller: Caller) -> Result<Vec<String>> {
    let mut people = vec![Caller::User];
    people.extend(Caller::WITH_SESSIONS.iter().filter(|person| **person == caller && caller != Caller::User));
    let mut found = Vec::new();
    for person in people {
        let response = call(tenants, caller, function, tenants.person(person)).await?;
        let violation = unless_denied(&response, caller, &format!("function {}", function.name));
        found.extend(
            violation.map(|outcome| {
                format!("{caller} calls {} with the ids of {person}: {outcome}", function.name)
            }),
        );
    }
    Ok(found)
}

/// The service calls the function for a person, with the ids of the user's rows.
pub async fn call_across_tenants(tenants: &Tenants, function: &Function) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let user = tenants.person(Caller::User);
    for other in Caller::WITH_SESSIONS.iter().filter(|caller| **caller != Caller::User) {
        let other_person = tenants.person(*other);
        let mut person = Person { user: other_person.user.clone(), ..user.clone() };
        let (expected_status, message) = match (function.tenant, other) {
            (Tenant::Organisation | Tenant::ManagedPerson | Tenant::Schedule | Tenant::Secret, _) => continue,
            (Tenant::SessionOfOrganisation | Tenant::DeliveryOfOrganisation, _)
                if !other.is_in_other_org() =>
            {
                continue;
            }
            (Tenant::EscalationOfPerson, Caller::Approver | Caller::Admin | Caller::Owner) => continue,
            // The user has left the other organisation.
            (Tenant::Person | Tenant::EscalationOfPerson, Caller::UserInOtherOrg) => (403, "not_a_member"),
            (Tenant::SessionOfOrganisation | Tenant::SessionOfPerson, _) => (404, "session_not_found"),
            (Tenant::Person, _) => (409, "session_id_taken"),
            (Tenant::DeliveryOfOrganisation, _) => (404, "delivery_not_found"),
            (Tenant::EscalationOfPerson, _) => (404, "escalation_not_found"),
            (Tenant::ThreadOfSecret | Tenant::RunOfSecret | Tenant::RunOfProcess, _) => {
                person = Person { chat_secret: other_person.chat_secret.clone(), ..user.clone() };
                match function.tenant {
                    Tenant::RunOfProcess => (404, "run_not_found"),
                    _ if *other == Caller::UserInOtherOrg => (403, "not_a_member"),
                    Tenant::RunOfSecret => (404, "run_not_found"),
                    _ => (404, "thread_not_found"),
                }
            }
            (Tenant::RunningCall, _) => {
                person = Person { fence: other_person.fence, ..user.clone() };
                (200, "")
            }
        };
        let (status, body) = call(tenants, Caller::Service, function, &person).await?;
        let has_expected_body = match expected_status {
            200 => body == json!({ "finished": false }),
            _ => body["message"] == message,
        };
        if status != expected_status || !has_expected_body {
            let body = truncated(&body);
            found.push(format!(
                "{} for {other} with the user's ids: expected {expected_status} {message}, \
                 found {status} {body}",
                function.name
            ));
        }
    }
    Ok(found)
}

/// The service calls the function for the user with the user's ids.
async fn call_within_tenant(tenants: &Tenants, function: &Function) -> Result<Vec<String>> {
    let Function { name, setup, response, postcondition, .. } = function;
    let user = tenants.person(Caller::User);
    let except = if function.tenant == Tenant::Organisation {
        Except::Organisation(user)
    } else {
        Except::Person(user)
    };
    execute(tenants, &user.fill(setup)).await?;
    let before = fingerprint(tenants, except).await?;
    let (status, body) = call(tenants, Caller::Service, function, user).await?;
    let mut found = Vec::new();
    if status != 200 || !contains(&user.arguments(response)?, &body) {
        found.push(format!("{name} for the user: expected 200 {response}, found {status} {body}"));
    }
    if !postcondition.is_empty() {
        let holds = sqlx::query_scalar(AssertSqlSafe(user.fill(postcondition)));
        let holds: Option<bool> = holds.fetch_one(tenants.stack.database()).await.context(*postcondition)?;
        if holds != Some(true) {
            found.push(format!("{name} for the user: the condition does not hold: {postcondition}"));
        }
    }
    let text = body.to_string();
    let others = Caller::WITH_SESSIONS.iter().filter(|caller| **caller != Caller::User);
    for other in others.filter(|other| tenants.person(**other).own_ids().any(|id| text.contains(&id))) {
        found.push(format!("{name} for the user returns an id of {other}: {text}"));
    }
    if fingerprint(tenants, except).await? != before {
        found.push(format!("{name} for the user changed rows of others"));
    }
    Ok(found)
}

/// Whether a value contains all that is expected: an object may have more members, an array may not
/// have more items.
fn contains(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(_)) => {
            expected.iter().all(|(key, value)| contains(value, &found[key]))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| contains(expected, found))
        }
        _ => expected == found,
    }
}
