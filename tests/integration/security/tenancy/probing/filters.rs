//! Filters and embeddings do not return rows of others.

use anyhow::{Result, bail, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use serde_json::Value;

use super::{absent_person, find_leak, ids_hidden_from, request_with_header, with_placeholders};
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::TABLES;
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::without_functions;

/// The response to ids of the user equals that to ids of an absent person.
#[tokio::test]
async fn filters_and_embeddings_return_no_rows_of_others() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (user, absent) = (tenants.person(Caller::User), absent_person());
    for path in PATHS {
        let (path_of_user, path_of_absent) = (user.fill(path), absent.fill(path));
        let (status, found) = tenants.request(Caller::User, Method::GET, &path_of_user, None).await?;
        let has_rows = found.as_array().is_some_and(|rows| !rows.is_empty());
        ensure!(status == 200 && has_rows, "{path}: expected rows for the user, found {status} {found}");
        for caller in OUTSIDERS {
            let (status, found) = tenants.request(*caller, Method::GET, &path_of_user, None).await?;
            let (absent_status, of_absent) =
                tenants.request(*caller, Method::GET, &path_of_absent, None).await?;
            // A colleague has the same organisation, and the user in the other organisation the
            // same user id. Their responses may differ, but contain only rows that they may read.
            let may_differ = match caller {
                Caller::Colleague => path.starts_with("/agents") || path.contains("org_id"),
                Caller::UserInOtherOrg | Caller::OwnerOfOtherOrg => path.contains("user_id"),
                _ => false,
            };
            let comparable =
                |body: &Value| with_placeholders(&with_placeholders(&body.to_string(), user), &absent);
            let is_equal = comparable(&found) == comparable(&of_absent) && status == absent_status;
            ensure!(may_differ || is_equal, "{caller}: {path}: expected {of_absent}, found {found}");
            if let Err(leak) = find_leak(&ids_hidden_from(&tenants, *caller), &path_of_user, &found) {
                bail!("{caller}: {path}: {leak}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn counts_include_only_visible_rows() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    for table in TABLES.iter().filter(|table| !table.readable.is_empty()) {
        let column = table.readable.split_whitespace().next().unwrap_or_default();
        let path = format!("/{}?select={column}", table.name);
        for caller in Caller::ALL {
            let (status, rows) = tenants.request(*caller, Method::GET, &path, None).await?;
            let visible = rows.as_array().map_or(0, Vec::len);
            let is_readable = status == 200;
            for method in [Method::GET, Method::HEAD] {
                let count = ("prefer", "count=exact");
                let (counted, headers, _) =
                    request_with_header(&tenants, *caller, method.clone(), &path, count, None).await?;
                let range =
                    headers.get("content-range").and_then(|range| range.to_str().ok()).unwrap_or_default();
                let total = range.rsplit('/').next().and_then(|total| total.parse().ok());
                let expected = is_readable.then_some(visible);
                let is_expected = counted.is_success() == is_readable && total == expected;
                ensure!(
                    is_expected,
                    "{caller}: {method} {path}: expected {expected:?}, found {counted} {range}"
                );
            }
        }
    }
    Ok(())
}

/// Each returns rows if the user requests it.
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

/// The callers who may not read the user's rows.
const OUTSIDERS: &[Caller] = &[
    Caller::NoToken,
    Caller::AnonymousSignIn,
    Caller::Colleague,
    Caller::UserInOtherOrg,
    Caller::MemberOfOtherOrg,
    Caller::OwnerOfOtherOrg,
    Caller::Service,
];
