//! Reads claims of a token without verification.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Returns the role in the bearer token, unverified. The request log uses it, and the status of
/// errors that occur after PostgREST has verified the token.
pub fn role(headers: &HeaderMap) -> Option<String> {
    let bearer = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let token = bearer.strip_prefix("Bearer ").or_else(|| bearer.strip_prefix("bearer "))?;
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    Some(claims.get("role")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn role_is_read_from_bearer_tokens_only() {
        let role = |value: &'static str| {
            super::role(&HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(value))]))
        };
        // {"alg":"none"} . {"role":"authenticated"}
        assert_eq!(
            role("Bearer eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYXV0aGVudGljYXRlZCJ9.").as_deref(),
            Some("authenticated")
        );
        assert_eq!(role("Bearer sb_secret_x"), None);
        assert_eq!(role("Basic eyJhbGciOiJub25lIn0.eyJyb2xlIjoiYXV0aGVudGljYXRlZCJ9."), None);
    }
}
