//! Calls of agents' tools in a turn. The database decides whether a call may be made; the model
//! fills in the inputs and nothing else.

use std::{sync::Arc, time::Duration};

use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::{
    IdPrefix, SystemSource,
    history::StoredItem,
    new_id,
    protocol::ThreadItem,
    store::{BeginChatCall, BegunCall, ChatStore, NextAgent, OfferedTool},
    turn::{CallEnd, HiddenItem, RequestedCall, TurnOutput},
};
use crate::{
    clients::mcp::{self, CallError, ToolResult},
    domain::deliveries::{Delivery, FinishedDelivery, RpcOutcome},
    error::Error,
    platform::{
        http_client::Deadline,
        json_schema::{InvalidInputs, Mistake, validate_inputs},
        parse::Timestamp,
    },
};

/// Maximum number of tries of one call.
const MAX_TRIES: u32 = 3;

/// Pause before the second try; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// Time that a call leaves for the model's answer to it.
const ANSWER_RESERVE: Duration = Duration::from_secs(5);

/// A call is not begun with less time than this.
const MIN_CALL_TIME: Duration = Duration::from_secs(3);

/// Time for which the beginning of a call is retried, for every response of Supabase.
const BEGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Results are no longer recorded when this little of the lease is left.
const LEASE_RESERVE: Duration = Duration::from_secs(3);

/// The tools of a run, and what calling them takes.
#[derive(Clone)]
pub(super) struct ToolCaller {
    pub agents: mcp::Client,
    pub store: ChatStore,
    pub run_id: Uuid,
    pub thread_id: String,
    /// Tools that the model may call, wherever they run.
    pub tools: Arc<[OfferedTool]>,
}

/// The items and state that a call adds to a turn.
#[derive(Debug)]
pub(super) enum CallResult {
    Ended {
        end: CallEnd,
        /// The call and its output, as far as the database has stored them.
        stored: Vec<StoredItem>,
        /// The call and its output, if the database did not store them.
        unstored: Vec<TurnOutput>,
        /// The task and the card of a call about which a person must decide.
        items: Vec<ThreadItem>,
        /// The agent that continues the answer, if the call has handed the session over.
        next_agent: Option<Box<NextAgent>>,
    },
    /// The answer must stop; the call was not made.
    Stopped,
}

impl ToolCaller {
    /// Returns the tools in the form of a request to the model.
    pub fn functions(&self) -> Vec<Value> {
        let function = |tool: &OfferedTool| {
            json!({
                "type": "function",
                "name": tool.name,
                "description": tool.description,
                "parameters": tool.input_schema,
                // A strict schema would have to require every property.
                "strict": false,
            })
        };
        self.tools.iter().map(function).collect()
    }

    /// Makes a call, if it may be made, and records its result.
    ///
    /// # Errors
    /// Returns the last error of Supabase if the call could not begin.
    pub async fn call(self, requested: RequestedCall, deadline: Deadline) -> Result<CallResult, Error> {
        // Some servers reject a request with arguments that are not JSON.
        let is_json = serde_json::from_str::<IgnoredAny>(&requested.arguments).is_ok();
        let arguments = if is_json { &requested.arguments } else { "{}" };
        let call_item =
            self.item(&requested, "function_call", json!({ "name": requested.name, "arguments": arguments }));
        let inputs = match self.inputs(&requested) {
            Ok(inputs) => inputs,
            Err(refusal) => return Ok(self.refused(&requested, call_item, refusal)),
        };
        let deadline = deadline.minus(ANSWER_RESERVE);
        if deadline.remaining() < MIN_CALL_TIME {
            return Ok(self.refused(&requested, call_item, json!({ "error": "no_time_left" })));
        }
        let begin = BeginChatCall {
            p_run_id: self.run_id,
            p_call_id: &requested.call_id,
            p_tool: &requested.name,
            p_inputs: &inputs,
            p_call_item: &call_item,
        };
        let begun = self.store.begin_call(&begin, Deadline::after(BEGIN_TIMEOUT)).await?;
        Ok(match begun {
            BegunCall::Stopped => CallResult::Stopped,
            BegunCall::Refused { error, output: None } => {
                self.refused(&requested, call_item, json!({ "error": error }))
            }
            BegunCall::Refused { output: Some(output), .. } => {
                ended(CallEnd::Refused, [call_item, output], Vec::new())
            }
            BegunCall::Held { output, items } => ended(CallEnd::Held, [call_item, output], items),
            BegunCall::Begun { call } => self.make(&call, call_item, deadline).await,
            BegunCall::Ended { output, next_agent } => {
                let status = output.as_ref().and_then(|output| output["status"].as_str());
                let end = match status {
                    Some("completed") => CallEnd::Completed,
                    Some("asked") => CallEnd::Asked,
                    Some("refused") => CallEnd::Refused,
                    Some("failed") => CallEnd::Failed,
                    _ => CallEnd::Unknown,
                };
                let stored = [Some(call_item), output].into_iter().flatten();
                ended(end, stored, Vec::new()).with_next_agent(next_agent)
            }
        })
    }

