//! `AGENT_CREDENTIALS`: the bearer tokens for agents' servers. The registry refers to a token by
//! name; its value is stored in no table. Each token can be a reference to a secret of its own.

use std::{collections::HashMap, fmt, sync::Arc};

use reqwest::header::HeaderValue;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::{Origin, Url};

use super::error::Reason;
use crate::platform::{
    config, parse,
    secret::Secret,
    secret_store::{NOT_BUILT_IN, Rotating, SecretReference, SecretStore},
};

/// Minimum length of a bearer token.
const MIN_BEARER: usize = 16;

/// Bearer tokens by name, each for one origin.
#[derive(Clone, Default)]
pub struct Credentials(HashMap<String, Credential>);

#[derive(Clone)]
struct Credential {
    origin: Origin,
    bearer: Bearer,
}

#[derive(Clone)]
enum Bearer {
    Given(Rotating<HeaderValue>),
    Stored(Arc<StoredBearer>),
}

/// A token that is read when its server is first called, so that a missing secret does not affect
/// other agents.
struct StoredBearer {
    store: Arc<SecretStore>,
    reference: SecretReference,
    value: OnceCell<Rotating<HeaderValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredential {
    origin: String,
    bearer: Secret,
}

impl Credentials {
    /// Parses `AGENT_CREDENTIALS`:
    /// `{"name": {"origin": "https://agents.example.com", "bearer": "…"}}`.
    ///
    /// # Errors
    /// Returns a description of the expected format. It quotes no value.
    pub fn parse(value: &str) -> Result<Self, String> {
        Self::parse_with_store(value, None)
    }

    /// Like [`Credentials::parse`], where a bearer can be a reference to a secret in `store`.
    ///
    /// # Errors
    /// Returns a description of the expected format. It quotes no value.
    pub fn parse_with_store(value: &str, store: Option<&Arc<SecretStore>>) -> Result<Self, String> {
        // A name that is given twice is an error, like any other mistake. Otherwise one of the two
        // tokens would be sent without notice.
        let given: Option<HashMap<String, RawCredential>> =
            parse::json(value.as_bytes()).ok().and_then(|given| serde_json::from_value(given).ok());
        let given = given.ok_or_else(|| {
            r#"must be JSON like {"name": {"origin": "https://…", "bearer": "…"}}, each name once"#.to_owned()
        })?;
        given
            .into_iter()
            .map(|(name, given)| given.credential(store).map(|credential| (name, credential)))
            .collect()
    }

    /// Returns the header for a server at `url`, with the credential that the registry names.
    ///
    /// # Errors
    /// Returns [`Reason::CredentialMissing`] if no credential has this name. Returns
    /// [`Reason::CredentialElsewhere`] if the credential is configured for another origin, so that
    /// a row of the registry cannot send it there. Returns [`Reason::CredentialUnavailable`] if the
    /// secret cannot be fetched or is not a token.
    pub(super) async fn header(
        &self,
        name: Option<&str>,
        url: &Url,
    ) -> Result<Option<Rotating<HeaderValue>>, Reason> {
        let Some(name) = name else { return Ok(None) };
        let credential = self.0.get(name).ok_or(Reason::CredentialMissing)?;
        if credential.origin != url.origin() {
            return Err(Reason::CredentialElsewhere);
        }
        match &credential.bearer {
            Bearer::Given(bearer) => Ok(Some(bearer.clone())),
            Bearer::Stored(stored) => stored.value().await.map(Some).map_err(|reason| {
                tracing::error!(
                    credential = name,
                    reason,
                    "the credential of an agent's server is not available"
                );
                Reason::CredentialUnavailable
            }),
        }
    }
}

impl StoredBearer {
    async fn value(&self) -> Result<Rotating<HeaderValue>, String> {
        let fetch = || Rotating::fetch_from_store(&self.store, &self.reference, bearer_header);
        self.value.get_or_try_init(fetch).await.cloned()
    }
}

impl RawCredential {
    fn credential(self, store: Option<&Arc<SecretStore>>) -> Result<Credential, String> {
        let origin = config::base_url(&self.origin)?;
        if origin.path() != "/" {
            return Err("must have origins without a path".to_owned());
        }
        let bearer = match (SecretReference::parse(self.bearer.expose()), store) {
            (None, _) => Bearer::Given(bearer_header(self.bearer.expose())?.into()),
            (Some(reference), Some(store)) => Bearer::Stored(Arc::new(StoredBearer {
                store: Arc::clone(store),
                reference: reference?,
                value: OnceCell::new(),
            })),
            (Some(_), None) => return Err(format!("has a bearer that {NOT_BUILT_IN}")),
        };
        Ok(Credential { origin: origin.origin(), bearer })
    }
}

fn bearer_header(token: &str) -> Result<HeaderValue, String> {
    let is_plain = token.len() >= MIN_BEARER && token.bytes().all(|byte| byte.is_ascii_graphic());
    let header = Secret::new(format!("Bearer {token}"));
    let header = HeaderValue::from_str(header.expose()).ok().filter(|_| is_plain);
    let mut header = header
        .ok_or_else(|| format!("must have bearers of at least {MIN_BEARER} visible ASCII characters"))?;
    header.set_sensitive(true);
    Ok(header)
}

impl FromIterator<(String, Credential)> for Credentials {
    fn from_iter<I: IntoIterator<Item = (String, Credential)>>(all: I) -> Self {
        Self(all.into_iter().collect())
    }
}

impl fmt::Debug for Credentials {
    /// Prints names and origins only, never a token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.iter().map(|(name, credential)| (name, credential.origin.ascii_serialization()));
        f.debug_map().entries(shown).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::secret_store::fake_source::FakeSource;

