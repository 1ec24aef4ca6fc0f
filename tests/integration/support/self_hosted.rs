//! Sessions of self-hosted agents, with threads and runs that the RPC functions store.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::model::MODEL;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use super::client::{AGENT, TestClient};

/// A session of a self-hosted agent, with a client secret.
pub struct SelfHostedSession {
    pub caller: TestClient,
    pub path: String,
    pub client_secret: String,
    secret_hash: String,
}

impl SelfHostedSession {
    /// Opens a session of a member of a new organisation.
    pub async fn open(stack: &LocalStack) -> Result<Self> {
        let org_id = Uuid::new_v4();
        let agent = json!({
            "p_org_id": org_id, "p_agent_id": AGENT, "p_display_name": "Accounts payable",
            "p_description": "Pays invoices", "p_provider": "self_hosted", "p_model": MODEL,
        });
        call(stack, "register_agent", agent).await?;
        let caller = TestClient::in_organisation(stack, org_id, OrgRole::Member).await?;
        Self::open_for(stack, caller).await
    }

    pub async fn open_for(stack: &LocalStack, caller: TestClient) -> Result<Self> {
        let (id, request_id) = (Uuid::now_v7(), Uuid::now_v7());
        let opening = json!({
            "p_org_id": caller.user.org_id, "p_user_id": caller.user.id, "p_session_id": id,
            "p_agent_id": AGENT, "p_channel": "web", "p_metadata": {}, "p_chatkit_request_id": request_id,
            "p_providers": ["self_hosted"],
        });
        call(stack, "open_session", opening).await?;
        let client_secret = format!("ek_{}", Uuid::new_v4().simple());
        let secret_hash: String = sqlx::query_scalar("select encode(sha256(convert_to($1, 'UTF8')), 'hex')")
            .bind(&client_secret)
            .fetch_one(stack.database())
            .await?;
        let secret = json!({
            "p_org_id": caller.user.org_id, "p_session_id": id, "p_chatkit_request_id": request_id,
            "p_chatkit_session_id": format!("cksess_{}", request_id.simple()),
            "p_expires_at": "2099-01-01T00:00:00Z", "p_sealed_secret": "sealed", "p_sealing_key_id": "k1",
            "p_secret_hash": secret_hash,
        });
        call(stack, "record_chatkit_session", secret).await?;
        Ok(Self { caller, path: format!("/chatkit/sessions/{id}"), client_secret, secret_hash })
    }

    /// Stores a question in a thread, and begins its answer.
    pub async fn begin_run(&self, stack: &LocalStack, thread: &str, question: &str) -> Result<Uuid> {
        let known = "select exists (select from public.chat_threads where id = $1)";
        let known: bool = sqlx::query_scalar(known).bind(thread).fetch_one(stack.database()).await?;
        let run_id = Uuid::now_v7();
        let item = item(thread, "user_message", json!([{ "type": "input_text", "text": question }]));
        let run = json!({
            "p_secret_hash": self.secret_hash, "p_run_id": run_id, "p_request_key": run_id,
            "p_request_hash": "hash", "p_key_is_explicit": true, "p_thread_id": thread,
            "p_is_new_thread": !known, "p_title": question, "p_items": [item], "p_lease_seconds": 600,
        });
        let begun = call(stack, "begin_chat_run", run).await?;
        ensure!(begun["outcome"] == "begun", "expected a run, found {begun:#}");
        Ok(run_id)
    }

    /// Ends a run with these items.
    pub async fn finish_run(&self, stack: &LocalStack, run_id: Uuid, items: &[Value]) -> Result<()> {
        let end = json!({
            "p_secret_hash": self.secret_hash, "p_run_id": run_id, "p_status": "completed",
            "p_chunk_seq": 1, "p_events": [], "p_items": items,
        });
        let finished = call(stack, "finish_chat_run", end).await?;
        ensure!(finished["finished"] == true, "expected the end of the run, found {finished:#}");
        Ok(())
    }

    pub async fn answer(&self, stack: &LocalStack, thread: &str, question: &str, text: &str) -> Result<()> {
        let run_id = self.begin_run(stack, thread, question).await?;
        let content = json!([{ "type": "output_text", "text": text, "annotations": [] }]);
        self.finish_run(stack, run_id, &[item(thread, "assistant_message", content)]).await
    }

    /// Deletes a thread, as its user does in ChatKit.js.
    pub async fn delete_thread(&self, stack: &LocalStack, thread: &str) -> Result<()> {
        let deletion = json!({ "p_secret_hash": self.secret_hash, "p_thread_id": thread });
        call(stack, "delete_chat_thread", deletion).await.map(drop)
    }
}

/// Returns a new id of a thread.
pub fn thread_id() -> String {
    format!("thr_{}", Uuid::new_v4().simple())
}

/// Returns an item as ChatKit.js receives it.
pub fn item(thread: &str, kind: &str, content: Value) -> Value {
    json!({
        "id": format!("msg_{}", Uuid::new_v4().simple()), "thread_id": thread, "type": kind,
        "created_at": "2026-11-27T10:00:00.000000Z", "content": content,
    })
}

async fn call(stack: &LocalStack, name: &str, arguments: Value) -> Result<Value> {
    let (status, answer) = stack.rpc(name, arguments).await?;
    ensure!(status.is_success(), "expected that {name} succeeds, found {status}: {answer}");
    Ok(answer)
}
