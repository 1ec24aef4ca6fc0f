//! Strings that must not be printed.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A key or client secret. Its `Debug` shows only a fingerprint, enough to see whether two are the same.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hidden(String);

impl Hidden {
    pub(super) fn new(secret: impl Into<String>) -> Self {
        Self(secret.into())
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut hasher = DefaultHasher::new();
        self.0.hash(&mut hasher);
        write!(f, "[hidden #{:04x}]", hasher.finish() & 0xffff)
    }
}
