//! People who sign in, and what they are in their organisation.

use serde_json::{Value, json};
use uuid::Uuid;

/// What somebody may do in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgRole {
    /// Whose organisation it is; an approver too.
    Owner,
    /// Who runs it; an approver too.
    Admin,
    /// Who decides for others.
    Approver,
    /// Everybody else.
    Member,
}

impl OrgRole {
    /// As it stands in a token.
    pub fn name(self) -> &'static str {
        match self {
            OrgRole::Owner => "owner",
            OrgRole::Admin => "admin",
            OrgRole::Approver => "approver",
            OrgRole::Member => "member",
        }
    }
}

/// Somebody in `auth.users`.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The `sub` of their tokens.
    pub id: Uuid,
    /// Their organisation.
    pub org_id: Uuid,
    /// What they are there.
    pub role: OrgRole,
}

impl User {
    /// A new user, not yet in any table.
    pub fn new(org_id: Uuid, role: OrgRole) -> Self {
        Self { id: Uuid::new_v4(), org_id, role }
    }

    /// An address that reaches nobody.
    pub fn email(&self) -> String {
        format!("{}@example.com", self.id.simple())
    }

    /// What Supabase keeps where only the application may write.
    pub fn app_metadata(&self) -> Value {
        json!({ "provider": "email", "providers": ["email"], "org_id": self.org_id, "org_role": self.role.name() })
    }
}
