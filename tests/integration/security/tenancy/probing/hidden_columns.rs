//! Ways run a closed column, table or schema.

use crate::security::tenancy::in_a_project;
use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::postgres::Grants;
use serde_json::{Value, json};

use super::{ask_with, given_away, secrets_to};
use crate::security::tenancy::expectations::TABLES;
use crate::security::tenancy::roles::Who;
use crate::security::tenancy::rows;
use crate::security::tenancy::tables::brief;
use crate::security::tenancy::tenants::Tenants;

/// Some of every role, and those with the most to say.
const CALLERS: &[Who] =
    &[Who::Nobody, Who::AnonymousSignIn, Who::User, Who::Owner, Who::OwnerElsewhere, Who::Service];

/// One of every role. A column is hidden by what is granted to roles.
const ROLES: &[Who] = &[Who::Nobody, Who::Owner, Who::Service];

/// What is asked for where nothing else is said.
const PLAIN: (&str, &str) = ("accept", "application/json");

/// A request that nobody is to get an answer to.
#[derive(Clone, Debug)]
struct Request {
    method: Method,
    path: String,
    header: (&'static str, &'static str),
    body: Option<Value>,
}

fn get(path: impl Into<String>) -> Request {
    Request { method: Method::GET, path: path.into(), header: PLAIN, body: None }
}

fn post(path: impl Into<String>, body: Value) -> Request {
    Request { method: Method::POST, path: path.into(), header: PLAIN, body: Some(body) }
}

fn with(header: (&'static str, &'static str), request: Request) -> Request {
    Request { header, ..request }
}

/// By a column that is hidden, in a request that shows none of it.
fn by_hidden_columns() -> Vec<Request> {
    let mut closed = Vec::new();
    for table in TABLES {
        let shown = table.shown.split_whitespace().next().unwrap_or_default();
        for column in table.hidden.split_whitespace() {
            for filter in ["=not.is.null", "=is.null"] {
                closed.push(get(format!("/{}?select={shown}&{column}{filter}", table.name)));
            }
            closed.push(get(format!("/{}?select={shown}&order={column}", table.name)));
            closed.push(get(format!(
                "/{}?select={shown}&or=({column}.not.is.null,org_id.is.null)",
                table.name
            )));
            closed.push(get(format!("/{}?select=named:{column}", table.name)));
            closed.push(get(format!("/{}?select={column}::text", table.name)));
        }
    }
    closed
}

/// By a relation that leads to something hidden.
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

/// By functions and schemas that are not offered.
fn by_other_names() -> Vec<Request> {
    let session = json!({ "p_session_id": "00000000-0000-4000-8000-000000000000" });
    let mut closed = vec![
        get("/chat_sessions?select=session_response"),
        get("/chat_events?select=event_response"),
        get("/chat_events?select=id,link_thread"),
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
        post("/rpc/free_slots", json!({ "p_org_id": "00000000-0000-4000-8000-000000000000" })),
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
        ("kept", "chat_sessions"),
        ("auth", "users"),
        ("pg_catalog", "pg_authid"),
        ("information_schema", "tables"),
    ] {
        closed.push(with(("accept-profile", schema), get(format!("/{table}"))));
    }
    closed.push(with(("content-profile", "chatkit_private"), post("/rpc/session_response", json!({}))));
    // The plan of a query tells how many rows there are, also of those that are not shown.
    closed.push(with(("accept", "application/vnd.pgrst.plan+json; options=analyze"), get("/chat_sessions")));
    closed
}

// NAME: tenancy: nobody filters, orders, embeds or counts by what is hidden
/// Everybody tries everything. What the grants refuse is answered once everything is granted, or else the request was
/// no good; what is not offered is not offered then either.
#[tokio::test]
async fn stays_hidden() -> Result<()> {
    let stack = in_a_project(Grants::default()).start().await?;
    let tenants = Tenants::new(stack).await?;
    let (hidden, embedded, not_offered) = (by_hidden_columns(), by_embedding(), by_other_names());
    for who in CALLERS {
        let secrets = secrets_to(&tenants, *who);
        let of_roles = hidden.iter().filter(|_| ROLES.contains(who));
        for request in of_roles.chain(&embedded) {
            let (status, body) = send(&tenants, *who, request).await?;
            let refused = status == who.refusal() && body["code"] == "42501";
            ensure!(refused, "{who}: {request:?}: {status} {}", brief(&body));
            given_away(&secrets, &request.path, &body).map_err(anyhow::Error::msg)?;
        }
        for request in &not_offered {
            let (status, body) = send(&tenants, *who, request).await?;
            ensure!([400, 404, 406].contains(&status), "{who}: {request:?}: {status} {}", brief(&body));
            given_away(&secrets, &request.path, &body).map_err(anyhow::Error::msg)?;
        }
    }
    rows::run(&tenants, "grant select on all tables in schema public to authenticated").await?;
    for (requests, expected) in [(&hidden, &[200][..]), (&embedded, &[200]), (&not_offered, &[400, 404, 406])]
    {
        for request in requests {
            let (status, body) = send(&tenants, Who::Owner, request).await?;
            ensure!(expected.contains(&status), "with every grant: {request:?}: {status} {}", brief(&body));
        }
    }
    let all = embedded.len() + not_offered.len();
    eprintln!("{all} requests of {} callers closed, and {} of {}", CALLERS.len(), hidden.len(), ROLES.len());
    Ok(())
}

async fn send(tenants: &Tenants, who: Who, request: &Request) -> Result<(u16, Value)> {
    let Request { method, path, header, body } = request;
    let (status, _, body) = ask_with(tenants, who, method.clone(), path, *header, body.as_ref()).await?;
    Ok((status.as_u16(), body))
}
