//! What the service gets to hear that names one tenant and passes ids of another one's.

use crate::security::tenancy::in_a_project;
use anyhow::{Result, ensure};
use local_stack::postgres::Grants;
use serde_json::{Value, json};

use super::{given_away, no_one, secrets_to, without_ids};
use crate::security::tenancy::expectations::{Tenant, every_function};
use crate::security::tenancy::person::Person;
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::rows;
use crate::security::tenancy::rows::{But, fingerprint};
use crate::security::tenancy::tenants::Tenants;

// NAME: tenancy: an RPC function says the same of another's id as of none
/// Everybody else in the name of themselves, about the user's session and about one that does not exist.
#[tokio::test]
async fn same_as_none() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (user, no_one) = (tenants.person(Who::User), no_one());
    let before = fingerprint(&tenants, But::Nothing).await?;
    for function in every_function() {
        for who in Who::PEOPLE.iter().filter(|who| **who != Who::User) {
            let allowed = match function.tenant {
                Tenant::Organisation
                | Tenant::Person
                | Tenant::ErasedPerson
                | Tenant::CallUnderWay
                | Tenant::Due => true,
                Tenant::SessionOfOrganisation | Tenant::DeliveryOfOrganisation => !who.is_elsewhere(),
                Tenant::EscalationOfPerson => matches!(who, Who::Approver | Who::Admin | Who::Owner),
                Tenant::SessionOfPerson => false,
            };
            if allowed {
                continue;
            }
            let themselves = &tenants.person(*who).user;
            let theirs = answer(&tenants, function.name, function.call, themselves, user).await?;
            let nobodys = answer(&tenants, function.name, function.call, themselves, &no_one).await?;
            ensure!(theirs == nobodys, "{} as {who}: {theirs:?} instead of {nobodys:?}", function.name);
            // The user is not elsewhere any more, which is all they hear there.
            let left = function.tenant == Tenant::EscalationOfPerson && *who == Who::UserElsewhere;
            ensure!(theirs.0 == if left { 403 } else { 404 }, "{} as {who}: {theirs:?}", function.name);
        }
    }
    ensure!(fingerprint(&tenants, But::Nothing).await? == before, "something was changed");
    Ok(())
}

/// The status and body of a call in the name of one person with another one's ids.
async fn answer(
    tenants: &Tenants,
    name: &str,
    call: &str,
    user: &local_stack::supabase::User,
    ids: &Person,
) -> Result<(u16, String)> {
    let about = Person { user: user.clone(), ..ids.clone() };
    let (status, body) = tenants.stack.rpc(name, about.call(call)?).await?;
    Ok((status.as_u16(), without_ids(&body.to_string(), &about)))
}

