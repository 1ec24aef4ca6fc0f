use serde_json::{Value, json};
use uuid::Uuid;

/// A user's role in an organisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrgRole {
    /// The owner, who is an approver too.
    Owner,
    /// An administrator, who is an approver too.
    Admin,
    /// Decides other users' escalations.
    Approver,
    /// A user without special rights.
    Member,
}

impl OrgRole {
    /// The name in a token.
    pub fn name(self) -> &'static str {
        match self {
            OrgRole::Owner => "owner",
            OrgRole::Admin => "admin",
            OrgRole::Approver => "approver",
            OrgRole::Member => "member",
        }
    }
}

/// A row of `auth.users`.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The `sub` of their tokens.
    pub id: Uuid,
    pub org_id: Uuid,
    pub role: OrgRole,
}

impl User {
    /// A new user, not yet in any table.
    pub fn new(org_id: Uuid, role: OrgRole) -> Self {
        Self { id: Uuid::new_v4(), org_id, role }
    }

    /// An address without a mailbox.
    pub fn email(&self) -> String {
        format!("{}@example.com", self.id.simple())
    }

    /// The metadata that only the application may write.
    pub fn app_metadata(&self) -> Value {
        json!({ "provider": "email", "providers": ["email"], "org_id": self.org_id, "org_role": self.role.name() })
    }
}
