//! Stopping the answers that are being written in a self-hosted session, at its user's request.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clients::supabase::{Rpc, ServiceClient},
    domain::RequestContext,
    error::Error,
};

/// The result of a request to stop, as the API returns it.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StopResult {
    session_id: Uuid,
    /// Number of answers that were running and are asked to stop. A repeated request counts them
    /// again, until they have stopped.
    stopping: u32,
}

#[derive(Serialize)]
struct StopResponseCall {
    p_session_id: Uuid,
}

impl Rpc for StopResponseCall {
    const NAME: &'static str = "stop_response";
    type Output = StopResponseOutput;
}

#[derive(Deserialize)]
struct StopResponseOutput {
    session: StoppedSession,
    stopping: u32,
}

#[derive(Deserialize)]
struct StoppedSession {
    id: Uuid,
}

/// Asks the running answers of a session to stop. Has no effect if none is running.
///
/// # Errors
/// Returns `session_not_found` if the session does not exist or is not the caller's.
pub async fn stop_response(
    service_client: &ServiceClient,
    context: &RequestContext,
    session_id: Uuid,
) -> Result<StopResult, Error> {
    let call = context.on_behalf(StopResponseCall { p_session_id: session_id });
    let output = service_client.rpc(&call, context.deadline).await?;
    Ok(StopResult { session_id: output.session.id, stopping: output.stopping })
}
