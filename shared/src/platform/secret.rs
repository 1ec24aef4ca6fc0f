//! Secret texts, which `Debug` does not print and which are erased from memory when dropped.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A secret: a key, a token or a client secret. `Debug` prints a placeholder,
/// and `Display` is not implemented.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub struct Secret(SecretString);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(SecretString::from(text.into()))
    }

    /// Returns the text, for the one place that has to send it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// Serialises a client secret, which is made to be sent to its user. Only the response of `POST
/// /chatkit/sessions` uses this function. `Secret` itself does not implement `Serialize`.
pub fn serialize_exposed<S: serde::Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    secret.expose().serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_redacts_the_secret() {
        assert!(!format!("{:?}", Secret::new("ek_canary")).contains("canary"));
    }
}
