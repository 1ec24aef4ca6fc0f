//! Client secrets: reuses a live ChatKit session, or creates one, seals its secret and records it.
//!
//! The order is record, create, record. The request is recorded before it is sent to OpenAI, so
//! every live ChatKit session has a row. Secrets of self-hosted agents take the same way.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::{
    OpenedSession, Provider, Providers, Session, SessionRef, SessionStatus,
    provider::{Connection, NewChatKitSession, SessionProvider},
};
use crate::{
    clients::supabase::{Rpc, ServiceClient},
    domain::RequestContext,
    error::{Error, ErrorCode},
    platform::{
        parse::Timestamp,
        sealing::{AssociatedData, Sealed, Sealer},
        secret::{Secret, serialize_exposed},
        secret_store::Rotating,
    },
};

/// Credentials with which the browser connects to ChatKit. The only type that serialises a client
/// secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    #[serde(flatten)]
    pub connection: Connection,
    /// Id of the ChatKit session.
    pub session_id: String,
    #[serde(serialize_with = "serialize_exposed")]
    pub client_secret: Secret,
    pub expires_at: Timestamp,
    /// Time at which the browser should request the next secret.
    pub refresh_after: Timestamp,
}

/// Time before expiry at which the browser should request the next secret.
const REFRESH_MARGIN: SignedDuration = SignedDuration::from_secs(60);

/// Time reserved for recording a failure if the provider fails.
const RESERVE: Duration = Duration::from_secs(3);

/// Issues the client secrets of every provider that the deployment has configured.
pub struct ClientSecretIssuer {
    pub providers: Providers,
    pub sealer: Rotating<Sealer>,
}

impl ClientSecretIssuer {
    /// Returns the names of the configured providers.
    pub fn providers(&self) -> Vec<Provider> {
        self.providers.names()
    }

    /// Issues a client secret for a session, or returns `None` if its provider is not configured.
    /// `first` is true if the session was opened by this request; such a session ends if it gets no
    /// secret.
    ///
    /// # Errors
    /// Returns the error of ChatKit, `session_ended` if the session ended during the request, and
    /// `still_running` if another attempt replaced this one.
    pub async fn issue(
        &self,
        service_client: &ServiceClient,
        context: &RequestContext,
        opened: &OpenedSession,
        first: bool,
    ) -> Result<Option<ClientSecret>, Error> {
        let Some(provider) = self.providers.select(&opened.upstream) else { return Ok(None) };
        if let Some(again) = self.reuse_live_secret(&provider, context, opened).await {
            return Ok(Some(again));
        }
        if opened.live.is_none() {
            return self.create(&provider, service_client, context, opened, first).await.map(Some);
        }
        tracing::warn!("a sealed secret cannot be opened: its key is not configured any more");
        let names = self.providers();
        let renewed = super::open::force_renew(service_client, context, opened.session.id, &names).await?;
        let Some(provider) = self.providers.select(&renewed.upstream) else { return Ok(None) };
        self.create(&provider, service_client, context, &renewed, first).await.map(Some)
    }

    /// Creates a ChatKit session and records it, or records that it failed.
    async fn create(
        &self,
        provider: &SessionProvider<'_>,
        service_client: &ServiceClient,
        context: &RequestContext,
        opened: &OpenedSession,
        first: bool,
    ) -> Result<ClientSecret, Error> {
        let request_id = opened.request_id.ok_or_else(|| Error::new(ErrorCode::Internal))?;
        let session_id = opened.session.id;
        let asked = PendingRequest { service_client, context, session_id, request_id };
        let new = match provider.create(context.deadline.minus(RESERVE)).await {
            Ok(new) => new,
            Err(error) => {
                asked.record_failure(first).await;
                return Err(error);
            }
        };
        let of = SessionRef::of_caller(context, session_id);
        match asked.record(&self.sealer.current(), &new).await {
            Ok(RecordResult { recorded: true, expires_at, .. }) => {
                Ok(client_secret(provider, new.id, new.client_secret, expires_at))
            }
            Ok(RecordResult { session, .. }) => {
                provider.discard(service_client, of, &new.id).await;
                // If the session is active, a later attempt considered this one dead and replaced
                // it, or another agent took over the session.
                match session.status {
                    SessionStatus::Active => {
                        Err(Error::new(ErrorCode::StillRunning).retry_after(Some(Duration::from_secs(1))))
                    }
                    SessionStatus::Ended => Err(Error::new(ErrorCode::SessionEnded)),
                }
            }
            Err(error) => {
                provider.discard(service_client, of, &new.id).await;
                asked.record_failure(first).await;
                Err(error)
            }
        }
    }

    async fn reuse_live_secret(
        &self,
        provider: &SessionProvider<'_>,
        context: &RequestContext,
        opened: &OpenedSession,
    ) -> Option<ClientSecret> {
        let live = opened.live.as_ref()?;
        let belongs = associated_data(context, opened.session.id, &live.chatkit_session_id);
        // Another instance may have sealed it with a key that this one does not have yet.
        let text = self.sealer.find(|sealer| sealer.open(&live.sealed, belongs)).await?;
        Some(client_secret(provider, live.chatkit_session_id.clone(), text, live.expires_at))
    }
}

#[derive(Serialize)]
struct RecordChatKitSessionCall<'a> {
    p_org_id: Uuid,
    p_session_id: Uuid,
    p_chatkit_request_id: Uuid,
    p_chatkit_session_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_expires_at: Option<Timestamp>,
    p_sealed_secret: String,
    p_sealing_key_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_secret_hash: Option<&'a str>,
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
    expires_at: Timestamp,
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
    async fn record(&self, sealer: &Sealer, new: &NewChatKitSession) -> Result<RecordResult, Error> {
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
            p_secret_hash: new.secret_hash.as_deref(),
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

fn associated_data<'a>(
    context: &RequestContext,
    session_id: Uuid,
    chatkit_session_id: &'a str,
) -> AssociatedData<'a> {
    AssociatedData { org_id: context.caller.org_id, session_id, chatkit_session_id }
}

fn client_secret(
    provider: &SessionProvider<'_>,
    session_id: String,
    client_secret: Secret,
    expires_at: Timestamp,
) -> ClientSecret {
    let refresh_after = expires_at.saturating_sub(REFRESH_MARGIN);
    ClientSecret { connection: provider.connection(), session_id, client_secret, expires_at, refresh_after }
}
