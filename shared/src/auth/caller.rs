//! The verified caller.

use serde::Deserialize;
use uuid::Uuid;

use crate::secret::Secret;

/// A user of an organisation, verified.
#[derive(Clone, Debug)]
pub struct Caller {
    /// `sub`.
    pub user_id: Uuid,
    /// `app_metadata.org_id`.
    pub org_id: Uuid,
    /// `app_metadata.org_role`.
    pub org_role: OrgRole,
    /// The token itself: reads are made with it.
    pub token: Secret,
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
    pub fn sees_organisation(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Approver)
    }
}
