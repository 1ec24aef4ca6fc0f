//! Events on their way to agents: the orchestrator.
//!
//! A delivery is an event that goes to one tool of one agent. The database decides which there are, whose turn it is, and whether a
//! person is asked first; here the call is made and what came of it is told. Whoever calls has a lease and a fence: what a
//! router that was taken for dead tells is passed over.

mod delivery;
mod outcome;

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    clients::{mcp, openai::ChatKit, supabase::ServiceClient},
    domain::sessions,
    error::{Error, ErrorCode},
    jobs::{FailedJob, Run},
    platform::{
        http_client::Deadline,
        telemetry::{self, TARGET},
    },
};
use delivery::Delivery;
use outcome::RpcOutcome;

/// Calls at the same time: they wait for others, and cost next to nothing meanwhile.
const CONCURRENCY: usize = 16;

/// The longest that a call may take by the registry, with taking leave of the server and telling what came of it.
const LONGEST_CALL: Duration = Duration::from_secs(64);

/// How long a delivery is nobody else's, in seconds: longer than any call.
const LEASE_SECONDS: u32 = 90;

/// How long before its end a lease is too short to record anything under it.
const LEASE_RESERVE: Duration = Duration::from_secs(3);

/// How long a claim is sent again whatever Supabase answers.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// How often new work is looked for while calls are under way and none comes back.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// How soon something must be due to be waited for; the schedule finds what is due later.
const MAX_IDLE_WAIT: Duration = Duration::from_secs(5);

/// The shortest wait: a session that is locked for a moment is due at once.
const MIN_WAIT: Duration = Duration::from_millis(100);

/// Brings events to agents.
pub struct Dispatcher {
    /// Where deliveries are claimed and told of.
    pub service_client: ServiceClient,
    /// For the secrets of an agent that hands over; none where ChatKit is not configured.
    pub chatkit: Option<ChatKit>,
    /// The way to agents.
    pub agents: mcp::Client,
}

/// What a round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DispatchReport {
    /// Calls that were made.
    pub called: u64,
    /// Deliveries that are done.
    pub done: u64,
    /// Deliveries of which a person is asked.
    pub asked: u64,
    /// Deliveries that are tried again later.
    pub again: u64,
    /// Deliveries that are given up: dead letters.
    pub dead: u64,
    /// Deliveries of which nobody knows whether they were done.
    pub unknown: u64,
    /// Deliveries that somebody else took over, or whose session ended meanwhile.
    pub passed_over: u64,
}

#[derive(Deserialize)]
struct Claim {
    deliveries: Vec<Delivery>,
    /// What came to an end without a call.
    settled: Vec<ClosedDelivery>,
    next_due_in_seconds: Option<f64>,
}

/// A delivery that the database settled by itself: a lease ran out, a policy forbids the call, a person is asked first.
#[derive(Deserialize)]
struct ClosedDelivery {
    id: Uuid,
    org_id: Uuid,
    session_id: Uuid,
    agent_id: String,
    attempt: u32,
    status: String,
    error: Option<String>,
}

#[derive(Deserialize)]
struct FinishResult {
    finished: bool,
    #[serde(default)]
    status: String,
    #[serde(default)]
    live_chatkit_session_ids: Vec<String>,
}

