//! The RPCs of the self-hosted chat, called as `serve-chatkit` calls them.

use anyhow::{Context, Result, ensure};
use http_client::StatusCode;
use local_stack::LocalStack;
use local_stack::supabase::User;
use serde_json::{Value, json};
use uuid::Uuid;

/// A self-hosted agent that [`register_agents`] registers.
pub const CHAT_AGENT: &str = "treasury_chat";

pub const OTHER_CHAT_AGENT: &str = "tax_chat";

/// A session of the self-hosted chat, with the hash of its client secret.
#[derive(Clone, Debug)]
pub struct ChatSession {
    pub id: Uuid,
    pub user: User,
    pub secret: String,
}

/// The arguments that begin a run.
#[derive(Clone, Debug)]
pub struct Question {
    pub run_id: Uuid,
    pub key: String,
    /// Whether the client chose the key.
    pub has_key: bool,
    pub request_hash: String,
    pub thread_id: String,
    pub is_new_thread: bool,
    pub items: Vec<Value>,
    pub retry_after: Option<String>,
    pub draft: Vec<Value>,
}

pub async fn register_agents(stack: &LocalStack, org_id: Uuid) -> Result<()> {
    for agent in [CHAT_AGENT, OTHER_CHAT_AGENT] {
        let arguments = json!({
            "p_org_id": org_id, "p_agent_id": agent, "p_display_name": agent, "p_description": "Answers",
            "p_model": "gpt-5-mini",
        });
        call(stack, "register_agent", arguments).await?;
    }
    Ok(())
}

/// Opens a session of a user with a client secret.
pub async fn open_session(stack: &LocalStack, user: &User, agent: &str) -> Result<ChatSession> {
    let (id, request_id) = (Uuid::now_v7(), Uuid::new_v4());
    let secret = Uuid::new_v4().simple().to_string().repeat(2);
    let arguments = json!({
        "p_org_id": user.org_id, "p_user_id": user.id, "p_session_id": id, "p_agent_id": agent,
        "p_channel": "web", "p_metadata": {}, "p_chatkit_request_id": request_id,
        "p_providers": ["self_hosted"],
    });
    call(stack, "open_session", arguments).await?;
    let arguments = json!({
        "p_org_id": user.org_id, "p_session_id": id, "p_chatkit_request_id": request_id,
        "p_chatkit_session_id": format!("cksess_{}", request_id.simple()),
        "p_expires_at": "2030-01-01T00:00:00Z", "p_sealed_secret": "sealed", "p_sealing_key_id": "k1",
        "p_secret_hash": secret,
    });
    let recorded = call(stack, "record_chatkit_session", arguments).await?;
    ensure!(recorded["recorded"] == true, "the secret is not recorded: {recorded}");
    Ok(ChatSession { id, user: user.clone(), secret })
}

/// Calls an RPC that must succeed.
pub async fn call(stack: &LocalStack, name: &str, arguments: Value) -> Result<Value> {
    let (status, body) = stack.rpc(name, arguments).await?;
    ensure!(status.is_success(), "{name} returned {status}: {body}");
    Ok(body)
}

/// A new item of a thread with one text.
pub fn item(kind: &str, thread_id: &str, text: &str) -> Value {
    let id = format!("msg_{}", Uuid::new_v4().simple());
    json!({ "type": kind, "id": id, "thread_id": thread_id, "content": [{ "text": text }] })
}

/// The texts of items, with the title of a task in brackets.
pub fn texts(items: &Value) -> Vec<String> {
    let text = |item: &Value| match item["content"][0]["text"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("[{}]", item["task"]["title"].as_str().unwrap_or_default()),
    };
    items.as_array().into_iter().flatten().map(text).collect()
}

impl Question {
    pub fn in_new_thread(text: &str) -> Self {
        let thread_id = format!("thr_{}", Uuid::new_v4().simple());
        Self { is_new_thread: true, ..Self::in_thread(&thread_id, text) }
    }