/// A function, its arguments, and the status of the answer. In `{…}` is the caller's own, in `<…>` what is another
/// person's or nobody's.
const WITH_IDS_OF_OTHERS: &[(&str, &str, u16)] = &[
    (
        "record_chatkit_session",
        r#"{ {the organisation's session}, "p_chatkit_request_id": "<pending>",
             "p_chatkit_session_id": "cksess_x", "p_expires_at": "2030-01-01T00:00:00Z",
             "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
        404,
    ),
    (
        "fail_chatkit_session",
        r#"{ {the organisation's session}, "p_chatkit_request_id": "<pending>", "p_end_session": true }"#,
        404,
    ),
    (
        "confirm_chatkit_cancelled",
        r#"{ {the organisation's session}, "p_chatkit_session_ids": ["<upstream>"] }"#,
        200,
    ),
    (
        "record_events",
        r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "<event>", "type": "thread_changed", "payload": { "threadId": "cthr_<session>" } }] }"#,
        200,
    ),
    (
        "record_events",
        r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "hitl_resolved", "payload": {
               "escalationId": "<question>", "decision": "approve", "subjectHash": "<subject_hash>" } }] }"#,
        404,
    ),
    (
        "decide_escalation",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{question}",
             "p_decision": "approve", "p_subject_hash": "{subject_hash}", "p_event_id": "<event>" }"#,
        200,
    ),
    (
        "finish_delivery",
        r#"{ "p_delivery_id": "{running}", "p_fence": <fence>, "p_outcome": { "kind": "completed" } }"#,
        200,
    ),
    (
        "record_thread_items",
        r#"{ {the organisation's session}, "p_thread_id": "cthr_<session>", "p_items": [] }"#,
        404,
    ),
    (
        "record_thread_items",
        r#"{ {the organisation's session}, "p_thread_id": "cthr_{session}",
             "p_items": [{ "id": "item_<session>", "role": "user", "content": "x" }] }"#,
        200,
    ),
    (
        "record_messages",
        r#"{ {the organisation's session},
             "p_messages": [{ "id": "<message>", "role": "user", "content": "x" }] }"#,
        200,
    ),
    (
        "record_tasks",
        r#"{ {the organisation's session},
             "p_tasks": [{ "id": "<session>", "title": "x", "status": "running" }] }"#,
        200,
    ),
    // A key is known to its user alone.
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{new}", "p_agent_id": "accounts_payable",
             "p_channel": "web", "p_metadata": {}, "p_chatkit_request_id": "{new}", "p_idempotency_key": "<key>",
             "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "renew_chatkit_session",
        r#"{ {the user's session}, "p_purpose": "resume", "p_min_life_seconds": 0,
             "p_chatkit_request_id": "{new}", "p_idempotency_key": "<key>", "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "record_events",
        r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}",
             "p_events": [{ "id": "{new}", "type": "button_click", "payload": {} }],
             "p_idempotency_key": "<key>", "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "cancel_session",
        r#"{ {the user's session}, "p_idempotency_key": "<key>", "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "decide_escalation",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{question}",
             "p_decision": "approve", "p_subject_hash": "{subject_hash}", "p_idempotency_key": "<key>",
             "p_request_hash": "{hash}" }"#,
        200,
    ),
    // An organisation's agents are known there alone.
    (
        "register_agent_server",
        r#"{ "p_org_id": "{org}", "p_agent_id": "<agent>", "p_url": "https://agents.example", "p_tools": [],
             "p_routes": [] }"#,
        422,
    ),
    (
        "finish_delivery",
        r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
             "kind": "completed", "handover": { "agent_id": "<agent>" } } }"#,
        200,
    ),
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{new}", "p_agent_id": "<agent>",
             "p_channel": "web", "p_metadata": {} }"#,
        422,
    ),
    (
        "record_events",
        r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "handover", "payload": { "agentId": "<agent>" } }] }"#,
        422,
    ),
];

/// Some ids are unique in the whole table. That one is taken is all that is said, to the service, which mints them.
const TAKEN: &[(&str, &str, &str)] = &[
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "<session>",
             "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {} }"#,
        "session_id_taken",
    ),
    (
        "renew_chatkit_session",
        r#"{ {the user's session}, "p_purpose": "resume", "p_min_life_seconds": 2147483647,
             "p_chatkit_request_id": "<request>" }"#,
        "chatkit_request_taken",
    ),
    (
        "record_chatkit_session",
        r#"{ {the organisation's session}, "p_chatkit_request_id": "{pending}",
             "p_chatkit_session_id": "<upstream>", "p_expires_at": "2030-01-01T00:00:00Z",
             "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
        "chatkit_session_taken",
    ),
    (
        "record_events",
        r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "hitl_escalation", "escalation_id": "<escalation>",
               "payload": { "reason": "x", "decisions": ["approve"] } }] }"#,
        "escalation_id_taken",
    ),
];

// NAME: tenancy: an RPC function takes another's ids for new ones or none
/// A colleague and a stranger in their own sessions, with the user's ids.
#[tokio::test]
async fn ids_of_others() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let found = violations(&tenants, |_| true).await?;
    ensure!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

