//! What somebody finds out who knows or guesses an id that is another's: nothing, and not even that it is one.

mod api;
mod estimates;
mod filters;
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

use super::expectations::{SESSIONS, Sees};
use super::person::Person;
use super::roles::Who;
use super::tenants::Tenants;

/// Somebody who is not there.
fn no_one() -> Person {
    Person::new(User::new(Uuid::new_v4(), OrgRole::Member))
}

/// Every id that this caller is not shown anywhere.
fn secrets_to(tenants: &Tenants, who: Who) -> BTreeSet<String> {
    let shown = match SESSIONS.iter().find(|(caller, _)| *caller == who) {
        Some((_, Sees::RowsOf(people))) => *people,
        _ => &[],
    };
    let mut secrets = BTreeSet::new();
    for other in Who::PEOPLE {
        let person = tenants.person(*other);
        secrets.extend([person.request, person.pending, person.key].map(|id| id.to_string()));
        secrets.extend([person.running, person.waiting].map(|id| id.to_string()));
        secrets.extend([person.upstream.clone(), person.fence.to_string()]);
        if !shown.contains(other) {
            let Person { session, quiet, over, event, escalation, message, .. } = person;
            secrets.extend([session, quiet, over, event, escalation, message].map(Uuid::to_string));
            // What a person was asked says which delivery it is about, and an event which one failed.
            secrets.extend([person.dead, person.asked, person.question].map(|id| id.to_string()));
            secrets.insert(person.subject_hash.clone());
        }
    }
    secrets
}

/// A text with this person's ids replaced by what they are, so that answers about two persons can be compared.
fn without_ids(text: &str, person: &Person) -> String {
    person.ids().iter().fold(text.to_owned(), |text, (name, id)| text.replace(id, name))
}

/// What is in an answer that this caller must not know and did not say.
fn given_away(secrets: &BTreeSet<String>, asked: &str, answer: &Value) -> Result<(), String> {
    let answer = answer.to_string();
    match secrets.iter().find(|secret| answer.contains(*secret) && !asked.contains(*secret)) {
        Some(secret) => Err(format!("{secret} in {answer}")),
        None => Ok(()),
    }
}

/// Asks PostgREST as somebody, with a header, and gets the headers too.
async fn ask_with(
    tenants: &Tenants,
    who: Who,
    method: Method,
    path: &str,
    (header, value): (&str, &str),
    body: Option<&Value>,
) -> Result<(StatusCode, HeaderMap, Value)> {
    let (supabase, key) = (tenants.stack.supabase(), tenants.key(who));
    let request =
        http::client().request(method, format!("{}/rest/v1{path}", supabase.url())).header(header, value);
    let request = match who {
        Who::Nobody | Who::Service => request.header("apikey", key),
        _ => request.header("apikey", supabase.publishable_key()).bearer_auth(key),
    };
    let request = if let Some(body) = body { request.json(body) } else { request };
    let response = request.send().await?;
    let (status, headers, text) = (response.status(), response.headers().clone(), response.text().await?);
    Ok((status, headers, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}
