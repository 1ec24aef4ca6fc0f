//! Users with rows in every table.

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::chat_rpc::{ChatSession, Question, item};
use crate::support::client::{AGENT, TestClient, session_path};

/// Occurs in every text that a fixture's user sends.
pub const MARKER: &str = "zanzibar";

/// A self-hosted agent of each organisation.
const SELF_HOSTED: &str = "self_hosted";

/// A member of a new organisation, whose agent has a tool for clicks. The webhook is off, so that
/// tests claim deliveries themselves.
pub async fn member(stack: &LocalStack) -> Result<TestClient> {
    stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
    let member = TestClient::new(stack).await?;
    stack.raise_limits(member.user.org_id).await?;
    let tool =
        json!({ "name": "pay", "policy": "auto", "idempotent": true, "amount_pointer": "/data/amount" });
    stack.register_tool(member.user.org_id, AGENT, tool).await?;
    stack.register_self_hosted_agent(member.user.org_id, SELF_HOSTED, json!({})).await?;
    Ok(member)
}

/// Another member of the same organisation.
pub async fn colleague(stack: &LocalStack, client: &TestClient) -> Result<TestClient> {
    TestClient::in_organisation(stack, client.user.org_id, OrgRole::Member).await
}

/// Creates one ended and two active sessions, with threads, calls, escalations, messages and tasks.
/// The last one is self-hosted.
///
/// Returns markers that occur in this data: first [`MARKER`], then ids, last the ChatKit user.
pub async fn create_data(stack: &LocalStack, client: &TestClient) -> Result<Vec<String>> {
    let mut markers = vec![MARKER.to_owned()];
    for is_ended in [true, false] {
        let key = format!("{MARKER}-{}", Uuid::new_v4());
        let key = [("idempotency-key", &*key)];
        let body = json!({ "agentId": AGENT, "metadata": { "text": MARKER } });
        let session = client.send(Method::POST, "/chatkit/sessions", &key, Some(body)).await?.expect(201)?;
        let session_path = session_path(&session);
        markers.extend(session["id"].as_str().map(str::to_owned));
        markers.extend(create_threads(stack, &session).await?);
        let linked = markers.last().cloned();
        client
            .record_event(&session_path, "thread_changed", json!({ "threadId": linked }))
            .await?
            .expect(201)?;
        record_click(client, &session_path).await?;
        for call in stack.claim_deliveries().await? {
            let outcome = json!({
                "kind": "completed", "message": MARKER, "output": { "text": MARKER },
                "tasks": [{ "id": "1", "title": MARKER, "status": "running" }],
            });
            stack.finish_delivery(&call, outcome).await?;
        }
        let escalation = json!({ "reason": MARKER, "decisions": ["approve", "reject"] });
        client.record_event(&session_path, "hitl_escalation", escalation).await?.expect(201)?;
        if is_ended {
            client.cancel(&session_path).await?.expect(200)?;
            lease_for_retention(stack, client).await?;
        } else {
            record_click(client, &session_path).await?;
        }
    }
    let unused = client.post("/chatkit/sessions", json!({ "agentId": SELF_HOSTED })).await?.expect(201)?;
    markers.extend(unused["id"].as_str().map(str::to_owned));
    markers.push(create_chat(stack, client, &unused).await?);
    markers.push(chatkit_user(stack, client).await?);
    Ok(markers)
}

/// Creates a thread of the self-hosted chat with an answer, and returns its id.
async fn create_chat(stack: &LocalStack, client: &TestClient, session: &Value) -> Result<String> {
    let session = ChatSession::from_response(stack, &client.user, session).await?;
    let question = Question::in_new_thread(MARKER);
    session.expect_begin(stack, &question, "begun").await?;
    let items = vec![
        json!({ "type": "reasoning", "id": MARKER }),
        item("assistant_message", &question.thread_id, MARKER),
    ];
    session.append(stack, question.run_id, 1, items, Vec::new()).await?;
    ensure!(session.finish(stack, question.run_id, "completed", Vec::new()).await?);
    Ok(question.thread_id)
}

/// Creates two threads at ChatKit.
async fn create_threads(stack: &LocalStack, session: &Value) -> Result<Vec<String>> {
    let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
    let mut ids = Vec::new();
    for _ in 0..2 {
        ids.push(stack.openai().post_message(secret, None, MARKER).await?.thread_id);
    }
    Ok(ids)
}

/// Records a click, which is routed to the agent's tool.
pub async fn record_click(client: &TestClient, session_path: &str) -> Result<()> {
    let payload = json!({ "action": MARKER, "data": { "amount": 7 } });
    client.record_event(session_path, "button_click", payload).await?.expect(201)?;
    Ok(())
}

/// Leaves a retention lease behind, as a run does whose session is not overdue any more.
async fn lease_for_retention(stack: &LocalStack, client: &TestClient) -> Result<()> {
    stack.rpc("set_retention", json!({ "p_org_id": client.user.org_id, "p_keep_days": 1 })).await?;
    backdate_end(stack, client, 2).await?;
    let (_, claimed) =
        stack.rpc("claim_overdue_sessions", json!({ "p_limit": 10, "p_lease_seconds": 60 })).await?;
    ensure!(claimed["sessions"].as_array().is_some_and(|sessions| !sessions.is_empty()), "{claimed}");
    stack.rpc("set_retention", json!({ "p_org_id": client.user.org_id })).await?;
    Ok(())
}

/// Sets the end of a user's ended sessions to `days` ago and ends their retention leases.
pub async fn backdate_end(stack: &LocalStack, client: &TestClient, days: i32) -> Result<()> {
    let statements = "begin; set local session_replication_role = replica;
        update chat_sessions set ended_at = now() - make_interval(days => {days})
        where status = 'ended' and user_id = '{user}';
        update retention_leases set lease_until = now(); commit";
    let statements =
        statements.replace("{days}", &days.to_string()).replace("{user}", &client.user.id.to_string());
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements)).execute(stack.database()).await?;
    Ok(())
}

/// The id by which ChatKit knows the user.
pub async fn chatkit_user(stack: &LocalStack, client: &TestClient) -> Result<String> {
    let query = "select chatkit_user from chatkit_users where org_id = $1 and user_id = $2";
    let name = sqlx::query_scalar(query).bind(client.user.org_id).bind(client.user.id);
    name.fetch_one(stack.database()).await.context("the user has no ChatKit user")
}

/// The same user, signed in to another organisation.
pub async fn in_other_organisation(stack: &LocalStack, client: &TestClient) -> Result<TestClient> {
    let other = member(stack).await?;
    let mut user = client.user.clone();
    user.org_id = other.user.org_id;
    stack.upsert_user(&user).await?;
    Ok(TestClient::from_user(stack, user))
}

/// Opens a session and claims a delivery in it.
pub async fn open_with_running_call(stack: &LocalStack, client: &TestClient) -> Result<(Uuid, Value)> {
    let session = client.open_session().await?;
    record_click(client, &session_path(&session)).await?;
    let mut calls = stack.claim_deliveries().await?;
    let call = calls.pop().context("no delivery was claimed")?;
    Ok((session["id"].as_str().context("no id")?.parse()?, call))
}
