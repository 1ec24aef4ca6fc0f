//! Claims of a Supabase access token that the functions rely on.
//! Source: <https://supabase.com/docs/guides/auth/jwt-fields>

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Assurance, AuthError, Caller, OrgRole, TokenClaims};
use crate::platform::{
    parse::{self, Timestamp},
    secret::Secret,
};

/// Maximum time in seconds by which the issuer's clock may be ahead of ours (RFC 7519, section
/// 4.1.5). PostgREST, which checks the same token a moment later, allows as much.
const MAX_CLOCK_SKEW: f64 = 30.0;

/// The verified claims. `user_metadata` is left out on purpose, because users can write it.
#[derive(Deserialize)]
pub(super) struct SupabaseClaims {
    sub: String,
    role: String,
    /// Time before which the token is not valid, in seconds since 1970. Supabase omits it; an
    /// access token hook can add it.
    nbf: Option<f64>,
    #[serde(default)]
    is_anonymous: bool,
    aal: Option<Value>,
    client_id: Option<Value>,
    app_metadata: Option<AppMetadata>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AppMetadata {
    org_id: Option<Value>,
    org_role: Option<Value>,
}

impl SupabaseClaims {
    /// Parses the claims of a verified token.
    pub(super) fn parse(claims: &RawValue) -> Result<Self, AuthError> {
        serde_json::from_str(claims.get()).map_err(|_| AuthError::InvalidToken)
    }

    /// Returns whether the token is not valid yet.
    pub(super) fn is_premature(&self, now: Timestamp) -> bool {
        let now = now.duration_since(Timestamp::UNIX_EPOCH).as_secs_f64();
        self.nbf.is_some_and(|nbf| nbf > now + MAX_CLOCK_SKEW)
    }

    /// Builds the caller. `all` holds every claim of the token, of which `self` is a part.
    pub(super) fn into_caller(self, all: Box<RawValue>, token: &str) -> Result<Caller, AuthError> {
        if self.role != "authenticated" {
            return Err(AuthError::InvalidToken);
        }
        if self.is_anonymous {
            return Err(AuthError::Anonymous);
        }
        let user_id = parse::uuid(&self.sub).ok_or(AuthError::InvalidToken)?;
        let app_metadata = self.app_metadata.unwrap_or_default();
        // Only the UUID format that the database's policies accept: both must read a token alike.
        let org_id = app_metadata.org_id.as_ref().and_then(Value::as_str).and_then(parse::uuid);
        let org_id = org_id.ok_or(AuthError::NoOrganisation)?;
        let org_role = app_metadata.org_role.and_then(|role| serde_json::from_value(role).ok());
        Ok(Caller {
            user_id,
            org_id,
            org_role: org_role.unwrap_or(OrgRole::Member),
            assurance: Assurance {
                // A value of any type names a client, so that it is
                // checked against the allowed ones.
                client_id: self.client_id.map(claim_text),
                aal: self.aal.map(claim_text),
            },
            claims: TokenClaims::new(all),
            token: Secret::new(token),
        })
    }
}

fn claim_text(claim: Value) -> String {
    match claim {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_premature_more_than_30_seconds_before_nbf() {
        let now = Timestamp::from_microsecond(1_000_000_500_000).unwrap();
        for (nbf, is_premature) in [
            ("null", false),
            ("-1", false),
            ("0", false),
            ("1000000", false),
            ("1000001", false),
            ("1000030", false),
            ("1000030.5", false),
            ("1000030.6", true),
            ("1000031", true),
            ("1000060", true),
            ("1e300", true),
        ] {
            let claims = format!(r#"{{"sub": "", "role": "", "nbf": {nbf}}}"#);
            let claims = SupabaseClaims::parse(&RawValue::from_string(claims).unwrap()).unwrap();
            assert_eq!(claims.is_premature(now), is_premature, "{nbf}");
        }
        let without = RawValue::from_string(r#"{"sub": "", "role": ""}"#.to_owned()).unwrap();
        assert!(!SupabaseClaims::parse(&without).unwrap().is_premature(now));
    }
}
