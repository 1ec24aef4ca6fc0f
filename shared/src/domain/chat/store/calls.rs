//! Beginning a call of a tool.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::{ChatStore, NextAgent, WithSecret};
use crate::{
    clients::supabase::Rpc,
    domain::{chat::protocol::ThreadItem, deliveries::Delivery},
    error::Error,
    platform::http_client::Deadline,
};

/// Begins a call. The same call id begins one call.
#[derive(Debug, Serialize)]
pub struct BeginChatCall<'a> {
    pub p_run_id: Uuid,
    pub p_call_id: &'a str,
    pub p_tool: &'a str,
    pub p_inputs: &'a Map<String, Value>,
    /// The call as an item of the thread.
    pub p_call_item: &'a Value,
}

impl Rpc for BeginChatCall<'_> {
    const NAME: &'static str = "begin_chat_call";
    type Output = BegunCall;
}

#[derive(Debug, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum BegunCall {
    /// The call to make, under a lease.
    Begun { call: Box<Delivery> },
    /// A person must decide first. The call and its output are stored, and so are its task and its
    /// card (`items`).
    Held {
        output: Value,
        #[serde(default)]
        items: Vec<ThreadItem>,
    },
    /// The call may not be made. With an output, it is stored.
    Refused { error: String, output: Option<Value> },
    /// A built-in tool has done its work, or has refused to. Or the request is a repeat, and the call
    /// has ended since. The call and its output are stored. Without an output, the outcome of the
    /// call is unknown.
    Ended { output: Option<Value>, next_agent: Option<Box<NextAgent>> },
    /// The database recorded a stop, so the answer must end without the call.
    Stopped,
}

impl ChatStore {
    /// Begins a call of a tool, and stores it in the thread. The call is repeated until the
    /// deadline: if its response were lost, a call that has begun would not be made.
    ///
    /// # Errors
    /// Returns the last error of Supabase.
    pub async fn begin_call(&self, call: &BeginChatCall<'_>, deadline: Deadline) -> Result<BegunCall, Error> {
        let call = WithSecret { p_secret_hash: &self.secret_hash, arguments: call };
        Ok(self.service_client.rpc_until_recorded(&call, deadline).await?)
    }
}
