//! Values that must not be seen: they print nothing and are wiped from memory when dropped.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A secret text: a key, a token, a client secret. `Debug` prints a placeholder; there is no `Display`.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// The text itself, for the one place that has to send it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// A client secret is made to be sent to its user. The only type that serialises one is the answer
/// of `POST /chatkit/sessions`, by this function; `Secret` itself cannot be serialised.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_exposed<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    secret.expose().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_nothing_of_itself() {
        assert!(!format!("{:?}", Secret::new("ek_canary")).contains("canary"));
    }
}
