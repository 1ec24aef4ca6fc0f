//! Filters and embeddings by which PostgREST is asked for rows of others.

use crate::security::tenancy::in_a_project;
use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use serde_json::Value;

use super::{ask_with, given_away, no_one, secrets_to, without_ids};
use crate::security::tenancy::expectations::TABLES;
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::tenants::Tenants;

/// Each finds something of the user's if the user asks.
const PATHS: &[&str] = &[
    "/chat_sessions?id=eq.{session}",
    "/chat_sessions?id=in.({session})&select=*,chat_events(*),chat_messages(*),chat_tasks(*)",
    "/chat_sessions?id=in.({session})&select=*,chat_escalations(*,chat_events!chat_escalations_event_fkey(*)),chatkit_threads(*)",
    "/chat_sessions?or=(id.eq.{session},user_id.eq.{user})",
    "/chat_sessions?or=(org_id.eq.{org},org_id.neq.{org},org_id.is.null)",
    "/chat_sessions?not.and=(id.neq.{session},user_id.neq.{user})",
    "/chat_sessions?and=(org_id.eq.{org},or(user_id.eq.{user},status.eq.active))&limit=1000&order=org_id,user_id",
    "/chat_sessions?select=*,chatkit_users(*)&user_id=eq.{user}",
    "/chat_sessions?select=id,chat_events!inner(id)&chat_events.id=eq.{event}",
    "/chat_sessions?select=id,chat_events(id,payload)&chat_events.id=eq.{event}",
    "/chat_sessions?select=id,chat_messages(id,content)&chat_messages.or=(id.eq.{message},role.eq.user)",
    "/chat_sessions?select=id,agents(id,display_name)&org_id=eq.{org}",
    "/chat_events?session_id=eq.{session}",
    "/chat_events?id=eq.{event}&select=*,chat_sessions(*)",
    "/chat_events?id=eq.{event}&select=*,chat_sessions!inner(*)&chat_sessions.org_id=eq.{org}",
    "/chat_events?payload->>threadId=eq.cthr_{session}",
    "/chat_events?payload=cs.{\"threadId\":\"cthr_{session}\"}",
    "/chat_events?select=id,...chat_sessions(user_id,metadata)&id=eq.{event}",
    "/chat_messages?id=eq.{message}&select=*,chat_sessions(*,chat_events(*),chat_escalations(*))",
    "/chat_messages?content=ilike.*invoice*&session_id=eq.{session}",
    "/chat_tasks?id=eq.pay-42&session_id=eq.{session}",
    "/chat_escalations?id=eq.{escalation}&select=*,chat_events!chat_escalations_event_fkey(*),chat_sessions(*)",
    "/chat_escalations?select=*,chat_sessions!inner(chat_messages(*))&event_id=eq.{event}",
    "/chatkit_threads?thread_id=eq.cthr_{session}",
    "/chatkit_users?user_id=eq.{user}&select=*,chat_sessions(*)",
    "/chatkit_users?select=*,chat_sessions(*,chat_tasks(*))&org_id=eq.{org}",
    "/agents?org_id=eq.{org}&select=id,chat_sessions(*)",
];

/// Everybody to whom the user's rows do not exist.
const OUTSIDERS: &[Who] = &[
    Who::Nobody,
    Who::AnonymousSignIn,
    Who::Colleague,
    Who::UserElsewhere,
    Who::Stranger,
    Who::OwnerElsewhere,
    Who::Service,
];

// NAME: tenancy: no filter and no embedding reaches another's rows
/// Whoever asks gets what they get for ids that nobody has.
#[tokio::test]
async fn nothing_of_others() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (user, no_one) = (tenants.person(Who::User), no_one());
    for path in PATHS {
        let (theirs, nobodys) = (user.fill(path), no_one.fill(path));
        let (status, found) = tenants.ask(Who::User, Method::GET, &theirs, None).await?;
        let something = found.as_array().is_some_and(|rows| !rows.is_empty());
        ensure!(status == 200 && something, "{path} finds nothing anyway: {status} {found}");
        for who in OUTSIDERS {
            let (status, found) = tenants.ask(*who, Method::GET, &theirs, None).await?;
            let (status_of_none, nothing) = tenants.ask(*who, Method::GET, &nobodys, None).await?;
            // The organisation is a colleague's too, and the user is somebody elsewhere as well. What they get by
            // that may differ, and only hold what is theirs.
            let shared = match who {
                Who::Colleague => path.starts_with("/agents") || path.contains("org_id"),
                Who::UserElsewhere | Who::OwnerElsewhere => path.contains("user_id"),
                _ => false,
            };
            let without_ids = |body: Value| without_ids(&without_ids(&body.to_string(), user), &no_one);
            let same = without_ids(found.clone()) == without_ids(nothing.clone());
            ensure!(
                shared || (same && status == status_of_none),
                "{who}: {path}: {found} instead of {nothing}"
            );
            if let Err(secret) = given_away(&secrets_to(&tenants, *who), &theirs, &found) {
                anyhow::bail!("{who}: {path}: {secret}");
            }
        }
    }
    Ok(())
}

// NAME: tenancy: no count tells of another's rows
/// A count is that of the rows that are shown.
#[tokio::test]
async fn counts() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    for table in TABLES.iter().filter(|table| !table.shown.is_empty()) {
        let column = table.shown.split_whitespace().next().unwrap_or_default();
        let path = format!("/{}?select={column}", table.name);
        for who in Who::ALL {
            let (status, rows) = tenants.ask(*who, Method::GET, &path, None).await?;
            let shown = rows.as_array().map_or(0, Vec::len);
            let seen = status == 200;
            for method in [Method::GET, Method::HEAD] {
                let count = ("prefer", "count=exact");
                let (counted, headers, _) =
                    ask_with(&tenants, *who, method.clone(), &path, count, None).await?;
                let range =
                    headers.get("content-range").and_then(|range| range.to_str().ok()).unwrap_or_default();
                let total = range.rsplit('/').next().and_then(|total| total.parse().ok());
                let right = counted.is_success() == seen && total == seen.then_some(shown);
                ensure!(right, "{who}: {method} {path}: {counted} {range}, and {shown} rows");
            }
        }
    }
    Ok(())
}
