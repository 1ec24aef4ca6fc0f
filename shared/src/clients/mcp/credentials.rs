//! `AGENT_CREDENTIALS`: the bearer tokens for agents' servers. The registry refers to a token by
//! name; its value is stored in no table.

use std::{collections::HashMap, fmt};

use reqwest::header::HeaderValue;
use serde::Deserialize;
use url::{Origin, Url};

use super::error::Reason;
use crate::platform::{config, parse, secret::Secret};

/// Bearer tokens by name, each for one origin.
#[derive(Clone, Default)]
pub struct Credentials(HashMap<String, Credential>);

#[derive(Clone)]
struct Credential {
    origin: Origin,
    bearer: HeaderValue,
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
        // A name that is given twice is an error, like any other mistake. Otherwise one of the two
        // tokens would be sent without notice.
        let given: Option<HashMap<String, RawCredential>> =
            parse::json(value.as_bytes()).ok().and_then(|given| serde_json::from_value(given).ok());
        let given = given.ok_or_else(|| {
            r#"must be JSON like {"name": {"origin": "https://…", "bearer": "…"}}, each name once"#.to_owned()
        })?;
        given
            .into_iter()
            .map(|(name, given)| given.credential().map(|credential| (name, credential)))
            .collect()
    }

    /// Returns the header for a server at `url`, with the credential that the registry names.
    ///
    /// # Errors
    /// Returns [`Reason::CredentialMissing`] if no credential has this name. Returns
    /// [`Reason::CredentialElsewhere`] if the credential is configured for another origin, so that
    /// a row of the registry cannot send it there.
    pub(super) fn header(&self, name: Option<&str>, url: &Url) -> Result<Option<HeaderValue>, Reason> {
        let Some(name) = name else { return Ok(None) };
        let credential = self.0.get(name).ok_or(Reason::CredentialMissing)?;
        if credential.origin != url.origin() {
            return Err(Reason::CredentialElsewhere);
        }
        Ok(Some(credential.bearer.clone()))
    }
}

impl RawCredential {
    fn credential(self) -> Result<Credential, String> {
        let origin = config::base_url(&self.origin)?;
        if origin.path() != "/" {
            return Err("must have origins without a path".to_owned());
        }
        let bearer = Secret::new(format!("Bearer {}", self.bearer.expose()));
        let plain = !self.bearer.expose().is_empty()
            && self.bearer.expose().bytes().all(|byte| byte.is_ascii_graphic());
        let bearer = HeaderValue::from_str(bearer.expose()).ok().filter(|_| plain);
        let mut bearer = bearer.ok_or("must have bearers of visible ASCII")?;
        bearer.set_sensitive(true);
        Ok(Credential { origin: origin.origin(), bearer })
    }
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

    const VALID: &str = r#"{"payables": {"origin": "https://agents.example.com", "bearer": "t0ken-canary"}}"#;

    #[test]
    fn bearer_is_sent_to_its_origin_only() {
        let credentials = Credentials::parse(VALID).unwrap();
        let header = |name, url: &str| credentials.header(name, &url.parse().unwrap());
        let sent = header(Some("payables"), "https://agents.example.com/mcp").unwrap().unwrap();
        assert_eq!(sent, "Bearer t0ken-canary");
        assert!(sent.is_sensitive());
        for elsewhere in [
            "https://agents.example.com:8443/mcp",
            "http://agents.example.com/mcp",
            "https://agents.example.com.evil.example/mcp",
            "https://example.com/mcp",
        ] {
            assert_eq!(header(Some("payables"), elsewhere), Err(Reason::CredentialElsewhere), "{elsewhere}");
        }
        assert_eq!(header(None, "https://agents.example.com/mcp"), Ok(None));
        assert_eq!(header(Some("treasury"), "https://agents.example.com/"), Err(Reason::CredentialMissing));
    }

    #[test]
    fn debug_output_and_errors_redact_credentials() {
        let credentials = Credentials::parse(VALID).unwrap();
        assert!(!format!("{credentials:?}").contains("canary"));
        for wrong in [
            r#"{"a": {"origin": "https://a.example", "bearer": "t0ken-canary", "more": 1}}"#,
            r#"{"a": {"origin": "https://a.example/path", "bearer": "t0ken-canary"}}"#,
            r#"{"a": {"origin": "http://a.example", "bearer": "t0ken-canary"}}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": "t0ken canary"}}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": ""}}"#,
            r#"{"a": "t0ken-canary"}"#,
            r#"{"a": {"origin": "https://a.example", "bearer": "t0ken-canary"}, "a": {"origin": "https://a.example", "bearer": "other"}}"#,
            "t0ken-canary",
        ] {
            let reason = Credentials::parse(wrong).unwrap_err();
            assert!(!reason.contains("canary"), "{reason}");
        }
    }
}
