//! What AWS answers to a request, or why it does not.

use shared::clients::aws::AwsError;

pub type Answer<T> = Result<T, Unanswered>;

/// A request without the expected answer. It holds no part of AWS's message.
#[derive(Clone, Debug)]
pub struct Unanswered {
    /// The IAM action that permits the request.
    pub action: &'static str,
    pub reason: Reason,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// AWS does not have the resource.
    Missing,
    /// The credentials do not permit the action.
    Denied,
    CredentialsRejected,
    /// The text names AWS's code, or the error of the connection.
    Failed(String),
}

/// AWS's codes for a resource that does not exist.
const MISSING_CODES: [&str; 5] = [
    "NonExistentQueue",
    "NotFoundException",
    "QueueDoesNotExist",
    "ResourceNotFound",
    "ResourceNotFoundException",
];

/// AWS's codes for an action that the credentials do not permit.
const DENIED_CODES: [&str; 4] =
    ["AccessDenied", "AccessDeniedException", "AuthorizationError", "UnauthorizedOperation"];

impl Unanswered {
    pub fn from_error(action: &'static str, error: &AwsError) -> Self {
        let code = error.code().unwrap_or_default();
        let reason = if MISSING_CODES.contains(&code) {
            Reason::Missing
        } else if DENIED_CODES.contains(&code) {
            Reason::Denied
        } else if error.rejects_credentials() {
            Reason::CredentialsRejected
        } else {
            Reason::Failed(error.to_string())
        };
        Self { action, reason }
    }

    /// AWS answered in a form that its documentation does not describe.
    pub fn unreadable(action: &'static str) -> Self {
        Self { action, reason: Reason::Failed("the answer cannot be read".to_owned()) }
    }

    pub fn is_missing(&self) -> bool {
        self.reason == Reason::Missing
    }

    /// Returns whether AWS answered with a code.
    pub fn has_code(&self, code: &str) -> bool {
        matches!(&self.reason, Reason::Failed(text) if text.split(' ').any(|word| word == code))
    }
}
