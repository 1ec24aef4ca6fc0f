//! Claims of a Supabase access token that the functions rely on.
//! Source: <https://supabase.com/docs/guides/auth/jwt-fields>

use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{Assurance, AuthError, Caller, OrgRole, TokenClaims};
use crate::platform::{parse, secret::Secret};

/// The verified claims. `user_metadata` is left out on purpose, because users can write it.
#[derive(Deserialize)]
pub(super) struct SupabaseClaims {
    sub: String,
    role: String,
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