    pub fn in_thread(thread_id: &str, text: &str) -> Self {
        Self {
            run_id: Uuid::new_v4(),
            key: format!("f:{thread_id}:{text}"),
            has_key: false,
            request_hash: format!("hash of {text}"),
            thread_id: thread_id.to_owned(),
            is_new_thread: false,
            items: vec![item("user_message", thread_id, text)],
            retry_after: None,
            draft: vec![json!({
                "type": "task", "id": format!("tsk_{}", Uuid::new_v4().simple()), "thread_id": thread_id,
                "task": { "type": "custom", "title": "interrupted" },
            })],
        }
    }

    /// Requests other answers to a message of a thread.
    pub fn retry(thread_id: &str, item_id: &str) -> Self {
        Self {
            items: Vec::new(),
            retry_after: Some(item_id.to_owned()),
            ..Self::in_thread(thread_id, "retry")
        }
    }

    /// The same question under a key of the client.
    pub fn with_key(self, key: &str) -> Self {
        Self { key: format!("k:{key}"), has_key: true, ..self }
    }

    /// The same request, as another process receives it: it generates other ids.
    pub fn repeated(&self) -> Self {
        let mut other = Self { run_id: Uuid::new_v4(), ..self.clone() };
        if self.is_new_thread {
            other.thread_id = format!("thr_{}", Uuid::new_v4().simple());
        }
        for item in other.items.iter_mut().chain(&mut other.draft) {
            item["id"] = json!(format!("msg_{}", Uuid::new_v4().simple()));
            item["thread_id"] = json!(other.thread_id);
        }
        other
    }
}

impl ChatSession {
    /// The session in a response of `create-session`.
    pub async fn from_response(stack: &LocalStack, user: &User, session: &Value) -> Result<Self> {
        let id = session["id"].as_str().context("no id")?.parse()?;
        let secret = session["chatkit"]["clientSecret"].as_str().context("no secret")?;
        let hash = sqlx::query_scalar("select encode(sha256(convert_to($1, 'UTF8')), 'hex')").bind(secret);
        let secret = hash.fetch_one(stack.database()).await?;
        Ok(Self { id, user: user.clone(), secret })
    }

    /// Calls an RPC with the hash of the client secret.
    pub async fn call(
        &self,
        stack: &LocalStack,
        name: &str,
        mut arguments: Value,
    ) -> Result<(StatusCode, Value)> {
        arguments["p_secret_hash"] = json!(self.secret);
        stack.rpc(name, arguments).await
    }

    /// Calls an RPC that must succeed.
    pub async fn expect(&self, stack: &LocalStack, name: &str, arguments: Value) -> Result<Value> {
        let (status, body) = self.call(stack, name, arguments).await?;
        ensure!(status.is_success(), "{name} returned {status}: {body}");
        Ok(body)
    }

    /// Calls an RPC that must fail with this status and message.
    pub async fn expect_error(
        &self,
        stack: &LocalStack,
        name: &str,
        arguments: Value,
        (status, message): (u16, &str),
    ) -> Result<()> {
        let (found, body) = self.call(stack, name, arguments).await?;
        let is_expected = found == status && body["message"] == message;
        ensure!(is_expected, "{name}: expected {status} {message}, found {found} {body}");
        Ok(())
    }

    /// The response to `begin_chat_run`.
    pub async fn begin(&self, stack: &LocalStack, question: &Question) -> Result<(StatusCode, Value)> {
        let Question { run_id, key, has_key, request_hash, thread_id, is_new_thread, .. } = question;
        let mut arguments = json!({
            "p_run_id": run_id, "p_request_key": key, "p_request_hash": request_hash,
            "p_key_is_explicit": has_key, "p_thread_id": thread_id, "p_is_new_thread": is_new_thread,
            "p_title": "A thread", "p_items": question.items, "p_draft": question.draft,
            "p_lease_seconds": 60,
        });
        if let Some(item_id) = &question.retry_after {
            arguments["p_retry_after_item_id"] = json!(item_id);
        }
        self.call(stack, "begin_chat_run", arguments).await
    }

