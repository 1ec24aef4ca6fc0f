//! Every kind of caller of PostgREST.

use std::fmt;

/// A caller, relative to the organisation of [`Caller::User`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Caller {
    /// Has the publishable key, which is part of every web app, and no token.
    NoToken,
    /// An anonymous sign-in, with a token that claims to be the owner of the organisation.
    AnonymousSignIn,
    /// The member whose session the tests use.
    User,
    /// Another member of the organisation, with the same role as the user.
    Colleague,
    Approver,
    Admin,
    Owner,
    /// The same person as [`Caller::User`], as a member of the other organisation.
    UserInOtherOrg,
    MemberOfOtherOrg,
    OwnerOfOtherOrg,
    /// A Lambda function, with the secret key.
    Service,
}

impl Caller {
    pub const ALL: &[Self] = &[
        Self::NoToken,
        Self::AnonymousSignIn,
        Self::User,
        Self::Colleague,
        Self::Approver,
        Self::Admin,
        Self::Owner,
        Self::UserInOtherOrg,
        Self::MemberOfOtherOrg,
        Self::OwnerOfOtherOrg,
        Self::Service,
    ];

    pub const WITH_SESSIONS: &[Self] = &[
        Self::User,
        Self::Colleague,
        Self::Approver,
        Self::Admin,
        Self::Owner,
        Self::UserInOtherOrg,
        Self::MemberOfOtherOrg,
        Self::OwnerOfOtherOrg,
    ];

    pub fn is_in_other_org(self) -> bool {
        matches!(self, Self::UserInOtherOrg | Self::MemberOfOtherOrg | Self::OwnerOfOtherOrg)
    }

    /// The database role that runs the caller's requests.
    pub fn role(self) -> &'static str {
        match self {
            Self::NoToken => "anon",
            Self::Service => "service_role",
            _ => "authenticated",
        }
    }

    /// The status with which PostgREST denies a privilege: 401 if a token might help.
    pub fn denied_status(self) -> u16 {
        if self == Self::NoToken { 401 } else { 403 }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoToken => "a caller without a token",
            Self::AnonymousSignIn => "an anonymous sign-in",
            Self::User => "the user",
            Self::Colleague => "a colleague",
            Self::Approver => "an approver",
            Self::Admin => "an admin",
            Self::Owner => "the owner",
            Self::UserInOtherOrg => "the user in the other organisation",
            Self::MemberOfOtherOrg => "a member of the other organisation",
            Self::OwnerOfOtherOrg => "the owner of the other organisation",
            Self::Service => "the service",
        })
    }
}
