//! Dispatch of events to agents (the orchestrator).
//!
//! A delivery takes one event to one tool of one agent. The database decides which deliveries
//! exist, which is due, and whether a person must approve it first. The dispatcher makes the calls
//! and records the results. Each claim has a lease and a fencing token; a result that comes after
//! the lease has expired is ignored.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use tracing::Instrument;
use uuid::Uuid;

use crate::{
    clients::{
        mcp,
        openai::ChatKit,
        supabase::{Rpc, ServiceClient},
    },
    domain::{
        deliveries::{Delivery, RpcOutcome},
        sessions,
    },
    error::Error,
    jobs::{FailedJob, Run},
    platform::{http_client::Deadline, telemetry::TARGET},
};

/// Maximum number of concurrent calls. Calls mostly wait for agents, which costs next to nothing.
const CONCURRENCY: usize = 16;

/// Upper bound of a call: the longest timeout of the registry, closing the connection to the
/// server, and recording the result.
const LONGEST_CALL: Duration = Duration::from_secs(64);

/// Lease of a claim, in seconds: longer than any call.
const LEASE_SECONDS: u32 = 90;

/// Results are no longer recorded when this little of the lease is left.
const LEASE_RESERVE: Duration = Duration::from_secs(3);

/// Time for which a claim is retried, for every response of Supabase.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval at which new work is claimed while calls are in progress and none finishes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Longest wait for the next due delivery. What is due later is left to a later run.
const MAX_IDLE_WAIT: Duration = Duration::from_secs(5);

/// Shortest wait. A session that is locked for a moment is reported as due at once.
const MIN_WAIT: Duration = Duration::from_millis(100);

pub struct Dispatcher {
    pub service_client: ServiceClient,
    /// Cancels the ChatKit sessions of an agent that hands a session over; `None` if ChatKit is not
    /// configured.
    pub chatkit: Option<ChatKit>,
    pub agents: mcp::Client,
}

/// Counts of one run of the dispatcher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DispatchReport {
    pub called: u64,
    /// Deliveries whose call succeeded.
    pub done: u64,
    /// Deliveries that wait for a human decision.
    pub asked: u64,
    /// Deliveries that will be retried.
    pub again: u64,
    /// Deliveries that failed permanently: dead letters.
    pub dead: u64,
    /// Deliveries with an unknown outcome: the call may have been executed.
    pub unknown: u64,
    /// Deliveries that another run took over, or whose session ended meanwhile.
    pub superseded: u64,
}

#[derive(Serialize)]
struct ClaimDeliveriesCall {
    p_limit: usize,
    p_lease_seconds: u32,
    p_claim_id: Uuid,
}

impl Rpc for ClaimDeliveriesCall {
    const NAME: &'static str = "claim_deliveries";
    type Output = ClaimedDeliveries;
}

#[derive(Deserialize)]
struct ClaimedDeliveries {
    deliveries: Vec<Delivery>,
    /// Deliveries that the database closed without a call.
    settled: Vec<ClosedDelivery>,
    next_due_in_seconds: Option<f64>,
}

/// A delivery that the database closed during a claim: its lease expired, a policy forbids the
/// call, or a person must approve it first.
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

impl Dispatcher {
    /// Delivers until nothing is due or no time is left for another call. A failed delivery does
    /// not stop the others. A claimed delivery is free again when its lease expires.
    pub async fn run(&self, deadline: Deadline) -> Run<DispatchReport> {
        let mut report = DispatchReport::default();
        let mut running = FuturesUnordered::new();
        let mut failed_claim = None;
        let mut failed_delivery = None;
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
                    // Calls in progress are still recorded.
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
                            .filter_map(|(job, error)| Some(FailedJob { job, error: error? }));
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
                    tracing::warn!(%error, "a delivery failed; the others continue");
                    failed_delivery.get_or_insert(error);
                }
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn claim(&self, limit: usize, deadline: Deadline) -> Result<ClaimedDeliveries, Error> {
        let call = ClaimDeliveriesCall {
            p_limit: limit,
            p_lease_seconds: LEASE_SECONDS,
            p_claim_id: Uuid::now_v7(),
        };
        // A claim is retried under its own id. If only the response was lost, the retry returns the
        // same deliveries, which would otherwise wait for their lease to expire.
        Ok(self.service_client.rpc_until_recorded(&call, deadline.capped(CLAIM_TIMEOUT)).await?)
    }

    /// Delivers within a span, which adds the delivery's ids to the log records.
    async fn deliver_traced(&self, claimed: Delivery, deadline: Deadline) -> Result<String, Error> {
        let Delivery { id, org_id, session_id, ref agent_id, attempt, .. } = claimed;
        let span = delivery_span(id, org_id, session_id, agent_id, attempt);
        self.deliver(claimed, deadline).instrument(span).await
    }

    async fn deliver(&self, claimed: Delivery, deadline: Deadline) -> Result<String, Error> {
        let lease = deadline.capped(claimed.lease()).minus(LEASE_RESERVE);
        let outcome = claimed.call(&self.agents, deadline).await;
        let error = outcome.as_ref().err().map(mcp::CallError::code);
        let outcome = RpcOutcome::new(outcome, claimed.idempotent);
        let finished = claimed.record(&self.service_client, &outcome, lease).await?;
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
}

impl ClosedDelivery {
    /// Writes the same log record as for a delivery with a call.
    fn log(&self) {
        let span = delivery_span(self.id, self.org_id, self.session_id, &self.agent_id, self.attempt);
        let status = self.status.as_str();
        let error = self.error.as_deref();
        span.in_scope(|| tracing::info!(finished = true, status, error, "delivered"));
    }
}

/// Creates the span with the fields that all log records of a delivery have.
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
            _ => &mut self.superseded,
        } += 1;
    }
}
