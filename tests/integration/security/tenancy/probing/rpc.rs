//! The service calls an RPC function for one tenant with ids of another.

use anyhow::{Result, ensure};
use local_stack::postgres::Grants;
use local_stack::supabase::User;
use serde_json::{Value, json};

use super::foreign_ids::{CALLS_WITH_EXISTING_IDS, CALLS_WITH_FOREIGN_IDS};
use super::{absent_person, find_leak, ids_hidden_from, with_placeholders};
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::{Function, Tenant, every_function};
use crate::security::tenancy::person::Person;
use crate::security::tenancy::rows::{self, Except, fingerprint};
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::without_functions;

/// Every other person, with the session of the user and with an absent one.
#[tokio::test]
async fn foreign_and_absent_session_get_equal_responses() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (user, absent) = (tenants.person(Caller::User), absent_person());
    let before = fingerprint(&tenants, Except::Nothing).await?;
    for function in every_function() {
        for caller in Caller::WITH_SESSIONS.iter().filter(|caller| **caller != Caller::User) {
            if is_allowed(function.tenant, *caller) {
                continue;
            }
            let name = function.name;
            let caller_user = &tenants.person(*caller).user;
            let for_user = call_as(&tenants, function, caller_user, user).await?;
            let for_absent = call_as(&tenants, function, caller_user, &absent).await?;
            let is_equal = for_user == for_absent;
            ensure!(is_equal, "{name} as {caller}: expected {for_absent:?}, found {for_user:?}");
            // The user has left the other organisation, and the function checks that first.
            let is_former_member =
                function.tenant == Tenant::EscalationOfPerson && *caller == Caller::UserInOtherOrg;
            let expected = if is_former_member { 403 } else { 404 };
            ensure!(for_user.0 == expected, "{name} as {caller}: expected {expected}, found {for_user:?}");
        }
    }
    ensure!(fingerprint(&tenants, Except::Nothing).await? == before, "a call changed rows");
    Ok(())
}

/// A colleague and a member of the other organisation use ids of the user in their own sessions.
#[tokio::test]
async fn ids_of_another_tenant_are_new_or_unknown() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let found = violations(&tenants, |_| true).await?;
    ensure!(found.is_empty(), "{} violations:\n{}", found.len(), found.join("\n"));
    Ok(())
}

/// Whether the caller may use the user's session, delivery or escalation.
fn is_allowed(tenant: Tenant, caller: Caller) -> bool {
    match tenant {
        Tenant::Organisation
        | Tenant::Person
        | Tenant::ManagedPerson
        | Tenant::RunningCall
        | Tenant::Schedule
        // The secret is one of the ids, so the calls with foreign ids cover these.
        | Tenant::Secret
        | Tenant::ThreadOfSecret
        | Tenant::RunOfSecret
        | Tenant::RunOfProcess => true,
        Tenant::SessionOfOrganisation | Tenant::DeliveryOfOrganisation => !caller.is_in_other_org(),
        Tenant::EscalationOfPerson => matches!(caller, Caller::Approver | Caller::Admin | Caller::Owner),
        Tenant::SessionOfPerson => false,
    }
}

/// The status and the body of a call for a user with the ids of another person.
async fn call_as(tenants: &Tenants, function: &Function, user: &User, ids: &Person) -> Result<(u16, String)> {
    let person = Person { user: user.clone(), ..ids.clone() };
    let (status, body) = tenants.stack.rpc(function.name, person.arguments(function.arguments)?).await?;
    Ok((status.as_u16(), with_placeholders(&body.to_string(), &person)))
}

/// The violations of the functions that the predicate selects by name.
pub async fn violations(tenants: &Tenants, is_selected: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    // Added to the backup, because each call restores it.
    tenants.stack.register_agent(tenants.org_id, "only_here", "Only here").await?;
    rows::execute(tenants, "insert into backup.agents select * from public.agents where id = 'only_here'")
        .await?;
    let user = tenants.person(Caller::User);
    let mut found = Vec::new();
    for caller in [Caller::Colleague, Caller::MemberOfOtherOrg] {
        for (name, template, status) in CALLS_WITH_FOREIGN_IDS.iter().filter(|(name, ..)| is_selected(name)) {
            // The agent belongs to the organisation of the colleague.
            if template.contains("<agent>") && caller == Caller::Colleague {
                continue;
            }
            let existing = call(tenants, caller, name, template, user, "only_here").await?;
            let absent = call(tenants, caller, name, template, &absent_person(), "nowhere").await?;
            if existing != absent || existing.status != *status || existing.violation.is_some() {
                found.push(format!("{name} as {caller}: expected {absent:?}, found {existing:?}"));
            }
        }
        for (name, template, code) in CALLS_WITH_EXISTING_IDS.iter().filter(|(name, ..)| is_selected(name)) {
            let existing = call(tenants, caller, name, template, user, "").await?;
            let expected = json!({ "code": "PT409", "message": code, "details": null, "hint": null });
            let expected = expected.to_string();
            if existing.status != 409 || existing.body != expected || existing.violation.is_some() {
                found.push(format!("{name} as {caller}: expected {expected}, found {existing:?}"));
            }
        }
    }
    rows::execute(tenants, "delete from backup.agents where id = 'only_here'").await?;
    rows::restore(tenants).await?;
    Ok(found)
}

#[derive(Debug, PartialEq)]
struct Outcome {
    status: u16,
    /// With placeholders instead of ids.
    body: String,
    violation: Option<String>,
}

/// Calls a function with ids of the caller and of another person, and restores the rows.
async fn call(
    tenants: &Tenants,
    caller: Caller,
    name: &str,
    template: &str,
    other: &Person,
    agent: &str,
) -> Result<Outcome> {
    let person = tenants.person(caller);
    let mut arguments = person.fill(template).replace("<agent>", agent);
    for (placeholder, id) in other.placeholders() {
        arguments = arguments.replace(&placeholder.replace('{', "<").replace('}', ">"), &id);
    }
    let before = fingerprint(tenants, Except::Person(person)).await?;
    let (status, body) = tenants.stack.rpc(name, serde_json::from_str(&arguments)?).await?;
    let is_changed = fingerprint(tenants, Except::Person(person)).await? != before;
    let mut hidden = ids_hidden_from(tenants, caller);
    person.own_ids().for_each(|id| {
        hidden.remove(&id);
    });
    let leak = find_leak(&hidden, &arguments, &body).err();
    rows::restore(tenants).await?;
    Ok(Outcome {
        status: status.as_u16(),
        body: comparable(body, person, other),
        violation: leak.or_else(|| is_changed.then(|| "the call changed rows of others".to_owned())),
    })
}

/// A body without the ids, the times and the remaining amount of a limit, which differ between
/// calls.
fn comparable(mut body: Value, caller: &Person, other: &Person) -> String {
    for (list, column) in [("events", "created_at"), ("events", "id"), ("tasks", "updated_at")] {
        let rows = body.get_mut(list).and_then(Value::as_array_mut);
        rows.into_iter().flatten().for_each(|row| row[column] = Value::Null);
    }
    for row in ["session", "escalation", "event", "thread", "settings"] {
        if let Some(row) = body.get_mut(row).and_then(Value::as_object_mut) {
            row.retain(|column, _| {
                !["id", "decision_event_id"].contains(&column.as_str()) && !column.ends_with("_at")
            });
        }
    }
    if let Some(limit) = body.get_mut("limit").and_then(Value::as_object_mut) {
        limit.retain(|name, _| name == "limit");
    }
    with_placeholders(&with_placeholders(&body.to_string(), caller), other)
}