    /// Calls the tool and records the result, which is the call's output.
    async fn make(&self, delivery: &Delivery, call_item: Value, deadline: Deadline) -> CallResult {
        let lease = Deadline::after(delivery.lease()).minus(LEASE_RESERVE);
        let deadline = deadline.capped(delivery.timeout());
        let outcome = call_with_retries(&self.agents, delivery, deadline).await;
        let error = outcome.as_ref().err().map(CallError::code);
        let outcome = RpcOutcome::in_turn(outcome);
        let recorded = self.store.record_call(delivery, &outcome, lease).await;
        let finished_delivery = recorded.unwrap_or_else(|error| {
            tracing::warn!(%error, "the result of a call was not recorded");
            FinishedDelivery::default()
        });
        let FinishedDelivery { finished, status, call_output, call_items, next_agent, .. } =
            finished_delivery;
        tracing::info!(
            delivery_id = %delivery.id, agent_id = delivery.agent_id, finished, status, error, "delivered"
        );
        let end = match status.as_str() {
            "done" => CallEnd::Completed,
            "asked" => CallEnd::Held,
            "dead" | "withdrawn" => CallEnd::Failed,
            _ => CallEnd::Unknown,
        };
        // A call whose result is not recorded has no output. The model's input says so.
        let stored = [Some(call_item), call_output.filter(|_| finished)].into_iter().flatten();
        let items = call_items.into_iter().filter_map(|item| serde_json::from_value(item).ok());
        ended(end, stored, items.collect())
            .with_next_agent(next_agent.and_then(|agent| serde_json::from_value(agent).ok()))
    }

    /// Returns the inputs of a call, or why it is refused.
    pub fn inputs(&self, requested: &RequestedCall) -> Result<Map<String, Value>, Value> {
        let Some(tool) = self.tools.iter().find(|tool| tool.name == requested.name) else {
            return Err(json!({ "error": "unknown_tool", "advice": "Use the tools that are offered." }));
        };
        let inputs = match serde_json::from_str(&requested.arguments) {
            Ok(Value::Object(inputs)) => inputs,
            // A call without arguments.
            _ if requested.arguments.trim().is_empty() => Map::new(),
            _ => return Err(json!({ "error": "invalid_inputs", "advice": "Send a JSON object." })),
        };
        let value = Value::Object(inputs);
        match (validate_inputs(&tool.input_schema, &value), value) {
            (Ok(()), Value::Object(inputs)) => Ok(inputs),
            (Err(InvalidInputs::Mistakes(mistakes)), _) => {
                let mistake =
                    |Mistake { pointer, detail }: Mistake| json!({ "pointer": pointer, "detail": detail });
                let errors: Vec<_> = mistakes.into_iter().map(mistake).collect();
                Err(json!({ "error": "invalid_inputs", "errors": errors }))
            }
            (Err(InvalidInputs::UnusableSchema(reason)), _) => {
                tracing::warn!(tool = tool.name, reason, "the input schema of a tool is not usable");
                Err(json!({ "error": "tool_unavailable" }))
            }
            (Ok(()), _) => Err(json!({ "error": "invalid_inputs" })),
        }
    }

    /// Returns a call that is not made, with an output that says why.
    fn refused(&self, requested: &RequestedCall, call_item: Value, refusal: Value) -> CallResult {
        let mut output = self.item(requested, "function_call_output", refusal);
        output["status"] = "refused".into();
        let unstored = [("function_call", call_item), ("function_call_output", output)];
        let hidden = |(kind, item): (&'static str, Value)| {
            let id = item["id"].as_str().unwrap_or_default().to_owned();
            TurnOutput::Hidden(HiddenItem { id, kind, item })
        };
        CallResult::Ended {
            end: CallEnd::Refused,
            stored: Vec::new(),
            unstored: unstored.map(hidden).into(),
            items: Vec::new(),
            next_agent: None,
        }
    }

    fn item(&self, requested: &RequestedCall, kind: &str, fields: Value) -> Value {
        let prefix = if kind == "function_call" { IdPrefix::Call } else { IdPrefix::CallOutput };
        let mut item = json!({
            "id": new_id(prefix, &mut SystemSource),
            "thread_id": self.thread_id,
            "created_at": Timestamp::now(),
            "type": kind,
            "call_id": requested.call_id,
        });
        if let (Value::Object(item), Value::Object(fields)) = (&mut item, fields) {
            item.extend(fields);
        }
        item
    }
}

fn ended(end: CallEnd, stored: impl IntoIterator<Item = Value>, items: Vec<ThreadItem>) -> CallResult {
    let stored = stored.into_iter().map(StoredItem::from_json).collect();
    CallResult::Ended { end, stored, unstored: Vec::new(), items, next_agent: None }
}

impl CallResult {
    fn with_next_agent(mut self, agent: Option<Box<NextAgent>>) -> Self {
        if let Self::Ended { next_agent, .. } = &mut self {
            *next_agent = agent;
        }
        self
    }
}

/// Calls a tool until it returns a result, or an error after which it may not be called again: one
/// that another try does not change, or after which a tool that is not idempotent may have been
/// executed.
async fn call_with_retries(
    agents: &mcp::Client,
    delivery: &Delivery,
    deadline: Deadline,
) -> Result<ToolResult, CallError> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 0;
    loop {
        tries += 1;
        let outcome = delivery.call(agents, deadline).await;
        let Err(error) = &outcome else { return outcome };
        let may_repeat = error.is_retryable() && (delivery.idempotent || !error.outcome_is_unknown());
        let wait = error.retry_after().unwrap_or_else(|| pause.mul_f64(0.5 + fastrand::f64()));
        if !may_repeat || tries == MAX_TRIES || wait + MIN_CALL_TIME > deadline.remaining() {
            return outcome;
        }
        tokio::time::sleep(wait).await;
        pause *= 2;
    }
}
