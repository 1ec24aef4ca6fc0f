//! Client secrets: reuses a live ChatKit session, or creates one, seals its secret and records it.
//!
//! The order is record, OpenAI, record. The request is recorded before it is sent to OpenAI, so
//! every live ChatKit session has a row.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::{OpenedSession, Session, SessionRef, SessionStatus};
use crate::{
    clients::{
        openai::{self as chatkit, ChatKit},
        supabase::{Rpc, ServiceClient},
    },
    domain::RequestContext,
    error::{Error, ErrorCode},
    platform::{
        parse::Timestamp,
        sealing::{AssociatedData, Sealed, Sealer},
        secret::{Secret, serialize_exposed},
    },
};

/// Credentials with which the browser connects to ChatKit. The only type that serialises a client
/// secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// Id of the ChatKit session, issued by OpenAI.
    pub session_id: String,
    #[serde(serialize_with = "serialize_exposed")]
    pub client_secret: Secret,
    pub expires_at: Timestamp,
    /// Time at which the browser should request the next secret.
    pub refresh_after: Timestamp,
}

/// How long before expiry the browser should request the next secret.
const REFRESH_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Time reserved for recording a failure if OpenAI fails.
const RESERVE: Duration = Duration::from_secs(3);

/// Issues a client secret for a session. `first` is true if the session was opened by this request;
/// such a session ends if it gets no secret.
///
/// # Errors
/// Returns the error of ChatKit, `session_ended` if the session ended during the request to
/// ChatKit, and `still_running` if another attempt replaced this one.
pub async fn issue_client_secret(
    (chatkit, service_client, sealer): (&ChatKit, &ServiceClient, &Sealer),
    context: &RequestContext,
    opened: &OpenedSession,
    first: bool,
) -> Result<ClientSecret, Error> {
    let renewed;
    let opened = match reuse_live_secret(sealer, context, opened) {
        Some(again) => return Ok(again),
        None if opened.live.is_some() => {
            tracing::warn!("a sealed secret cannot be opened: its key is not configured any more");
            renewed = super::open::force_renew(service_client, context, opened.session.id).await?;
            &renewed
        }
        None => opened,
    };
    let request_id = opened.request_id.ok_or_else(|| Error::new(ErrorCode::Internal))?;
    let asked = PendingRequest { service_client, context, session_id: opened.session.id, request_id };
    let new = match chatkit.create_session(&opened.upstream, context.deadline.minus(RESERVE)).await {
        Ok(new) => new,
        Err(error) => {
            asked.record_failure(first).await;
            return Err(error.into());
        }
    };
    match asked.record(sealer, &new).await {
        Ok(RecordResult { recorded: true, .. }) => {
            Ok(client_secret(new.id, new.client_secret, new.expires_at))
        }
        Ok(RecordResult { session, .. }) => {
            cancel_unrecorded(chatkit, &asked, &new.id).await;
            // If the session is active, a later attempt considered this one dead and replaced it,
            // or another agent took over the session.
            match session.status {
                SessionStatus::Active => {
                    Err(Error::new(ErrorCode::StillRunning).retry_after(Some(Duration::from_secs(1))))
                }
                SessionStatus::Ended => Err(Error::new(ErrorCode::SessionEnded)),
            }
        }
        Err(error) => {
            cancel_unrecorded(chatkit, &asked, &new.id).await;
            asked.record_failure(first).await;
            Err(error)
        }
    }
}

#[derive(Serialize)]
struct RecordChatKitSessionCall<'a> {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_chatkit_request_id: Uuid,
    p_chatkit_session_id: &'a str,
    p_expires_at: Timestamp,
    p_sealed_secret: String,
    p_sealing_key_id: String,
}

impl Rpc for RecordChatKitSessionCall<'_> {
    const NAME: &'static str = "record_chatkit_session";
    type Output = RecordResult;
}

#[derive(Serialize)]
struct FailChatKitSessionCall {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_chatkit_request_id: Uuid,
    p_end_session: bool,
}

impl Rpc for FailChatKitSessionCall {
    const NAME: &'static str = "fail_chatkit_session";
    type Output = IgnoredAny;
}

/// Result of recording a ChatKit session.
#[derive(Deserialize)]
struct RecordResult {
    recorded: bool,
    session: Session,
}

/// A recorded request to create a ChatKit session.
struct PendingRequest<'a> {
    service_client: &'a ServiceClient,
    context: &'a RequestContext,
    session_id: Uuid,
    request_id: Uuid,
}

impl PendingRequest<'_> {
    /// Records the ChatKit session with its sealed secret, unless the session has ended or another
    /// attempt has replaced this one.
    async fn record(&self, sealer: &Sealer, new: &chatkit::ChatKitSession) -> Result<RecordResult, Error> {
        let Sealed { text, key_id } = sealer
            .seal(&new.client_secret, associated_data(self.context, self.session_id, &new.id))
            .ok_or_else(|| Error::new(ErrorCode::Internal).cause("sealing failed"))?;
        let call = RecordChatKitSessionCall {
            p_org_id: self.context.caller.org_id,
            p_session_id: self.session_id,
            p_chatkit_request_id: self.request_id,
            p_chatkit_session_id: &new.id,
            p_expires_at: new.expires_at,
            p_sealed_secret: text,
            p_sealing_key_id: key_id,
        };
        let deadline = self.context.deadline.minus(RESERVE / 2);
        Ok(self.service_client.rpc_until_recorded(&call, deadline).await?)
    }

    /// Records that the request failed. If this fails too, the row still shows that the request was
    /// started, and when.
    async fn record_failure(&self, end_session: bool) {
        let call = FailChatKitSessionCall {
            p_org_id: self.context.caller.org_id,
            p_session_id: self.session_id,
            p_chatkit_request_id: self.request_id,
            p_end_session: end_session,
        };
        if let Err(error) = self.service_client.rpc(&call, self.context.deadline).await {
            let session_id = self.session_id;
            tracing::warn!(%session_id, %error, "a failed ChatKit request could not be recorded");
        }
    }
}

/// Cancels a ChatKit session that was not recorded and must not be used, and records that.
async fn cancel_unrecorded(chatkit: &ChatKit, asked: &PendingRequest<'_>, chatkit_session_id: &str) {
    let ids = [chatkit_session_id.to_owned()];
    super::cancel_chatkit_sessions(
        chatkit,
        asked.service_client,
        SessionRef::of_caller(asked.context, asked.session_id),
        &ids,
    )
    .await;
}

fn reuse_live_secret(
    sealer: &Sealer,
    context: &RequestContext,
    opened: &OpenedSession,
) -> Option<ClientSecret> {
    let live = opened.live.as_ref()?;
    let belongs = associated_data(context, opened.session.id, &live.chatkit_session_id);
    let text = sealer.open(&live.sealed, belongs)?;
    Some(client_secret(live.chatkit_session_id.clone(), text, live.expires_at))
}

fn associated_data<'a>(
    context: &RequestContext,
    session_id: Uuid,
    chatkit_session_id: &'a str,
) -> AssociatedData<'a> {
    AssociatedData { org_id: context.caller.org_id, session_id, chatkit_session_id }
}

fn client_secret(session_id: String, client_secret: Secret, expires_at: Timestamp) -> ClientSecret {
    let refresh_after = expires_at.saturating_sub(REFRESH_MARGIN);
    ClientSecret { session_id, client_secret, expires_at, refresh_after }
}
