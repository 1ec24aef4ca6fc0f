//! Strings that are not printed.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A key or client secret. `Debug` prints only a fingerprint, so that two values can be compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RedactedString(String);

impl RedactedString {
    pub(super) fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedactedString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        write!(f, "[hidden #{:04x}]", hasher.finish() & 0xffff)
    }
}
