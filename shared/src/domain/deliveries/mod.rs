//! Deliveries: calls of agents' tools that the database has begun, and their results.

mod delivery;
mod outcome;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::Instrument;
use uuid::Uuid;

pub use delivery::Delivery;
pub use outcome::RpcOutcome;

use crate::{
    clients::{
        mcp::{self, CallError, ToolResult},
        supabase::{Rpc, ServiceClient},
    },
    error::{Error, ErrorCode},
    platform::{http_client::Deadline, telemetry},
};

#[derive(Serialize)]
struct FinishDeliveryCall<'a> {
    p_delivery_id: Uuid,
    p_fence: i64,
    p_outcome: &'a RpcOutcome,
}

impl Rpc for FinishDeliveryCall<'_> {
    const NAME: &'static str = "finish_delivery";
    type Output = FinishedDelivery;
}

/// The record of a call in the database.
#[derive(Debug, Default, Deserialize)]
pub struct FinishedDelivery {
    /// False if another process had taken the delivery over.
    pub finished: bool,
    #[serde(default)]
    pub status: String,
    /// Output of a call that a model requested, as an item of its thread.
    #[serde(default)]
    pub call_output: Option<Value>,
    /// The task and the card of a call about which a person must decide, as items of its thread.
    #[serde(default)]
    pub call_items: Vec<Value>,
    /// The agent that continues the answer, if the call has handed its session over.
    #[serde(default)]
    pub next_agent: Option<Value>,
    #[serde(default)]
    pub live_chatkit_session_ids: Vec<String>,
}

impl Delivery {
    /// Calls the tool once.
    ///
    /// # Errors
    /// The [`CallError`] states whether nothing was done, the server responded with an error,
    /// or the outcome is unknown.
    pub async fn call(&self, agents: &mcp::Client, deadline: Deadline) -> Result<ToolResult, CallError> {
        let (target, call) = self.tool_call().map_err(CallError::NotSent)?;
        let span = telemetry::call("agent", self.attempt);
        let mut outcome = agents.call(&target, call, deadline).instrument(span.clone()).await;
        if let Ok(ToolResult::Completed(completed)) = &mut outcome {
            self.check_follow_ups(&mut completed.follow_ups);
        }
        outcome.inspect_err(|error| {
            span.record("failure", error.code()).record("status", error.status());
            span.record("unauthorized", matches!(error.status(), Some(401 | 403)));
        })
    }

    /// Records the result of the call, as long as the lease lasts. A result that does not fit is
    /// recorded as a failure.
    ///
    /// # Errors
    /// Returns the last error of Supabase.
    pub async fn record(
        &self,
        service_client: &ServiceClient,
        outcome: &RpcOutcome,
        lease: Deadline,
    ) -> Result<FinishedDelivery, Error> {
        match self.record_once(service_client, outcome, lease).await {
            // The result has the right form but does not fit a column.
            Err(error) if error.code == ErrorCode::InvalidRequest => {
                self.record_once(service_client, &RpcOutcome::failed("invalid_result"), lease).await
            }
            finished => finished,
        }
    }

    async fn record_once(
        &self,
        service_client: &ServiceClient,
        outcome: &RpcOutcome,
        lease: Deadline,
    ) -> Result<FinishedDelivery, Error> {
        let call = FinishDeliveryCall { p_delivery_id: self.id, p_fence: self.fence, p_outcome: outcome };
        match service_client.rpc_until_recorded(&call, lease).await {
            // The delivery was erased with its session, so the result is of no use.
            Err(error) if error.has_code("delivery_not_found") => Ok(FinishedDelivery::default()),
            finished => Ok(finished?),
        }
    }
}
