//! Dead letters and deliveries of unknown outcome: listing and replaying them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clients::supabase::{Error, Rpc, ServiceClient},
    platform::{http_client::Deadline, parse::Timestamp},
};

/// A page of dead letters and deliveries of unknown outcome.
#[derive(Debug, Deserialize)]
pub struct DeadDeliveries {
    pub deliveries: Vec<DeadDelivery>,
    /// The id after which the next page begins.
    pub next: Option<Uuid>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct DeadDelivery {
    pub id: Uuid,
    pub org_id: Uuid,
    pub user_id: Uuid,
    pub session_id: Uuid,
    /// The idempotency key of the call.
    pub event_id: Uuid,
    pub agent_id: String,
    pub tool: String,
    /// `dead` or `unknown`.
    pub status: String,
    pub error: Option<String>,
    pub attempts: i32,
    pub depth: i32,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct ListDeadDeliveriesCall {
    p_org_id: Uuid,
    p_limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_after: Option<Uuid>,
}

impl Rpc for ListDeadDeliveriesCall {
    const NAME: &'static str = "list_dead_deliveries";
    type Output = DeadDeliveries;
}

#[derive(Serialize)]
struct ReplayDeliveryCall {
    p_org_id: Uuid,
    p_delivery_id: Uuid,
}

#[derive(Deserialize)]
struct ReplayedDelivery {
    replayed: bool,
}

impl Rpc for ReplayDeliveryCall {
    const NAME: &'static str = "replay_delivery";
    type Output = ReplayedDelivery;
}

/// Lists dead letters and deliveries of unknown outcome, the newest first: at most 1000, beginning
/// after an id.
///
/// # Errors
/// Returns an error of Supabase.
pub async fn list_dead_deliveries(
    service_client: &ServiceClient,
    org_id: Uuid,
    limit: u32,
    after: Option<Uuid>,
    deadline: Deadline,
) -> Result<DeadDeliveries, Error> {
    let call = ListDeadDeliveriesCall { p_org_id: org_id, p_limit: limit, p_after: after };
    service_client.rpc(&call, deadline).await
}

/// Queues a dead letter or a delivery of unknown outcome again. Returns `false` if it was already
/// queued.
///
/// # Errors
/// Returns `delivery_not_found`, `delivery_not_dead` with its status, or `session_ended`.
pub async fn replay_delivery(
    service_client: &ServiceClient,
    org_id: Uuid,
    delivery_id: Uuid,
    deadline: Deadline,
) -> Result<bool, Error> {
    let call = ReplayDeliveryCall { p_org_id: org_id, p_delivery_id: delivery_id };
    Ok(service_client.rpc(&call, deadline).await?.replayed)
}
