//! Supabase's API keys, of both generations.
//! Source: <https://supabase.com/docs/guides/api/api-keys>

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use crate::platform::secret::Secret;

/// A key of the project, told apart by its prefix.
#[derive(Clone, Debug)]
pub enum ApiKey {
    /// `sb_publishable_…` or `sb_secret_…`: goes into the `apikey` header alone.
    Opaque(Secret),
    /// A JWT (`anon`, `service_role`): goes into `Authorization` too, where no user's token does.
    Legacy(Secret),
}

impl ApiKey {
    /// The headers that a request with this key carries, for the user whose token is given or for the key's own role.
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
/// Which keys are taken.
pub fn parse_publishable_key(value: &str) -> Result<ApiKey, String> {
    parse(value, "sb_publishable_", "anon")
}

/// Parses `SUPABASE_SECRET_KEY`.
///
/// # Errors
/// Which keys are taken.
pub fn parse_secret_key(value: &str) -> Result<ApiKey, String> {
    parse(value, "sb_secret_", "service_role")
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

/// The project that a legacy key names, by its reference. Not verified either.
#[cfg(feature = "doctor")]
pub(crate) fn legacy_project(value: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        #[serde(rename = "ref")]
        reference: String,
    }
    jsonwebtoken::dangerous::insecure_decode::<Claims>(value).ok().map(|token| token.claims.reference)
}

/// The role that a legacy key is for. Not verified: a wrong key only makes our own calls fail.
fn legacy_role(value: &str) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Claims {
        role: String,
    }
    jsonwebtoken::dangerous::insecure_decode::<Claims>(value).ok().map(|token| token.claims.role)
}

/// The parser refused every value that cannot be a header, and a verified token is base64url and dots.
fn sensitive(name: HeaderName, value: &str) -> Option<(HeaderName, HeaderValue)> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_the_wrong_variable_is_refused() {
        assert!(parse_publishable_key("sb_publishable_x").is_ok());
        assert!(parse_secret_key("sb_secret_x").is_ok());
        assert!(parse_publishable_key("sb_secret_x").is_err());
        assert!(parse_secret_key("sb_publishable_x").is_err());
        assert!(parse_secret_key("eyJub3QiOiJhIn0.token.at-all").is_err());
    }

    #[test]
    fn an_opaque_secret_key_goes_into_apikey_alone() {
        let headers = parse_secret_key("sb_secret_x").unwrap().headers(None);
        assert_eq!(headers["apikey"], "sb_secret_x");
        assert!(!headers.contains_key(AUTHORIZATION));
    }
}
