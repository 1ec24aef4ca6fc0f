//! A look into a token that somebody else verifies.

use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// The role that the bearer token names, unverified: for the ledger and for the status of refusals that only come
/// once PostgREST has verified it.
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
    fn the_role_is_read_from_a_token_and_from_nothing_else() {
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
