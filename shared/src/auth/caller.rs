//! The verified caller of a request: user, organisation, role and token.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Assurance;
use crate::platform::secret::Secret;

/// A verified user of an organisation. `user_id` is the claim `sub`; `org_id` and `org_role` are
/// members of the claim `app_metadata`.
#[derive(Clone, Debug)]
pub struct Caller {
    pub user_id: Uuid,
    pub org_id: Uuid,
    pub org_role: OrgRole,
    pub assurance: Assurance,
    pub claims: TokenClaims,
    /// The access token. Reads are sent with it, so that row level security applies to them.
    pub token: Secret,
}

/// All claims of a verified token as JSON, as row level security sees
/// them. `Debug` prints a placeholder.
#[derive(Clone, Serialize)]
#[serde(transparent)]
pub struct TokenClaims(Arc<RawValue>);

impl TokenClaims {
    pub(super) fn new(claims: Box<RawValue>) -> Self {
        Self(claims.into())
    }
}

impl fmt::Debug for TokenClaims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenClaims(..)")
    }
}

/// Role of a user in the organisation. Owners, admins and approvers can read every session of the
/// organisation; members can read their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OrgRole {
    Owner,
    Admin,
    Approver,
    /// Also stands for an unknown or missing role.
    #[default]
    #[serde(other)]
    Member,
}

impl OrgRole {
    /// Returns whether this role can read every session of the organisation. Row level security
    /// enforces it; callers of this function only choose the error to report.
    pub fn can_read_organisation(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Approver)
    }
}
