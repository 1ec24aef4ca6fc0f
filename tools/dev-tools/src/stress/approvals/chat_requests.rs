//! Executes the steps of the self-hosted chat on the database, as the function that serves it does.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::chat::{RUN_LEASE, call_name, run_name, thread_name};
use super::env::{HistoryDb, HistoryIds};
use super::operations::{ChatOperation, people};
use super::state::State;
use crate::stress::rpc::{RpcError, arguments};

/// Maximum number of threads and of answers in a history.
const MAX_ANSWERS: usize = 64;

/// The response to a step.
pub struct ChatAnswer {
    pub answer: Result<Value, RpcError>,
    pub outcome: Option<String>,
    pub flag: Option<bool>,
    /// The call that the turn makes.
    pub call: Option<Value>,
}

impl ChatAnswer {
    fn new(answer: Result<Value, RpcError>) -> Self {
        Self { answer, outcome: None, flag: None, call: None }
    }
}

fn run_id(ids: &HistoryIds, run: usize) -> Uuid {
    Uuid::from_u128(ids.org_id.as_u128() ^ (1 + run as u128))
}

fn thread_id(ids: &HistoryIds, thread: usize) -> String {
    format!("thr_{}", run_id(ids, thread).simple())
}

fn secret_hash(ids: &HistoryIds, session: usize) -> String {
    ids.sessions[session].simple().to_string().repeat(2)
}

/// Adds the names of the threads and answers that a history may begin.
pub fn add_names(ids: &HistoryIds, names: &mut HashMap<String, String>) {
    for place in 0..MAX_ANSWERS {
        names.insert(thread_id(ids, place), thread_name(place));
        names.insert(run_id(ids, place).to_string(), run_name(place));
    }
}

impl HistoryDb {
    /// Opens a session with a client secret.
    pub async fn open_session(&mut self, ids: &HistoryIds, session: usize, metadata: &Value) -> Result<()> {
        let (session_id, request_id) = (ids.sessions[session], Uuid::new_v4());
        let opened = arguments([
            ("p_org_id", json!(ids.org_id)),
            ("p_user_id", json!(ids.people[people::REQUESTER])),
            ("p_session_id", json!(session_id)),
            ("p_agent_id", json!("alpha")),
            ("p_channel", json!("web")),
            ("p_metadata", metadata.clone()),
            ("p_chatkit_request_id", json!(request_id)),
            ("p_providers", json!(["self_hosted"])),
        ]);
        self.call_or_fail("open_session", opened).await?;
        let recorded = arguments([
            ("p_org_id", json!(ids.org_id)),
            ("p_session_id", json!(session_id)),
            ("p_chatkit_request_id", json!(request_id)),
            ("p_chatkit_session_id", json!(format!("cksess_{}", request_id.simple()))),
            ("p_sealed_secret", json!("sealed")),
            ("p_sealing_key_id", json!("k1")),
            ("p_secret_hash", json!(secret_hash(ids, session))),
        ]);
        self.call_or_fail("record_chatkit_session", recorded).await.map(drop)
    }

    pub async fn execute_chat(
        &mut self,
        ids: &HistoryIds,
        before: &State,
        operation: &ChatOperation,
    ) -> Result<ChatAnswer> {
        match operation {
            ChatOperation::BeginRun { session, thread } => {
                let params = begin_run(ids, before, *session, *thread);
                let mut answer = ChatAnswer::new(self.call("begin_chat_run", params).await?);
                answer.outcome = answer.answer.as_ref().ok().map(begun_run);
                Ok(answer)
            }
            ChatOperation::BeginCall { run, call, tool, inputs } => {
                let call_id = call_name(*run, *call);
                let item = json!({ "type": "function_call", "id": format!("fc_{call_id}"), "call_id": call_id, "name": tool });
                let mut params = of_run(ids, before, *run);
                params.extend(arguments([
                    ("p_call_id", json!(call_id)),
                    ("p_tool", json!(tool)),
                    ("p_inputs", inputs.clone()),
                    ("p_call_item", item),
                ]));
                let mut answer = ChatAnswer::new(self.call("begin_chat_call", params).await?);
                if let Ok(begun) = &answer.answer {
                    answer.outcome = Some(begun_call(begun));
                    answer.call = begun.get("call").filter(|call| call.is_object()).cloned();
                }
                Ok(answer)
            }
            ChatOperation::EndRun { run } => {
                let mut params = of_run(ids, before, *run);
                params.extend(arguments([
                    ("p_status", json!("completed")),
                    ("p_chunk_seq", json!(1)),
                    ("p_events", json!([])),
                ]));
                let mut answer = ChatAnswer::new(self.call("finish_chat_run", params).await?);
                answer.flag = answer.answer.as_ref().ok().and_then(|answer| answer["finished"].as_bool());
                Ok(answer)
            }
            ChatOperation::Kill { run } => {
                for statement in [
                    "update chat_runs set lease_until = clock_timestamp() where id = $1 and status = 'running'",
                    "update deliveries set lease_until = clock_timestamp() where run_id = $1 and in_turn",
                ] {
                    let update = sqlx::query(statement).bind(run_id(ids, *run));
                    update.execute(&mut self.operator).await.context("ending the leases of a process")?;
                }
                Ok(ChatAnswer::new(Ok(Value::Null)))
            }
            ChatOperation::SettleRuns => {
                let params = arguments([("p_limit", json!(500))]);
                Ok(ChatAnswer::new(self.call("settle_chat_runs", params).await?))
            }
        }
    }
}

/// The arguments of a step of the process that writes an answer.
fn of_run(ids: &HistoryIds, before: &State, run: usize) -> Map<String, Value> {
    arguments([
        ("p_secret_hash", json!(secret_hash(ids, before.runs[run].session))),
        ("p_run_id", json!(run_id(ids, run))),
    ])
}

fn begin_run(ids: &HistoryIds, before: &State, session: usize, thread: Option<usize>) -> Map<String, Value> {
    let run = run_id(ids, before.runs.len());
    let thread_id = thread_id(ids, thread.unwrap_or(before.threads.len()));
    let id = format!("msg_{}", Uuid::new_v4().simple());
    let question = json!({ "type": "user_message", "id": id, "content": [{ "text": "Pay the invoice" }] });
    // Each question is a new one, also after a request that found another answer running.
    let key = Uuid::new_v4().to_string();
    arguments([
        ("p_secret_hash", json!(secret_hash(ids, session))),
        ("p_run_id", json!(run)),
        ("p_request_key", json!(key)),
        ("p_request_hash", json!(key)),
        ("p_key_is_explicit", json!(false)),
        ("p_thread_id", json!(thread_id)),
        ("p_is_new_thread", json!(thread.is_none())),
        ("p_items", json!([question])),
        ("p_lease_seconds", json!(RUN_LEASE)),
    ])
}

fn begun_run(answer: &Value) -> String {
    let outcome = answer["outcome"].as_str().unwrap_or_default();
    if outcome != "begun" {
        return outcome.to_owned();
    }
    let names = answer["tools"].as_array().into_iter().flatten();
    let names: Vec<&str> = names.filter_map(|tool| tool["name"].as_str()).collect();
    format!("begun with {}", names.join(" "))
}

fn begun_call(answer: &Value) -> String {
    match answer["outcome"].as_str().unwrap_or_default() {
        "refused" => format!("refused {}", answer["error"].as_str().unwrap_or("-")),
        "ended" => format!("ended {}", answer["output"]["status"].as_str().unwrap_or("unknown")),
        outcome => outcome.to_owned(),
    }
}