    /// Begins a run, with this outcome.
    pub async fn expect_begin(
        &self,
        stack: &LocalStack,
        question: &Question,
        outcome: &str,
    ) -> Result<Value> {
        let (status, body) = self.begin(stack, question).await?;
        ensure!(
            status.is_success() && body["outcome"] == outcome,
            "expected {outcome}, found {status} {body}"
        );
        Ok(body)
    }

    /// Appends one event and these items to a run.
    pub async fn append(
        &self,
        stack: &LocalStack,
        run_id: Uuid,
        chunk_seq: u32,
        items: Vec<Value>,
        draft: Vec<Value>,
    ) -> Result<Value> {
        let arguments = json!({
            "p_run_id": run_id, "p_chunk_seq": chunk_seq, "p_events": [{ "chunk": chunk_seq }],
            "p_items": items, "p_draft": draft, "p_lease_seconds": 60,
        });
        self.expect(stack, "append_chat_run", arguments).await
    }

    /// Ends a run with this status and items. Returns whether the run had not ended before.
    pub async fn finish(
        &self,
        stack: &LocalStack,
        run_id: Uuid,
        status: &str,
        items: Vec<Value>,
    ) -> Result<bool> {
        let arguments = json!({
            "p_run_id": run_id, "p_status": status, "p_chunk_seq": 1000, "p_events": [{ "chunk": "last" }],
            "p_items": items, "p_input_tokens": 10, "p_output_tokens": 5,
        });
        let body = self.expect(stack, "finish_chat_run", arguments).await?;
        body["finished"].as_bool().context("no `finished`")
    }

    /// Begins an answer to a question and completes it with one message.
    pub async fn answer(&self, stack: &LocalStack, question: &Question, text: &str) -> Result<Value> {
        let begun = self.expect_begin(stack, question, "begun").await?;
        let message = item("assistant_message", &question.thread_id, text);
        ensure!(self.finish(stack, question.run_id, "completed", vec![message]).await?);
        Ok(begun)
    }

    /// A page of the first hundred items of a thread.
    pub async fn items(&self, stack: &LocalStack, thread_id: &str) -> Result<Value> {
        let arguments = json!({ "p_thread_id": thread_id, "p_limit": 100, "p_descending": false });
        Ok(self.expect(stack, "list_chat_items", arguments).await?["rows"].clone())
    }

    /// The ids of the threads that the session lists, the newest first.
    pub async fn thread_ids(&self, stack: &LocalStack) -> Result<Vec<String>> {
        let arguments = json!({ "p_limit": 100, "p_descending": true });
        let page = self.expect(stack, "list_chat_threads", arguments).await?;
        let rows = page["rows"].as_array().context("no rows")?;
        Ok(rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect())
    }

    pub async fn cancel(&self, stack: &LocalStack) -> Result<()> {
        let arguments =
            json!({ "p_org_id": self.user.org_id, "p_user_id": self.user.id, "p_session_id": self.id });
        call(stack, "cancel_session", arguments).await?;
        Ok(())
    }

    pub async fn hand_over(&self, stack: &LocalStack, agent: &str) -> Result<()> {
        let arguments = json!({
            "p_org_id": self.user.org_id, "p_user_id": self.user.id, "p_session_id": self.id,
            "p_actor_type": "user", "p_actor_id": self.user.id,
            "p_events": [{ "id": Uuid::new_v4(), "type": "handover", "payload": { "agentId": agent } }],
        });
        call(stack, "record_events", arguments).await?;
        Ok(())
    }
}

/// Ends the lease of a run, as the death of its process does after some seconds.
pub async fn end_lease(stack: &LocalStack, run_id: Uuid) -> Result<()> {
    let updated = sqlx::query("update chat_runs set lease_until = now() - interval '1 second' where id = $1")
        .bind(run_id)
        .execute(stack.database())
        .await?;
    ensure!(updated.rows_affected() == 1, "the run {run_id} does not exist");
    Ok(())
}

pub async fn run_status(stack: &LocalStack, run_id: Uuid) -> Result<String> {
    let status = sqlx::query_scalar("select status from chat_runs where id = $1").bind(run_id);
    Ok(status.fetch_one(stack.database()).await?)
}
