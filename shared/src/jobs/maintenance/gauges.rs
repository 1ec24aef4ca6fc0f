//! Gauges for an operator's dashboard: open escalations, the oldest delivery that waits, and dead
//! letters.

use serde::{Deserialize, Serialize};

use super::MaintenanceReport;
use crate::{
    clients::supabase::{Rpc, ServiceClient},
    error::Error,
    platform::http_client::Deadline,
};

#[derive(Serialize)]
struct ServiceStateCall {}

#[derive(Deserialize)]
struct ServiceState {
    open_escalations: u64,
    oldest_undelivered_seconds: u64,
    dead_deliveries: u64,
}

impl Rpc for ServiceStateCall {
    const NAME: &'static str = "service_state";
    type Output = ServiceState;
}

/// Reads the gauges, once per run.
pub(super) async fn collect_gauges(
    service_client: &ServiceClient,
    deadline: Deadline,
    report: &mut MaintenanceReport,
) -> Result<(), Error> {
    let state = service_client.rpc(&ServiceStateCall {}, deadline).await?;
    report.open_escalations = state.open_escalations;
    report.oldest_undelivered_seconds = state.oldest_undelivered_seconds;
    report.dead_deliveries = state.dead_deliveries;
    Ok(())
}
