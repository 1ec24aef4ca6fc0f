//! Erasure of a user: all data of the user in an organisation, and the user's threads at ChatKit.
//!
//! The request is recorded first; from then on nothing new begins for that user. Then the user's
//! sessions end and are cancelled at ChatKit, the threads are deleted there, the rows are erased,
//! and last the name under which ChatKit knows the user. If a step fails or the process dies,
//! repeating the request resumes the erasure where it stopped, and so do the maintenance runs.

mod database;
mod openai;

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clients::{
        openai::ChatKit,
        supabase::{Rpc, ServiceClient},
    },
    error::{Error, ErrorCode},
    platform::{
        http_client::Deadline,
        parse::{StrictUuid, Timestamp},
    },
};

/// Time reserved for the last step to finish.
const RESERVE: Duration = Duration::from_secs(10);

/// An operator's request to erase a user.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ErasureRequest {
    /// The organisation in which the user is erased. In other organisations the user id is another
    /// user.
    #[serde(deserialize_with = "StrictUuid::field")]
    pub org_id: Uuid,
    #[serde(deserialize_with = "StrictUuid::field")]
    pub user_id: Uuid,
    /// The person who requests the erasure.
    pub requested_by: String,
    /// The reason, for the audit record.
    pub reason: String,
}

/// An erasure, with the fields that may be logged. The requester and the reason are only in the
/// record.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Erasure {
    pub id: Uuid,
    pub org_id: Uuid,
    pub user_id: Uuid,
    pub started_at: Timestamp,
    /// Time at which nothing was left.
    pub finished_at: Option<Timestamp>,
    pub counts: Counts,
}

/// Number of erased rows by kind. Rows that only serve operation are not counted.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct Counts {
    #[serde(rename(deserialize = "chat_sessions"))]
    sessions: u64,
    #[serde(rename(deserialize = "chat_events"))]
    events: u64,
    #[serde(rename(deserialize = "chat_messages"))]
    messages: u64,
    #[serde(rename(deserialize = "chat_tasks"))]
    tasks: u64,
    #[serde(rename(deserialize = "chat_escalations"))]
    escalations: u64,
    deliveries: u64,
    threads: u64,
    /// Threads that OpenAI lists but refused to delete.
    #[serde(rename(serialize = "undeletedThreads"), skip_serializing_if = "Option::is_none")]
    undeleted_threads: Option<u64>,
}

/// An erasure that is recorded but may not be finished.
#[derive(Debug, Deserialize)]
pub struct PendingErasure {
    erasure: Erasure,
    /// The name under which ChatKit knows the user; `None` if ChatKit was never used.
    chatkit_user: Option<String>,
    /// Whether ChatKit may have data of the user.
    at_chatkit: bool,
}

impl PendingErasure {
    pub fn id(&self) -> Uuid {
        self.erasure.id
    }
}

#[derive(Serialize)]
struct BeginErasureCall<'a> {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_requested_by: &'a str,
    p_reason: &'a str,
}

impl Rpc for BeginErasureCall<'_> {
    const NAME: &'static str = "begin_erasure";
    type Output = PendingErasure;
}

/// Erases a user on an operator's request. Repeating the request resumes the erasure, or returns
/// the finished record.
///
/// # Errors
/// Returns `user_not_found` if the organisation has no data of the user, otherwise an error of
/// Supabase or ChatKit, or `deadline_exceeded`. The erasure can be resumed.
pub async fn erase(
    request: &ErasureRequest,
    service_client: &ServiceClient,
    chatkit: Option<&ChatKit>,
    deadline: Deadline,
) -> Result<Erasure, Error> {
    let begun = begin(service_client, request, deadline).await?;
    run(begun, service_client, chatkit, deadline, deadline.minus(RESERVE)).await
}

/// Records a request, or finds the erasure in progress.
///
/// # Errors
/// Returns `user_not_found` if the organisation has no data of the user.
async fn begin(
    service_client: &ServiceClient,
    request: &ErasureRequest,
    deadline: Deadline,
) -> Result<PendingErasure, Error> {
    let call = BeginErasureCall {
        p_org_id: request.org_id,
        p_user_id: request.user_id,
        p_requested_by: &request.requested_by,
        p_reason: &request.reason,
    };
    Ok(service_client.rpc(&call, deadline).await?)
}

/// Continues an erasure from the step where it stopped. No step begins after `until`. Returns the
/// finished erasure.
///
/// # Errors
/// Returns an error of Supabase or ChatKit, or `deadline_exceeded`. The erasure can be resumed.
pub async fn run(
    begun: PendingErasure,
    service_client: &ServiceClient,
    chatkit: Option<&ChatKit>,
    deadline: Deadline,
    until: Deadline,
) -> Result<Erasure, Error> {
    let PendingErasure { erasure, chatkit_user, at_chatkit } = begun;
    if erasure.finished_at.is_some() {
        return Ok(erasure);
    }
    if at_chatkit && chatkit.is_none() {
        let detail = "ChatKit is not configured, but may have data of this user.";
        return Err(Error::new(ErrorCode::ChatkitUnavailable).detail(detail));
    }
    let org_id = erasure.org_id;
    let user_id = erasure.user_id;
    let user = chatkit_user.as_deref();
    let run = ErasureRun { org_id, user_id, user, service_client, chatkit, deadline, until };
    run.end_sessions().await?;
    tracing::debug!("sessions ended");
    let refused = run.delete_threads().await?;
    run.erase_rows().await?;
    run.finish(&refused).await
}

/// One attempt at an erasure.
#[derive(Clone, Copy)]
struct ErasureRun<'a> {
    org_id: Uuid,
    user_id: Uuid,
    /// The name under which ChatKit knows the user.
    user: Option<&'a str>,
    service_client: &'a ServiceClient,
    chatkit: Option<&'a ChatKit>,
    deadline: Deadline,
    until: Deadline,
}

impl ErasureRun<'_> {
    /// Returns `deadline_exceeded` if no time is left for another batch.
    fn check_time_left(&self) -> Result<(), Error> {
        let detail = "expire-sessions continues the erasure. Repeat the request to see the result.";
        if self.until.remaining().is_zero() {
            return Err(Error::new(ErrorCode::DeadlineExceeded).detail(detail));
        }
        Ok(())
    }
}
