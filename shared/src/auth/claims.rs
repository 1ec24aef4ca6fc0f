//! The claims of a Supabase access token that we rely on.
//! Source: <https://supabase.com/docs/guides/auth/jwt-fields>

use serde::Deserialize;
use uuid::Uuid;

use super::{Caller, OrgRole, Refusal};
use crate::secret::Secret;

/// The verified claims. `user_metadata` is missing on purpose: users write it themselves.
#[derive(Deserialize)]
pub(super) struct Claims {
    sub: String,
    role: String,
    #[serde(default)]
    is_anonymous: bool,
    app_metadata: Option<AppMetadata>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct AppMetadata {
    org_id: Option<serde_json::Value>,
    org_role: Option<serde_json::Value>,
}

impl Claims {
    /// The caller that these claims describe.
    pub(super) fn into_caller(self, token: &str) -> Result<Caller, Refusal> {
        if self.role != "authenticated" {
            return Err(Refusal::InvalidToken);
        }
        if self.is_anonymous {
            return Err(Refusal::Anonymous);
        }
        let user_id = Uuid::try_parse(&self.sub).map_err(|_| Refusal::InvalidToken)?;
        let app_metadata = self.app_metadata.unwrap_or_default();
        // Only the form with hyphens, as in the database's policies: both must mean the same by a token.
        let org_id =
            app_metadata.org_id.as_ref().and_then(serde_json::Value::as_str).filter(|id| id.len() == 36);
        let org_id = org_id.and_then(|id| Uuid::try_parse(id).ok()).ok_or(Refusal::NoOrganisation)?;
        let org_role = app_metadata.org_role.and_then(|role| serde_json::from_value(role).ok());
        Ok(Caller {
            user_id,
            org_id,
            org_role: org_role.unwrap_or(OrgRole::Member),
            token: Secret::new(token),
        })
    }
}
