//! Who may call one function, and whose rows a call touches, asked at PostgREST.

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use http_client::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::expectations::{Function, Tenant};
use super::person::Person;
use super::roles::Who;
use super::rows::{But, fingerprint, restore, run};
use super::tables::{brief, unless_refused};
use super::tenants::Tenants;

/// Everything about this function that is not as expected, as far as these callers can tell.
pub async fn violations(tenants: &Tenants, function: &Function, callers: &[Who]) -> Result<Vec<String>> {
    let before = fingerprint(tenants, But::Nothing).await?;
    let others = callers.iter().filter(|who| **who != Who::Service);
    let mut found = try_join_all(others.map(|who| not_for(tenants, function, *who))).await?.concat();
    if callers.contains(&Who::Service) {
        found.extend(mixed_up(tenants, function).await?);
    }
    let changed = fingerprint(tenants, But::Nothing).await? != before;
    if changed {
        found.push(format!("a call of {} that was refused changed something", function.name));
    }
    if callers.contains(&Who::Service) {
        found.extend(as_it_should_be(tenants, function).await?);
    }
    if changed || callers.contains(&Who::Service) {
        restore(tenants).await?;
    }
    Ok(found)
}

/// Asks PostgREST as somebody for this function about that person.
pub async fn call(tenants: &Tenants, who: Who, function: &Function, about: &Person) -> Result<(u16, Value)> {
    let path = format!("/rpc/{}", function.name);
    tenants.ask(who, Method::POST, &path, Some(about.call(function.call)?)).await
}

/// Whoever is not the service is refused, also about their own session.
async fn not_for(tenants: &Tenants, function: &Function, who: Who) -> Result<Vec<String>> {
    let mut about = vec![Who::User];
    about.extend(Who::PEOPLE.iter().filter(|person| **person == who && who != Who::User));
    let mut found = Vec::new();
    for whose in about {
        let answer = call(tenants, who, function, tenants.person(whose)).await?;
        let wrong = unless_refused(&answer, who, &format!("function {}", function.name));
        found.extend(wrong.map(|what| format!("{who} calls {} about {whose}: {what}", function.name)));
    }
    Ok(found)
}

/// The service calls in the name of one person about another one's session, delivery or escalation.
pub async fn mixed_up(tenants: &Tenants, function: &Function) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let user = tenants.person(Who::User);
    for other in Who::PEOPLE.iter().filter(|who| **who != Who::User) {
        let other_person = tenants.person(*other);
        let mut about = Person { user: other_person.user.clone(), ..user.clone() };
        let (refusal, message) = match (function.tenant, other) {
            (Tenant::Organisation | Tenant::ErasedPerson | Tenant::Due, _) => continue,
            (Tenant::SessionOfOrganisation | Tenant::DeliveryOfOrganisation, _) if !other.is_elsewhere() => {
                continue;
            }
            (Tenant::EscalationOfPerson, Who::Approver | Who::Admin | Who::Owner) => continue,
            // The user is not elsewhere any more.
            (Tenant::Person | Tenant::EscalationOfPerson, Who::UserElsewhere) => (403, "not_a_member"),
            (Tenant::SessionOfOrganisation | Tenant::SessionOfPerson, _) => (404, "session_not_found"),
            (Tenant::Person, _) => (409, "session_id_taken"),
            (Tenant::DeliveryOfOrganisation, _) => (404, "delivery_not_found"),
            (Tenant::EscalationOfPerson, _) => (404, "escalation_not_found"),
            (Tenant::CallUnderWay, _) => {
                about = Person { fence: other_person.fence, ..user.clone() };
                (200, "")
            }
        };
        let (status, body) = call(tenants, Who::Service, function, &about).await?;
        let as_refused = match refusal {
            200 => body == json!({ "finished": false }),
            _ => body["message"] == message,
        };
        if status != refusal || !as_refused {
            found.push(format!(
                "{} as {other} with the user's ids: {status} {}",
                function.name,
                brief(&body)
            ));
        }
    }
    Ok(found)
}

/// The service calls about a session and the person it belongs to.
async fn as_it_should_be(tenants: &Tenants, function: &Function) -> Result<Vec<String>> {
    let user = tenants.person(Who::User);
    let but =
        if function.tenant == Tenant::Organisation { But::Organisation(user) } else { But::Person(user) };
    run(tenants, &user.fill(function.before)).await?;
    let before = fingerprint(tenants, but).await?;
    let (status, body) = call(tenants, Who::Service, function, user).await?;
    let mut found = Vec::new();
    if status != 200 || !holds(&user.call(function.answer)?, &body) {
        found.push(format!("the service calls {}: {status} {body}", function.name));
    }
    if !function.after.is_empty() {
        let after = sqlx::query_scalar(AssertSqlSafe(user.fill(function.after)));
        let after: Option<bool> = after.fetch_one(tenants.stack.database()).await.context(function.after)?;
        if after != Some(true) {
            found.push(format!("after a call of {} it is not so: {}", function.name, function.after));
        }
    }
    let (others, told) = (Who::PEOPLE.iter().filter(|who| **who != Who::User), body.to_string());
    for other in others.filter(|other| tenants.person(**other).own().any(|id| told.contains(&id))) {
        found.push(format!("a call of {} about the user tells an id of {other}: {told}", function.name));
    }
    if fingerprint(tenants, but).await? != before {
        found.push(format!("a call of {} about the user changed what is others'", function.name));
    }
    Ok(found)
}

/// Whether all that is expected is there. A list is as long as expected; an object may have more.
fn holds(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::Object(_)) => {
            expected.iter().all(|(key, value)| holds(value, &found[key]))
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| holds(expected, found))
        }
        _ => expected == found,
    }
}
