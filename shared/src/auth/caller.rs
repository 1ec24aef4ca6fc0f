//! The verified caller.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Assurance;
use crate::platform::secret::Secret;

/// A user of an organisation, verified.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `sub`.
    pub user_id: Uuid,
    /// `app_metadata.org_id`.
    pub org_id: Uuid,
    /// `app_metadata.org_role`.
    pub org_role: OrgRole,
    /// How they signed in, and by which program.
    pub assurance: Assurance,
    /// All that their token says.
    pub claims: TokenClaims,
    /// The token itself: reads are made with it.
    pub token: Secret,
}

/// The claims of a verified token, as JSON: what row level security sees of a caller. `Debug` prints a placeholder.
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

/// What a user may do in the organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrgRole {
    /// Sees every session of the organisation.
    Owner,
    /// Sees every session of the organisation.
    Admin,
    /// Sees every session of the organisation.
    Approver,
    /// Sees their own sessions; what any other or missing role means.
    #[default]
    #[serde(other)]
    Member,
}

impl OrgRole {
    /// Whether this role sees the whole organisation's sessions. Row level security decides; this only words the answer.
    pub fn can_read_organisation(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Approver)
    }
}
