//! The ChatKit session of one of ours: handed out again where one is live, otherwise opened, recorded and sealed.
//!
//! The order is record, OpenAI, record: a request stands in the database before OpenAI is asked, so no ChatKit session
//! can be live without a row that knows of it.

use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{Of, Opened, Session, Status};
use crate::{
    clients::{
        openai::{self as chatkit, ChatKit},
        supabase::Writer,
    },
    domain::Call,
    error::{Code, Error},
    platform::{
        parse::Timestamp,
        sealing::{Belongs, Sealed, Sealer},
        secret::{Secret, serialize_for_its_owner},
    },
};

/// What the browser connects to ChatKit with. The only type that serialises a client secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClientSecret {
    /// ChatKit's id of its session.
    pub session_id: String,
    /// The secret itself.
    #[serde(serialize_with = "serialize_for_its_owner")]
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
pub async fn obtain(
    (chatkit, writer, sealer): (&ChatKit, &Writer, &Sealer),
    call: &Call,
    opened: &Opened,
    first: bool,
) -> Result<ClientSecret, Error> {
    let renewed;
    let opened = match handed_out_again(sealer, call, opened) {
        Some(again) => return Ok(again),
        None if opened.live.is_some() => {
            tracing::warn!("a sealed secret cannot be opened: its key is not configured any more");
            renewed = super::open::renew_anyway(writer, call, opened.session.id).await?;
            &renewed
        }
        None => opened,
    };
    let request_id = opened.request_id.ok_or_else(|| Error::new(Code::Internal))?;
    let asked = Asked { writer, call, session_id: opened.session.id, request_id };
    let new = match chatkit.open(&opened.upstream, call.deadline.leaving(RESERVE)).await {
        Ok(new) => new,
        Err(error) => {
            asked.failed(first).await;
            return Err(error.into());
        }
    };
    match asked.recorded(sealer, &new).await {
        Ok(Recorded { recorded: true, .. }) => Ok(secret(new.id, new.client_secret, new.expires_at)),
        Ok(Recorded { session, .. }) => {
            discard(chatkit, &asked, &new.id).await;
            // Active, it is in the hands of a later attempt that took this one for dead, or of another agent.
            match session.status {
                Status::Active => {
                    Err(Error::new(Code::StillRunning).retry_after(Some(Duration::from_secs(1))))
                }
                Status::Ended => Err(Error::new(Code::SessionEnded)),
            }
        }
        Err(error) => {
            discard(chatkit, &asked, &new.id).await;
            asked.failed(first).await;
            Err(error)
        }
    }
}

/// What recording came to.
#[derive(Deserialize)]
struct Recorded {
    recorded: bool,
    session: Session,
}

/// A request to ChatKit that is on record.
struct Asked<'a> {
    writer: &'a Writer,
    call: &'a Call,
    session_id: Uuid,
    request_id: Uuid,
}

impl Asked<'_> {
    /// Records the ChatKit session with its sealed secret, unless the session has ended meanwhile or this attempt was overtaken.
    async fn recorded(&self, sealer: &Sealer, new: &chatkit::Opened) -> Result<Recorded, Error> {
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
            .seal(&new.client_secret, belongs(self.call, self.session_id, &new.id))
            .ok_or_else(|| Error::new(Code::Internal).cause("sealing failed"))?;
        let arguments = Arguments {
            p_org_id: self.call.caller.org_id,
            p_session_id: self.session_id,
            p_chatkit_request_id: self.request_id,
            p_chatkit_session_id: &new.id,
            p_expires_at: new.expires_at,
            p_sealed_secret: text,
            p_sealing_key_id: key_id,
        };
        let deadline = self.call.deadline.leaving(RESERVE / 2);
        Ok(self.writer.record("record_chatkit_session", &arguments, deadline).await?)
    }

    /// Notes that nothing came of it. Should this fail too, the row still says that ChatKit was asked, and when.
    async fn failed(&self, end_session: bool) {
        let arguments = json!({
            "p_org_id": self.call.caller.org_id,
            "p_session_id": self.session_id,
            "p_chatkit_request_id": self.request_id,
            "p_end_session": end_session,
        });
        let noted =
            self.writer.call::<serde::de::IgnoredAny>("fail_chatkit_session", &arguments, self.call.deadline);
        if let Err(error) = noted.await {
            tracing::warn!(session_id = %self.session_id, %error, "a failed ChatKit request could not be noted");
        }
    }
}

/// Cancels a ChatKit session that no one may use, and notes that.
async fn discard(chatkit: &ChatKit, asked: &Asked<'_>, chatkit_session_id: &str) {
    let ids = [chatkit_session_id.to_owned()];
    super::cancel_upstream(chatkit, asked.writer, Of::call(asked.call, asked.session_id), &ids).await;
}

fn handed_out_again(sealer: &Sealer, call: &Call, opened: &Opened) -> Option<ClientSecret> {
    let live = opened.live.as_ref()?;
    let belongs = belongs(call, opened.session.id, &live.chatkit_session_id);
    let text = sealer.open(&live.sealed, belongs)?;
    Some(secret(live.chatkit_session_id.clone(), text, live.expires_at))
}

fn belongs<'a>(call: &Call, session_id: Uuid, chatkit_session_id: &'a str) -> Belongs<'a> {
    Belongs { org_id: call.caller.org_id, session_id, chatkit_session_id }
}

fn secret(session_id: String, client_secret: Secret, expires_at: Timestamp) -> ClientSecret {
    let refresh_after = expires_at.saturating_sub(REFRESH_MARGIN);
    ClientSecret { session_id, client_secret, expires_at, refresh_after }
}
