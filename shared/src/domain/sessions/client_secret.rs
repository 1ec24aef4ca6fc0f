//! The ChatKit session of one of ours: handed out again where one is live, otherwise opened, recorded and sealed.
//!
//! The order is record, OpenAI, record: a request stands in the database before OpenAI is asked, so no ChatKit session
//! can be live without a row that knows of it.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{OpenedSession, Session, SessionRef, SessionStatus};
use crate::{
    clients::{
        openai::{self as chatkit, ChatKit},
        supabase::ServiceClient,
    },
    domain::RequestContext,
    error::{Error, ErrorCode},
    platform::{
        parse::Timestamp,
        sealing::{AssociatedData, Sealed, Sealer},
        secret::{Secret, serialize_exposed},
    },
};

/// What the browser connects to ChatKit with. The only type that serialises a client secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// ChatKit's id of its session.
    pub session_id: String,
    /// The secret itself.
    #[serde(serialize_with = "serialize_exposed")]
    pub client_secret: Secret,
    /// When it runs out.
    pub expires_at: Timestamp,
    /// When the browser should ask for the next one.
    pub refresh_after: Timestamp,
}

/// How long before the end the browser should ask for another.
const REFRESH_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Time kept back for putting things right when OpenAI fails.
const RESERVE: Duration = Duration::from_secs(3);

/// Gives the session a client secret. `first` says that the session was opened just now: it ends if it cannot get one.
///
/// # Errors
/// What ChatKit failed with; `session_ended` where the session ended while ChatKit was asked.
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
            // Active, it is in the hands of a later attempt that took this one for dead, or of another agent.
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

/// What recording came to.
#[derive(Deserialize)]
struct RecordResult {
    recorded: bool,
    session: Session,
}

/// A request to ChatKit that is on record.
struct PendingRequest<'a> {
    service_client: &'a ServiceClient,
    context: &'a RequestContext,
    session_id: Uuid,
    request_id: Uuid,
}

impl PendingRequest<'_> {
    /// Records the ChatKit session with its sealed secret, unless the session has ended meanwhile or this attempt was overtaken.
    async fn record(&self, sealer: &Sealer, new: &chatkit::ChatKitSession) -> Result<RecordResult, Error> {
        #[derive(Serialize)]
        struct Arguments<'a> {
            p_org_id: Uuid,
            p_session_id: Uuid,
            p_chatkit_request_id: Uuid,
            p_chatkit_session_id: &'a str,
            p_expires_at: Timestamp,
            p_sealed_secret: String,
            p_sealing_key_id: String,
        }
        let Sealed { text, key_id } = sealer
            .seal(&new.client_secret, associated_data(self.context, self.session_id, &new.id))
            .ok_or_else(|| Error::new(ErrorCode::Internal).cause("sealing failed"))?;
        let arguments = Arguments {
            p_org_id: self.context.caller.org_id,
            p_session_id: self.session_id,
            p_chatkit_request_id: self.request_id,
            p_chatkit_session_id: &new.id,
            p_expires_at: new.expires_at,
            p_sealed_secret: text,
            p_sealing_key_id: key_id,
        };
        let deadline = self.context.deadline.minus(RESERVE / 2);
        Ok(self.service_client.rpc_until_recorded("record_chatkit_session", &arguments, deadline).await?)
    }

    /// Notes that nothing came of it. Should this fail too, the row still says that ChatKit was asked, and when.
    async fn record_failure(&self, end_session: bool) {
        let arguments = json!({
            "p_org_id": self.context.caller.org_id,
            "p_session_id": self.session_id,
            "p_chatkit_request_id": self.request_id,
            "p_end_session": end_session,
        });
        let noted = self.service_client.rpc::<serde::de::IgnoredAny>(
            "fail_chatkit_session",
            &arguments,
            self.context.deadline,
        );
        if let Err(error) = noted.await {
            tracing::warn!(session_id = %self.session_id, %error, "a failed ChatKit request could not be noted");
        }
    }
}

/// Cancels a ChatKit session that no one may use, and notes that.
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
