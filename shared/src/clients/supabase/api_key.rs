//! Supabase's API keys: opaque keys and legacy JWTs.
//! Source: <https://supabase.com/docs/guides/api/api-keys>

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::platform::{config::require_length, secret::Secret};

/// Minimum length of a secret key. Supabase's have 41 characters or more.
const MIN_SECRET_KEY: usize = 32;

/// API key of the project. Its prefix decides which kind it is.
#[derive(Clone, Debug)]
pub enum ApiKey {
    /// `sb_publishable_…` or `sb_secret_…`, sent in the `apikey` header only.
    Opaque(Secret),
    /// A JWT (`anon`, `service_role`), also sent in `Authorization` if there is no user's token.
    Legacy(Secret),
}

impl ApiKey {
    /// Returns the headers of a request with this key, for the user whose token is given or else
    /// for the key's own role.
    pub(super) fn headers(&self, user: Option<&Secret>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let (Self::Opaque(key) | Self::Legacy(key)) = self;
        headers.extend(sensitive(HeaderName::from_static("apikey"), key.expose()));
        let bearer = match (user, self) {
            (Some(token), _) => Some(token),
            (None, Self::Legacy(key)) => Some(key),
            (None, Self::Opaque(_)) => None,
        };
        if let Some(token) = bearer {
            headers.extend(sensitive(AUTHORIZATION, &format!("Bearer {}", token.expose())));
        }
        headers
    }
}

/// Parses `SUPABASE_PUBLISHABLE_KEY`.
///
/// # Errors
/// Returns a description of the accepted keys.
pub fn parse_publishable_key(value: &str) -> Result<ApiKey, String> {
    parse(value, "sb_publishable_", "anon")
}

/// Parses `SUPABASE_SECRET_KEY`.
///
/// # Errors
/// Returns a description of the accepted keys.
pub fn parse_secret_key(value: &str) -> Result<ApiKey, String> {
    let key = parse(value, "sb_secret_", "service_role")?;
    require_length(value, MIN_SECRET_KEY).map(|()| key)
}

fn parse(value: &str, prefix: &str, role: &str) -> Result<ApiKey, String> {
    if HeaderValue::from_str(value).is_err() {
        return Err("contains characters that no key has".to_owned());
    }
    match value {
        _ if value.starts_with(prefix) => Ok(ApiKey::Opaque(Secret::new(value))),
        _ if legacy_role(value).as_deref() == Some(role) => Ok(ApiKey::Legacy(Secret::new(value))),
        _ => Err(format!("must be a key that starts with {prefix}, or the legacy {role} key")),
    }
}

/// Returns the project reference in a legacy key. The signature is not verified.
#[cfg(feature = "doctor")]
pub(crate) fn legacy_project(value: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct ProjectClaims {
        #[serde(rename = "ref")]
        reference: String,
    }
    jsonwebtoken::dangerous::insecure_decode::<ProjectClaims>(value).ok().map(|token| token.claims.reference)
}

/// Returns the role in a legacy key. The signature is not verified: a wrong key only
/// makes our own requests fail.
fn legacy_role(value: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct RoleClaims {
        role: String,
    }
    jsonwebtoken::dangerous::insecure_decode::<RoleClaims>(value).ok().map(|token| token.claims.role)
}

/// Returns a header that is not logged. It is never `None` here: the parser rejects keys that
/// cannot be a header, and a verified token consists of base64url and dots.
fn sensitive(name: HeaderName, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET_KEY: &str = "sb_secret_0123456789abcdefghijkl_01234567";

    #[test]
    fn api_keys_in_the_wrong_variable_are_rejected() {
        assert!(parse_publishable_key("sb_publishable_x").is_ok());
        assert!(parse_secret_key(SECRET_KEY).is_ok());
        assert!(parse_secret_key("sb_secret_x").is_err_and(|reason| reason.contains("at least 32")));
        assert!(parse_publishable_key(SECRET_KEY).is_err());
        assert!(parse_secret_key("sb_publishable_x").is_err());
        assert!(parse_secret_key("eyJub3QiOiJhIn0.token.at-all").is_err());
    }

    #[test]
    fn opaque_secret_key_is_sent_in_apikey_header_only() {
        let headers = parse_secret_key(SECRET_KEY).unwrap().headers(None);
        assert_eq!(headers["apikey"], SECRET_KEY);
        assert!(!headers.contains_key(AUTHORIZATION));
    }
}