/// What these functions, by their names, make of another's ids and should not.
pub async fn violations(tenants: &Tenants, is_tried: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    // Kept, or it would be gone after the first call.
    tenants.stack.register_agent(tenants.here, "only_here", "Only here").await?;
    rows::run(tenants, "insert into kept.agents select * from public.agents where id = 'only_here'").await?;
    let mut found = Vec::new();
    for who in [Who::Colleague, Who::Stranger] {
        for (name, template, status) in WITH_IDS_OF_OTHERS.iter().filter(|(name, ..)| is_tried(name)) {
            // To a colleague that agent is no other's.
            if template.contains("<agent>") && who == Who::Colleague {
                continue;
            }
            let theirs = call(tenants, who, name, template, tenants.person(Who::User), "only_here").await?;
            let nobodys = call(tenants, who, name, template, &no_one(), "nowhere").await?;
            if theirs != nobodys || theirs.status != *status || theirs.wrong.is_some() {
                found.push(format!("{name} as {who}: {theirs:?} instead of {nobodys:?}"));
            }
        }
        for (name, template, code) in TAKEN.iter().filter(|(name, ..)| is_tried(name)) {
            let theirs = call(tenants, who, name, template, tenants.person(Who::User), "").await?;
            let said = json!({ "code": "PT409", "message": code, "details": null, "hint": null }).to_string();
            if theirs.status != 409 || theirs.body != said || theirs.wrong.is_some() {
                found.push(format!("{name} as {who}: {theirs:?} instead of {said}"));
            }
        }
    }
    rows::run(tenants, "delete from kept.agents where id = 'only_here'").await?;
    rows::restore(tenants).await?;
    Ok(found)
}

/// What came of a call.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    /// Less the ids.
    body: String,
    /// What it should not have done.
    wrong: Option<String>,
}

/// Calls and looks. Nothing but the caller's own may have changed, and all is put back as it was.
async fn call(
    tenants: &Tenants,
    who: Who,
    name: &str,
    template: &str,
    other: &Person,
    agent: &str,
) -> Result<Answer> {
    let caller = tenants.person(who);
    let mut text = caller.fill(template).replace("<agent>", agent);
    for (placeholder, id) in other.ids() {
        text = text.replace(&placeholder.replace('{', "<").replace('}', ">"), &id);
    }
    let before = fingerprint(tenants, But::Person(caller)).await?;
    let (status, body) = tenants.stack.rpc(name, serde_json::from_str(&text)?).await?;
    let changed = fingerprint(tenants, But::Person(caller)).await? != before;
    let mut secrets = secrets_to(tenants, who);
    caller.own().for_each(|id| {
        secrets.remove(&id);
    });
    let wrong = given_away(&secrets, &text, &body).err();
    rows::restore(tenants).await?;
    Ok(Answer {
        status: status.as_u16(),
        body: without_what_differs(body, caller, other),
        wrong: wrong.or_else(|| changed.then(|| "others' rows were changed".to_owned())),
    })
}

/// A body without ids and times, nor what is left of a limit, which grows by the second.
fn without_what_differs(mut body: Value, caller: &Person, other: &Person) -> String {
    for (list, column) in [("events", "created_at"), ("events", "id"), ("tasks", "updated_at")] {
        let rows = body.get_mut(list).and_then(Value::as_array_mut);
        rows.into_iter().flatten().for_each(|row| row[column] = Value::Null);
    }
    for row in ["session", "escalation", "event"] {
        if let Some(row) = body.get_mut(row).and_then(Value::as_object_mut) {
            row.retain(|column, _| {
                !["id", "decision_event_id"].contains(&column.as_str()) && !column.ends_with("_at")
            });
        }
    }
    if let Some(limit) = body.get_mut("limit").and_then(Value::as_object_mut) {
        limit.retain(|name, _| name == "limit");
    }
    without_ids(&without_ids(&body.to_string(), caller), other)
}
