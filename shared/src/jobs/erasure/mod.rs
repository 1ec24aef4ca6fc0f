//! Erasing a person: all that is kept of them in an organisation, and their threads at ChatKit.
//!
//! The order goes on record first; from then on nothing begins for that person. Then their sessions end and are cancelled at
//! ChatKit, their threads are deleted there, the rows go, and last the name under which ChatKit knew them. Whatever fails or
//! dies in between, ordering it again takes it up where it stopped, and so do the rounds of upkeep.

mod database;
mod openai;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use crate::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    error::{Error, ErrorCode},
    platform::{
        http_client::Deadline,
        parse::{StrictUuid, Timestamp},
    },
};

/// What an operator orders.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ErasureRequest {
    /// The organisation in which the person is erased; elsewhere they are somebody else.
    #[serde(deserialize_with = "StrictUuid::field")]
    pub org_id: Uuid,
    /// Who is erased.
    #[serde(deserialize_with = "StrictUuid::field")]
    pub user_id: Uuid,
    /// Who wants it.
    pub requested_by: String,
    /// Why, for whoever reads the record in years to come.
    pub reason: String,
}

/// An erasure, as far as it may stand in a log: who wanted it and why stays in the record.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct Erasure {
    /// Its id.
    pub id: Uuid,
    /// The organisation.
    pub org_id: Uuid,
    /// Who was erased.
    pub user_id: Uuid,
    /// When it began.
    pub started_at: Timestamp,
    /// When nothing was left.
    pub finished_at: Option<Timestamp>,
    /// How much was erased.
    pub counts: Counts,
}

/// How much was erased, by kind. What is only there to run the service is not counted.
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
    /// Threads that OpenAI lists and does not delete.
    #[serde(rename(serialize = "undeletedThreads"), skip_serializing_if = "Option::is_none")]
    undeleted_threads: Option<u64>,
}

/// An erasure that is under way.
#[derive(Debug, Deserialize)]
pub struct PendingErasure {
    erasure: Erasure,
    /// Under which name ChatKit knows the person; none if it never did.
    chatkit_user: Option<String>,
    /// Whether something of theirs may be there.
    at_chatkit: bool,
}

impl PendingErasure {
    /// Which erasure it is.
    pub fn id(&self) -> Uuid {
        self.erasure.id
    }
}

/// Puts an order on record, or finds the erasure that is under way.
///
/// # Errors
/// `user_not_found`, if nothing is known of the person.
pub async fn begin(
    service_client: &ServiceClient,
    order: &ErasureRequest,
    deadline: Deadline,
) -> Result<PendingErasure, Error> {
    let arguments = json!({
        "p_org_id": order.org_id,
        "p_user_id": order.user_id,
        "p_requested_by": order.requested_by,
        "p_reason": order.reason,
    });
    Ok(service_client.rpc("begin_erasure", &arguments, deadline).await?)
}

/// Carries out what was begun, from wherever it stopped; no step begins after `until`. The answer is a finished erasure; everything
/// else is an error.
///
/// # Errors
/// Those of Supabase and ChatKit, and `deadline_exceeded`: it is to be taken up again.
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
        let detail = "ChatKit is not configured here, and something of this person's is there.";
        return Err(Error::new(ErrorCode::ChatkitUnavailable).detail(detail));
    }
    let (org_id, user_id) = (erasure.org_id, erasure.user_id);
    let user = chatkit_user.as_deref();
    let round = ErasureRun { org_id, user_id, user, service_client, chatkit, deadline, until };
    round.end_sessions().await?;
    let refused = round.delete_threads().await?;
    round.erase_rows().await?;
    round.finish(&refused).await
}

/// One attempt at an erasure.
#[derive(Clone, Copy)]
struct ErasureRun<'a> {
    org_id: Uuid,
    user_id: Uuid,
    /// Under which name ChatKit knows the person.
    user: Option<&'a str>,
    service_client: &'a ServiceClient,
    chatkit: Option<&'a ChatKit>,
    deadline: Deadline,
    until: Deadline,
}

impl ErasureRun<'_> {
    /// Refuses to begin with another batch when there is no time for it.
    fn check_time_left(&self) -> Result<(), Error> {
        let detail = "The rounds of expire-sessions go on with it; order it again to see it finished.";
        let late = || Error::new(ErrorCode::DeadlineExceeded).detail(detail);
        (!self.until.remaining().is_zero()).then_some(()).ok_or_else(late)
    }
}
