//! A caller who knows an id of another tenant learns nothing from it, not even that it exists.

mod api;
mod estimates;
mod filters;
mod foreign_ids;
mod forged_claims;
mod hidden_columns;
pub mod locks;
pub mod rpc;

use std::collections::BTreeSet;

use anyhow::Result;
use http_client::{Method, StatusCode, header::HeaderMap};
use local_stack::http;
use local_stack::supabase::{OrgRole, User};
use serde_json::Value;
use uuid::Uuid;

use super::callers::Caller;
use super::expectations::{SESSIONS, Visible};
use super::person::Person;
use super::tenants::Tenants;

/// A person whose ids do not exist.
fn absent_person() -> Person {
    Person::new(User::new(Uuid::new_v4(), OrgRole::Member))
}

/// Every id that this caller cannot read.
fn ids_hidden_from(tenants: &Tenants, caller: Caller) -> BTreeSet<String> {
    let readable = match SESSIONS.iter().find(|(reader, _)| *reader == caller) {
        Some((_, Visible::RowsOf(people))) => *people,
        _ => &[],
    };
    let mut ids = BTreeSet::new();
    for other in Caller::WITH_SESSIONS {
        let person = tenants.person(*other);
        let of_hidden_tables = [
            person.request,
            person.pending_request,
            person.idempotency_key,
            person.running_delivery,
            person.waiting_delivery,
            person.chat_request,
        ];
        ids.extend(of_hidden_tables.map(|id| id.to_string()));
        ids.extend([person.chatkit_session.clone(), person.fence.to_string(), person.chat_secret.clone()]);
        if !readable.contains(other) {
            let Person { session, idle_session, ended_session, event, escalation, message, .. } = person;
            let of_rows = [session, idle_session, ended_session, event, escalation, message];
            ids.extend(of_rows.map(Uuid::to_string));
            // An escalation contains the id of the asked delivery, and an event that of the dead
            // one.
            ids.extend([person.dead_delivery, person.asked_delivery, person.ask].map(|id| id.to_string()));
            ids.insert(person.subject_hash.clone());
            ids.extend([person.chat_session, person.run].map(|id| id.to_string()));
            ids.extend([person.thread.clone(), person.item.clone()]);
        }
    }
    ids
}

/// Replaces the ids of a person by their placeholders, so that responses about two persons can be
/// compared.
fn with_placeholders(text: &str, person: &Person) -> String {
    person.placeholders().iter().fold(text.to_owned(), |text, (name, id)| text.replace(id, name))
}

/// An error if a response contains an id that is hidden from the caller and not part of the
/// request.
fn find_leak(hidden: &BTreeSet<String>, request: &str, response: &Value) -> Result<(), String> {
    let response = response.to_string();
    match hidden.iter().find(|id| response.contains(*id) && !request.contains(*id)) {
        Some(id) => Err(format!("the response contains {id}: {response}")),
        None => Ok(()),
    }
}

/// Sends a request with a header to PostgREST, and returns the headers of the response, too.
async fn request_with_header(
    tenants: &Tenants,
    caller: Caller,
    method: Method,
    path: &str,
    (header, value): (&str, &str),
    body: Option<&Value>,
) -> Result<(StatusCode, HeaderMap, Value)> {
    let (supabase, credential) = (tenants.stack.supabase(), tenants.credential(caller));
    let request =
        http::client().request(method, format!("{}/rest/v1{path}", supabase.url())).header(header, value);
    let request = match caller {
        Caller::NoToken | Caller::Service => request.header("apikey", credential),
        _ => request.header("apikey", supabase.publishable_key()).bearer_auth(credential),
    };
    let request = if let Some(body) = body { request.json(body) } else { request };
    let response = request.send().await?;
    let (status, headers, text) = (response.status(), response.headers().clone(), response.text().await?);
    Ok((status, headers, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
