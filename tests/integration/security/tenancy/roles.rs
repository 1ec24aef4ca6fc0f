//! Everybody who can ask PostgREST something.

use std::fmt;

/// A caller, as the organisation of [`Who::User`] sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Holds the publishable key, as everybody who opened the web app does, and no token.
    Nobody,
    /// Signed in without a name. Their token claims the most: to be the owner of the organisation.
    AnonymousSignIn,
    /// A member, whose session most attempts are about.
    User,
    /// Another member.
    Colleague,
    /// Decides for others.
    Approver,
    /// Runs the organisation.
    Admin,
    /// Whose organisation it is.
    Owner,
    /// The same person as [`Who::User`], signed in for another organisation.
    UserElsewhere,
    /// A member of that other organisation.
    Stranger,
    /// The owner of that other organisation.
    OwnerElsewhere,
    /// A function of ours, by the secret key.
    Service,
}

impl Who {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Nobody,
        Self::AnonymousSignIn,
        Self::User,
        Self::Colleague,
        Self::Approver,
        Self::Admin,
        Self::Owner,
        Self::UserElsewhere,
        Self::Stranger,
        Self::OwnerElsewhere,
        Self::Service,
    ];

    /// Those who have a session. In the organisation of the user first, then in the other one.
    pub const PEOPLE: &[Self] = &[
        Self::User,
        Self::Colleague,
        Self::Approver,
        Self::Admin,
        Self::Owner,
        Self::UserElsewhere,
        Self::Stranger,
        Self::OwnerElsewhere,
    ];

    /// Whether they are of the other organisation.
    pub fn is_elsewhere(self) -> bool {
        matches!(self, Self::UserElsewhere | Self::Stranger | Self::OwnerElsewhere)
    }

    /// The role of the database that their requests run as.
    pub fn role(self) -> &'static str {
        match self {
            Self::Nobody => "anon",
            Self::Service => "service_role",
            _ => "authenticated",
        }
    }

    /// The status that PostgREST refuses them with: who shows no token might have one, anybody else may not.
    pub fn refusal(self) -> u16 {
        if self == Self::Nobody { 401 } else { 403 }
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody",
            Self::AnonymousSignIn => "an anonymous sign-in",
            Self::User => "the user",
            Self::Colleague => "a colleague",
            Self::Approver => "an approver",
            Self::Admin => "an admin",
            Self::Owner => "the owner",
            Self::UserElsewhere => "the user elsewhere",
            Self::Stranger => "a stranger",
            Self::OwnerElsewhere => "an owner elsewhere",
            Self::Service => "the service",
        })
    }
}
