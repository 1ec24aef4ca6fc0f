//! Requests for hidden columns, tables, functions and schemas.

use anyhow::{Error, Result, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use serde_json::{Value, json};

use super::{find_leak, ids_hidden_from, request_with_header};
use crate::security::tenancy::callers::Caller;
use crate::security::tenancy::expectations::TABLES;
use crate::security::tenancy::tables::truncated;
use crate::security::tenancy::tenants::Tenants;
use crate::security::tenancy::{rows, without_functions};

/// As a control, the test then grants every table: the requests for hidden columns and tables
/// succeed, so they are valid. Objects that PostgREST does not expose remain unavailable.
#[tokio::test]
async fn hidden_columns_cannot_be_filtered_ordered_or_embedded() -> Result<()> {
    let stack = without_functions(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (hidden, embedded, not_exposed) = (by_hidden_columns(), by_embedding(), by_other_names());
    for caller in CALLERS {
        let hidden_ids = ids_hidden_from(&tenants, *caller);
        let by_role = hidden.iter().filter(|_| ONE_OF_EACH_ROLE.contains(caller));
        for request in by_role.chain(&embedded) {
            let (status, body) = send(&tenants, *caller, request).await?;
            let is_denied = status == caller.denied_status() && body["code"] == "42501";
            ensure!(is_denied, "{caller}: {request:?}: expected 42501, found {status} {}", truncated(&body));
            find_leak(&hidden_ids, &request.path, &body).map_err(Error::msg)?;
        }
        for request in &not_exposed {
            let (status, body) = send(&tenants, *caller, request).await?;
            let is_unavailable = [400, 404, 406].contains(&status);
            ensure!(is_unavailable, "{caller}: {request:?}: found {status} {}", truncated(&body));
            find_leak(&hidden_ids, &request.path, &body).map_err(Error::msg)?;
        }
    }
    rows::execute(&tenants, "grant select on all tables in schema public to authenticated").await?;
    for (requests, expected) in [(&hidden, &[200][..]), (&embedded, &[200]), (&not_exposed, &[400, 404, 406])]
    {
        for request in requests {
            let (status, body) = send(&tenants, Caller::Owner, request).await?;
            let is_expected = expected.contains(&status);
            ensure!(is_expected, "with every grant: {request:?}: found {status} {}", truncated(&body));
        }
    }
    Ok(())
}

/// Callers of every role, including the owners.
const CALLERS: &[Caller] = &[
    Caller::NoToken,
    Caller::AnonymousSignIn,
    Caller::User,
    Caller::Owner,
    Caller::OwnerOfOtherOrg,
    Caller::Service,
];

/// One caller of each role, because grants hide columns from roles.
const ONE_OF_EACH_ROLE: &[Caller] = &[Caller::NoToken, Caller::Owner, Caller::Service];

const ACCEPT_JSON: (&str, &str) = ("accept", "application/json");

#[derive(Clone, Debug)]
struct Request {
    method: Method,
    path: String,
    header: (&'static str, &'static str),
    body: Option<Value>,
}

fn get(path: impl Into<String>) -> Request {
    Request { method: Method::GET, path: path.into(), header: ACCEPT_JSON, body: None }
}

fn post(path: impl Into<String>, body: Value) -> Request {
    Request { method: Method::POST, path: path.into(), header: ACCEPT_JSON, body: Some(body) }
}

fn with(header: (&'static str, &'static str), request: Request) -> Request {
    Request { header, ..request }
}

/// Requests that filter or order by a hidden column, or rename it.
fn by_hidden_columns() -> Vec<Request> {
    let mut requests = Vec::new();
    for table in TABLES {
        let readable = table.readable.split_whitespace().next().unwrap_or_default();
        for column in table.hidden.split_whitespace() {
            for filter in ["=not.is.null", "=is.null"] {
                requests.push(get(format!("/{}?select={readable}&{column}{filter}", table.name)));
            }
            requests.push(get(format!("/{}?select={readable}&order={column}", table.name)));
            requests.push(get(format!(
                "/{}?select={readable}&or=({column}.not.is.null,org_id.is.null)",
                table.name
            )));
            requests.push(get(format!("/{}?select=named:{column}", table.name)));
            requests.push(get(format!("/{}?select={column}::text", table.name)));
        }
    }
    requests
}

/// Requests that embed a hidden table or column.
fn by_embedding() -> Vec<Request> {
    [
        "/chat_sessions?select=id,agents(*)",
        "/chat_sessions?select=id,agents(chatkit_workflow_id)",
        "/chat_sessions?select=id,...agents(workflow:chatkit_workflow_id)",
        "/chat_sessions?select=id,agents!inner(id)&agents.chatkit_workflow_id=like.wf*",
        "/chat_sessions?select=id,agents(id)&agents.order=chatkit_workflow_id",
        "/chat_sessions?select=id,agents(id)&order=agents(chatkit_workflow_id)",
        "/chat_sessions?select=id,chatkit_sessions(*)",
        "/chat_sessions?select=id,chatkit_sessions(sealed_secret)",
        "/chat_sessions?select=id,chatkit_sessions!inner(id)",
        "/chat_sessions?select=id,chatkit_sessions()&chatkit_sessions=not.is.null",
        "/agents?select=id,chatkit_sessions(id)",
        "/agents?select=id,chat_sessions(id,chatkit_sessions(id))",
        "/chatkit_users?select=*,chat_sessions(*,chatkit_sessions(*))",
        "/chat_events?select=id,chat_sessions(chatkit_sessions(id))",
        "/chat_sessions?select=id,idempotency_keys(*)",
        "/chat_sessions?select=id,idempotency_keys!inner(key)",
        "/chat_sessions?select=id,idempotency_keys()&idempotency_keys=not.is.null",
        "/chat_sessions?select=id,idle_checks(due_at)",
        "/chat_sessions?select=id,idle_checks!inner(session_id)&order=idle_checks(due_at)",
        "/chat_events?select=id,chat_sessions(idempotency_keys(session_id))",
        "/chat_sessions?select=id,deliveries(*)",
        "/chat_sessions?select=id,deliveries!inner(inputs)",
        "/chat_sessions?select=id,delivery_queues(due_at)",
        "/chat_sessions?select=id,transcripts_due()&transcripts_due=not.is.null",
        "/chat_escalations?select=id,deliveries!chat_escalations_delivery_fkey(request_state)",
        "/agents?select=id,agent_servers(url,agent_tools(*,agent_routes(*)))",
        "/agents?select=id,agent_servers!inner(agent_id)&agent_servers.credential=not.is.null",
    ]
    .map(get)
    .into()
}

/// Requests for functions, tables and schemas that PostgREST does not expose.
fn by_other_names() -> Vec<Request> {
    let session = json!({ "p_session_id": "00000000-0000-4000-8000-000000000000" });
    let mut requests = vec![
        get("/chat_sessions?select=session_response"),
        get("/chat_events?select=event_response"),
        get("/chat_events?select=id,link_chatkit_thread"),
        get("/chat_sessions?select=count()"),
        get("/chat_sessions?select=id,chatkit_sessions(count)"),
        get("/chat_sessions?select=id&chatkit_sessions.sealed_secret=not.is.null"),
        get("/chat_sessions?select=last_event_seq.sum()"),
        get("/users"),
        get("/auth.users"),
        get("/chatkit_private.chat_sessions"),
        get("/pg_authid"),
        get("/pg_class?select=relname"),
        post("/rpc/session_response", session.clone()),
        post("/rpc/chatkit_private.session_response", session.clone()),
        post("/rpc/lock_session", session),
        post("/rpc/member_role", json!({})),
        post("/rpc/effective_limits", json!({ "p_org_id": "00000000-0000-4000-8000-000000000000" })),
        post("/rpc/claim_idempotency_key", json!({})),
        post("/rpc/caller_org_id", json!({})),
        post(
            "/rpc/free_slots",
            json!({ "p_org_id": "00000000-0000-4000-8000-000000000000", "p_agent_id": "accounts_payable" }),
        ),
        post("/rpc/due_organisations", json!({})),
        get("/agent_routes_id_seq"),
        post("/rpc/set_config", json!({ "setting_name": "role", "new_value": "postgres", "is_local": true })),
        post(
            "/rpc/query_to_xml",
            json!({ "query": "select 1", "nulls": true, "tableforest": true, "targetns": "" }),
        ),
        post("/rpc/pg_read_file", json!({ "filename": "PG_VERSION" })),
    ];
    for (schema, table) in [
        ("chatkit_private", "chat_sessions"),
        ("backup", "chat_sessions"),
        ("auth", "users"),
        ("pg_catalog", "pg_authid"),
        ("information_schema", "tables"),
    ] {
        requests.push(with(("accept-profile", schema), get(format!("/{table}"))));
    }
    requests.push(with(("content-profile", "chatkit_private"), post("/rpc/session_response", json!({}))));
    // The plan of a query contains the number of rows, including those of others.
    requests
        .push(with(("accept", "application/vnd.pgrst.plan+json; options=analyze"), get("/chat_sessions")));
    requests
}

async fn send(tenants: &Tenants, caller: Caller, request: &Request) -> Result<(u16, Value)> {
    let Request { method, path, header, body } = request;
    let (status, _, body) =
        request_with_header(tenants, caller, method.clone(), path, *header, body.as_ref()).await?;
    Ok((status.as_u16(), body))
}
