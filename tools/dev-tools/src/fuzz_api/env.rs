//! The data that the requests refer to: users, agents, and sessions with content.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::OPENAPI_DOCUMENT;
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use local_stack::{http, process_reaper, project};

const CONFIGURATION: &str = include_str!("../../schemathesis/schemathesis.toml");
const HOOKS: &str = include_str!("../../schemathesis/hooks.py");

/// The agents in the examples of the OpenAPI document.
const AGENTS: [&str; 2] = ["accounts_payable", "tax_compliance"];

/// Ids in the examples of the OpenAPI document; `x-placeholders` explains them.
const SESSION: &str = "019aaa00-7c00-7000-8000-000000000001";
const USER: &str = "019aaa00-7c00-7000-8000-0000000000aa";
const THREAD: &str = "cthr_example";
const ESCALATION: &str = "019aaa00-7c00-7000-8000-0000000000e1";
const HASH: &str = "9f2c1b7a4e5d8036f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f701";

/// Users, sessions and the working folder of one run. Everything is new, so that runs do not affect
/// each other.
pub(super) struct FuzzEnv {
    folder: TempDir,
    open: String,
    /// This session gets cancelled.
    ending: String,
}

impl FuzzEnv {
    /// Creates users and sessions, and the folder in which Schemathesis runs.
    pub async fn create(stack: &LocalStack) -> Result<Self> {
        let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
        for (org_id, agent) in [(here, AGENTS[0]), (here, AGENTS[1]), (there, AGENTS[0])] {
            stack.register_agent(org_id, agent, agent).await?;
        }
        // An approver reads the organisation's sessions too, so that every operation can succeed.
        let caller = stack.add_user(here, OrgRole::Approver).await?;
        let colleague = stack.add_user(here, OrgRole::Member).await?;
        let stranger = stack.add_user(there, OrgRole::Owner).await?;
        // Rate limits would hide other faults.
        stack.raise_limits(here).await?;
        let (open, ending) = (open(stack, &caller).await?, open(stack, &caller).await?);
        let thread = add_content(stack, &caller, &open).await?;
        let (escalation, hash) = find_escalation(stack, &open).await?;

        let folder = tempfile::tempdir().context("creating a folder for Schemathesis")?;
        process_reaper::remove_at_exit(folder.path())?;
        let description =
            fs::read_to_string(project::root().join(OPENAPI_DOCUMENT)).context(OPENAPI_DOCUMENT)?;
        let description = description
            .replace(SESSION, &open)
            .replace(USER, &caller.id.to_string())
            .replace(THREAD, &thread)
            .replace(ESCALATION, &escalation)
            .replace(HASH, &hash);
        let people = [("caller", &caller), ("colleague", &colleague), ("stranger", &stranger)];
        let people = people.map(|(name, user)| {
            let value = format!("Bearer {}", stack.issuer().token(user));
            json!({ "name": name, "fixedHeaders": [{ "name": "Authorization", "value": value }] })
        });
        for (name, text) in [
            ("openapi.yaml", description),
            ("schemathesis.toml", CONFIGURATION.to_owned()),
            ("hooks.py", HOOKS.to_owned()),
            ("people.json", json!({ "auth": people }).to_string()),
            ("open.dict", format!("\"{open}\"\n")),
            ("escalation.dict", format!("\"{escalation}\"\n")),
        ] {
            fs::write(folder.path().join(name), text).with_context(|| format!("writing {name}"))?;
        }
        Ok(Self { folder, open, ending })
    }

    /// The folder in which Schemathesis runs.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Environment variables for `hooks.py`.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [("FUZZ_OPEN_SESSION", self.open.clone()), ("FUZZ_CANCEL_SESSION", self.ending.clone())]
    }
}

/// Opens a session and returns its id.
async fn open(stack: &LocalStack, user: &User) -> Result<String> {
    let session =
        post(stack, user, "", json!({ "agentId": AGENTS[0], "metadata": { "locale": "en" } })).await?;
    Ok(session["id"].as_str().context("the session has no id")?.to_owned())
}

/// Adds content of each kind to a session and returns its thread.
async fn add_content(stack: &LocalStack, user: &User, session: &str) -> Result<String> {
    let find = "select chatkit_user from public.chatkit_users where user_id = $1";
    let chatkit_user: String = sqlx::query_scalar(find)
        .bind(user.id)
        .fetch_one(stack.database())
        .await
        .context("reading the user's ChatKit id")?;
    let thread = stack.openai().put_thread(&chatkit_user, Some("Invoice 42"), Vec::new())?;
    let task =
        json!({ "id": "pay-42", "title": "Pay invoice 42", "status": "blocked", "requires_hitl": true });
    let messages: Vec<Value> = (1..=30)
        .map(|n| json!({ "id": Uuid::new_v4(), "role": "agent", "content": format!("Invoice {n} is due.") }))
        .collect();
    for (name, what, values) in
        [("record_tasks", "p_tasks", json!([task])), ("record_messages", "p_messages", json!(messages))]
    {
        let arguments = json!({ "p_org_id": user.org_id, "p_session_id": session, what: values });
        rpc(stack, name, arguments).await?;
    }
    let events = json!([
        { "id": Uuid::new_v4(), "type": "thread_changed", "payload": { "threadId": thread } },
        { "id": Uuid::new_v4(), "type": "hitl_escalation", "payload": {
            "reason": "The amount is above my limit", "decisions": ["approve", "reject"] } },
    ]);
    post(stack, user, &format!("/{session}/events"), events).await?;
    Ok(thread)
}

/// Returns the escalation of a session and its subject hash.
async fn find_escalation(stack: &LocalStack, session: &str) -> Result<(String, String)> {
    let find = "select id::text, subject_hash from public.chat_escalations where session_id = $1";
    let row = sqlx::query_as(find).bind(session.parse::<Uuid>()?).fetch_one(stack.database());
    row.await.context("reading the escalation")
}

async fn post(stack: &LocalStack, user: &User, path: &str, body: Value) -> Result<Value> {
    let url = format!("{}/chatkit/sessions{path}", stack.api_url());
    let request = http::client().post(url).bearer_auth(stack.issuer().token(user)).json(&body);
    let response = request.send().await.context("calling the API")?;
    let (status, answer) = (response.status(), response.text().await.context("reading the API's answer")?);
    ensure!(status == 201, "expected 201, found {status}: {answer}");
    serde_json::from_str(&answer).context("the API's answer")
}

async fn rpc(stack: &LocalStack, name: &str, arguments: Value) -> Result<()> {
    let (status, answer) = stack.rpc(name, arguments).await?;
    ensure!(status.is_success(), "{name} answered {status}: {answer}");
    Ok(())
}