    const VALID: &str =
        r#"{"payables": {"origin": "https://agents.example.com", "bearer": "t0ken-canary-0123"}}"#;

    async fn header(
        credentials: &Credentials,
        name: Option<&str>,
        url: &str,
    ) -> Result<Option<HeaderValue>, Reason> {
        let header = credentials.header(name, &url.parse().unwrap()).await?;
        Ok(header.map(|header| header.current().as_ref().clone()))
    }

    #[tokio::test]
    async fn bearer_is_sent_to_its_origin_only() {
        let credentials = Credentials::parse(VALID).unwrap();
        let header = |name, url| header(&credentials, name, url);
        let sent = header(Some("payables"), "https://agents.example.com/mcp").await.unwrap().unwrap();
        assert_eq!(sent, "Bearer t0ken-canary-0123");
        assert!(sent.is_sensitive());
        for elsewhere in [
            "https://agents.example.com:8443/mcp",
            "http://agents.example.com/mcp",
            "https://agents.example.com.evil.example/mcp",
            "https://example.com/mcp",
        ] {
            let header = header(Some("payables"), elsewhere).await;
            assert_eq!(header, Err(Reason::CredentialElsewhere), "{elsewhere}");
        }
        assert_eq!(header(None, "https://agents.example.com/mcp").await, Ok(None));
        let unknown = header(Some("treasury"), "https://agents.example.com/").await;
        assert_eq!(unknown, Err(Reason::CredentialMissing));
    }

    #[tokio::test]
    async fn bearer_of_a_reference_is_read_when_it_is_needed() {
        let source = Arc::new(FakeSource::default());
        source.store("payables", "t0ken-of-payables");
        let store = Arc::new(SecretStore::new(source.clone()));
        let given = r#"{
            "payables": {"origin": "https://a.example", "bearer": "secretsmanager:payables"},
            "treasury": {"origin": "https://a.example", "bearer": "ssm:treasury"}
        }"#;
        let credentials = Credentials::parse_with_store(given, Some(&store)).unwrap();
        assert_eq!(source.fetches(), 0);
        let payables = header(&credentials, Some("payables"), "https://a.example/mcp").await;
        assert_eq!(payables.unwrap().unwrap(), "Bearer t0ken-of-payables");
        // One agent's missing secret does not affect the others.
        let treasury = header(&credentials, Some("treasury"), "https://a.example/mcp").await;
        assert_eq!(treasury, Err(Reason::CredentialUnavailable));
        source.store("treasury", "short");
        let treasury = header(&credentials, Some("treasury"), "https://a.example/mcp").await;
        assert_eq!(treasury, Err(Reason::CredentialUnavailable));
        assert_eq!(source.fetches(), 2, "a failed fetch was repeated within a minute");
    }

    #[test]
    fn debug_output_and_errors_redact_credentials() {
        let credentials = Credentials::parse(VALID).unwrap();
        assert!(!format!("{credentials:?}").contains("canary"));
        for wrong in [
            r#"{"a": {"origin": "https://a.example", "bearer": "t0ken-canary-0123", "more": 1}}"#,
            r#"{"a": {"origin": "https://a.example/path", "bearer": "t0ken-canary-0123"}}"#,
            r#"{"a": {"origin": "http://a.example", "bearer": "t0ken-canary-0123"}}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": "t0ken canary 0123"}}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": ""}}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": "short-canary"}}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": "ssm:/canary"}}"#,
            r#"{"a": "t0ken-canary"}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": "t0ken-canary-0123"}, "a": {"origin": "https://a.example", "bearer": "other-token-01234"}}"#,
            "t0ken-canary",
        ] {
            let reason = Credentials::parse(wrong).unwrap_err();
            assert!(!reason.contains("canary"), "{reason}");
        }
    }
}
