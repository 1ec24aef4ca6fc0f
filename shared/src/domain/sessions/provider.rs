//! Providers of ChatKit sessions: OpenAI for hosted agents, this deployment for self-hosted ones.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{ChatKitParams, Provider, SessionRef};
use crate::{
    clients::{
        openai::{ChatKit, ChatKitSessionRequest},
        supabase::ServiceClient,
    },
    error::{Error, ErrorCode},
    platform::{http_client::Deadline, parse::Timestamp, secret::Secret},
};

/// The providers that the deployment has configured.
pub struct Providers {
    pub openai: Option<ChatKit>,
    pub own: Option<ChatServer>,
}

/// The chat of self-hosted agents, as ChatKit.js addresses it.
#[derive(Clone, Debug)]
pub struct ChatServer {
    pub url: String,
    /// Key under which OpenAI has registered the domain of the page. The browser verifies it.
    pub domain_key: String,
}

/// The provider of one session, with what it needs to create a ChatKit session.
pub(super) enum SessionProvider<'a> {
    Openai { chatkit: &'a ChatKit, request: &'a ChatKitSessionRequest },
    Own { server: &'a ChatServer, start_screen: &'a Map<String, Value> },
}

/// A ChatKit session that is not recorded yet.
pub(super) struct NewChatKitSession {
    pub id: String,
    pub client_secret: Secret,
    /// OpenAI's expiry. The database sets that of our own secrets.
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of our own secrets in hexadecimal, by which a request is recognised.
    pub secret_hash: Option<String>,
}

/// Parameters of ChatKit.js's connection, besides the client secret.
#[derive(Debug, Serialize)]
#[serde(tag = "provider", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Connection {
    OpenaiHosted,
    SelfHosted { api_url: String, domain_key: String, start_screen: Map<String, Value> },
}

impl Providers {
    /// Returns the names of the configured providers.
    pub fn names(&self) -> Vec<Provider> {
        let openai = self.openai.as_ref().map(|_| Provider::OpenaiHosted);
        let own = self.own.as_ref().map(|_| Provider::SelfHosted);
        openai.into_iter().chain(own).collect()
    }

    /// Returns the provider of a session, or `None` if it is not configured.
    pub(super) fn select<'a>(&'a self, params: &'a ChatKitParams) -> Option<SessionProvider<'a>> {
        match params {
            ChatKitParams::OpenaiHosted(request) => {
                self.openai.as_ref().map(|chatkit| SessionProvider::Openai { chatkit, request })
            }
            ChatKitParams::SelfHosted { start_screen } => {
                self.own.as_ref().map(|server| SessionProvider::Own { server, start_screen })
            }
        }
    }
}

impl SessionProvider<'_> {
    /// Creates a ChatKit session: at OpenAI, or from random bytes.
    pub(super) async fn create(&self, deadline: Deadline) -> Result<NewChatKitSession, Error> {
        match self {
            Self::Openai { chatkit, request } => {
                let new = chatkit.create_session(request, deadline).await?;
                Ok(NewChatKitSession {
                    id: new.id,
                    client_secret: new.client_secret,
                    expires_at: Some(new.expires_at),
                    secret_hash: None,
                })
            }
            Self::Own { .. } => NewChatKitSession::generate(),
        }
    }

    /// Cancels a ChatKit session that was not recorded and must not be used. One of our own is
    /// unknown to the database, or already revoked there.
    pub(super) async fn discard(&self, service_client: &ServiceClient, of: SessionRef, id: &str) {
        if let Self::Openai { chatkit, .. } = self {
            let ids = [id.to_owned()];
            super::cancel_chatkit_sessions(chatkit, service_client, of, &ids).await;
        }
    }

    pub(super) fn connection(&self) -> Connection {
        match self {
            Self::Openai { .. } => Connection::OpenaiHosted,
            Self::Own { server, start_screen } => Connection::SelfHosted {
                api_url: server.url.clone(),
                domain_key: server.domain_key.clone(),
                start_screen: (*start_screen).clone(),
            },
        }
    }
}

impl NewChatKitSession {
    fn generate() -> Result<Self, Error> {
        let client_secret = format!("ek_{}", URL_SAFE_NO_PAD.encode(random::<32>()?));
        Ok(Self {
            id: format!("cksess_{}", hex(&random::<16>()?)),
            secret_hash: Some(secret_hash(&client_secret)),
            client_secret: Secret::new(client_secret),
            expires_at: None,
        })
    }
}

/// Returns the hash by which the database finds a client secret of ours.
pub fn secret_hash(client_secret: &str) -> String {
    hex(digest(&SHA256, client_secret.as_bytes()).as_ref())
}

fn random<const LENGTH: usize>() -> Result<[u8; LENGTH], Error> {
    let mut bytes = [0; LENGTH];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| Error::new(ErrorCode::Internal).cause("the system returned no random bytes"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_secrets_are_long_distinct_and_found_by_their_hash() {
        let (one, other) = (NewChatKitSession::generate().unwrap(), NewChatKitSession::generate().unwrap());
        let secret = one.client_secret.expose();
        assert_eq!(URL_SAFE_NO_PAD.decode(secret.strip_prefix("ek_").unwrap()).unwrap().len(), 32);
        assert_ne!(secret, other.client_secret.expose());
        assert_ne!(one.id, other.id);
        assert_eq!(one.secret_hash, Some(secret_hash(secret)));
        assert!(!one.id.contains(&secret[3..]) && one.expires_at.is_none());
    }

    #[test]
    fn secret_hash_is_sha_256_in_hexadecimal() {
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(secret_hash("abc"), expected);
    }
}