impl Dispatcher {
    /// Delivers until nothing is due, or the time for another call is over. A delivery that fails stops no other; what was claimed is free
    /// again when its lease ends.
    pub async fn run(&self, deadline: Deadline) -> Run<DispatchReport> {
        let (mut report, mut running) = (DispatchReport::default(), FuturesUnordered::new());
        let (mut failed_claim, mut failed_delivery) = (None, None);
        loop {
            let free = CONCURRENCY.saturating_sub(running.len());
            let mut next = None;
            if free > 0 && failed_claim.is_none() && deadline.remaining() > LONGEST_CALL {
                match self.claim(free, deadline).await {
                    Ok(claim) => {
                        next =
                            claim.next_due_in_seconds.and_then(|due| Duration::try_from_secs_f64(due).ok());
                        for settled in claim.settled {
                            settled.log();
                            report.count(&settled.status);
                        }
                        running.extend(
                            claim
                                .deliveries
                                .into_iter()
                                .map(|claimed| self.deliver_traced(claimed, deadline)),
                        );
                    }
                    // What is under way is told of all the same.
                    Err(error) => failed_claim = Some(error),
                }
            }
            if running.is_empty() {
                match next {
                    Some(due) if due <= MAX_IDLE_WAIT && failed_claim.is_none() => {
                        tokio::time::sleep(due.max(MIN_WAIT)).await;
                    }
                    _ => {
                        let failures = [("claim_deliveries", failed_claim), ("deliver", failed_delivery)];
                        let failures = failures
                            .into_iter()
                            .filter_map(|(duty, error)| Some(FailedJob { duty, error: error? }));
                        return Run { report, failures: failures.collect() };
                    }
                }
                continue;
            }
            let look = next.unwrap_or(POLL_INTERVAL).clamp(MIN_WAIT, POLL_INTERVAL);
            match tokio::time::timeout(look, running.next()).await {
                Ok(Some(Ok(status))) => {
                    report.called += 1;
                    report.count(&status);
                }
                Ok(Some(Err(error))) => {
                    tracing::warn!(%error, "a delivery failed; the others go on");
                    failed_delivery.get_or_insert(error);
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn claim(&self, limit: usize, deadline: Deadline) -> Result<Claim, Error> {
        let arguments =
            json!({ "p_limit": limit, "p_lease_seconds": LEASE_SECONDS, "p_claim_id": Uuid::now_v7() });
        // Sent again under its own id: what a claim began whose answer was lost would otherwise wait for its lease to end.
        Ok(self
            .service_client
            .rpc_until_recorded("claim_deliveries", &arguments, deadline.capped(CLAIM_TIMEOUT))
            .await?)
    }

    /// Makes a call and tells what came of it.
    async fn deliver_traced(&self, claimed: Delivery, deadline: Deadline) -> Result<String, Error> {
        let Delivery { id, org_id, session_id, ref agent_id, attempt, .. } = claimed;
        let span = delivery_span(id, org_id, session_id, agent_id, attempt);
        self.deliver(claimed, deadline).instrument(span).await
    }

    async fn deliver(&self, claimed: Delivery, deadline: Deadline) -> Result<String, Error> {
        let lease = deadline.capped(claimed.lease()).minus(LEASE_RESERVE);
        let outcome = match claimed.tool_call() {
            Ok((target, call)) => {
                let span = telemetry::call("agent", claimed.attempt);
                let outcome = self.agents.call(&target, call, deadline).instrument(span.clone()).await;
                outcome.inspect_err(|error| {
                    span.record("failure", error.code()).record("status", error.status());
                    span.record("unauthorized", matches!(error.status(), Some(401 | 403)));
                })
            }
            Err(reason) => Err(mcp::CallError::NotSent(reason)),
        };
        let error = outcome.as_ref().err().map(mcp::CallError::code);
        let outcome = RpcOutcome::new(outcome, claimed.idempotent);
        let finished = match self.record(&claimed, &outcome, lease).await {
            // The agent's result is of the right form and does not fit a column all the same.
            Err(error) if error.code == ErrorCode::InvalidRequest => {
                self.record(&claimed, &RpcOutcome::failed("invalid_result"), lease).await?
            }
            finished => finished?,
        };
        tracing::info!(finished = finished.finished, status = finished.status, error, "delivered");
        if let Some(chatkit) = &self.chatkit {
            let of =
                sessions::SessionRef { org_id: claimed.org_id, session_id: claimed.session_id, deadline };
            sessions::cancel_chatkit_sessions(
                chatkit,
                &self.service_client,
                of,
                &finished.live_chatkit_session_ids,
            )
            .await;
        }
        Ok(if finished.finished { finished.status } else { String::new() })
    }

    /// Records what came of a call, as long as the lease lasts.
    async fn record(
        &self,
        claimed: &Delivery,
        outcome: &RpcOutcome,
        lease: Deadline,
    ) -> Result<FinishResult, Error> {
        let arguments =
            json!({ "p_delivery_id": claimed.id, "p_fence": claimed.fence, "p_outcome": outcome });
        match self.service_client.rpc_until_recorded("finish_delivery", &arguments, lease).await {
            // Erased, with its session: there is nobody left whom the answer could concern.
            Err(error) if error.has_code("delivery_not_found") => {
                let (status, live_chatkit_session_ids) = (String::new(), Vec::new());
                Ok(FinishResult { finished: false, status, live_chatkit_session_ids })
            }
            finished => Ok(finished?),
        }
    }
}

impl ClosedDelivery {
    /// The same line as of a delivery that was called.
    fn log(&self) {
        let span = delivery_span(self.id, self.org_id, self.session_id, &self.agent_id, self.attempt);
        let (status, error) = (self.status.as_str(), self.error.as_deref());
        span.in_scope(|| tracing::info!(finished = true, status, error, "delivered"));
    }
}

/// What the lines of a delivery have in common.
fn delivery_span(id: Uuid, org_id: Uuid, session_id: Uuid, agent_id: &str, attempt: u32) -> tracing::Span {
    tracing::info_span!(
        target: TARGET, "delivery",
        delivery_id = %id, %org_id, %session_id, agent_id, attempt,
    )
}

impl DispatchReport {
    fn count(&mut self, status: &str) {
        *match status {
            "done" => &mut self.done,
            "asked" => &mut self.asked,
            "pending" => &mut self.again,
            "dead" => &mut self.dead,
            "unknown" => &mut self.unknown,
            _ => &mut self.passed_over,
        } += 1;
    }
}
