//! Secrets that the environment refers to by name: fetched at start, cached, and fetched again when
//! another system refuses a value or when the value is some minutes old.
//!
//! A [`Rotating`] value is what a client or a check holds. It never waits for a store, except after
//! a refusal. The last good value stays in use while the store cannot be reached.

#[cfg(feature = "runtime-secrets")]
mod aws;
#[cfg(test)]
pub(crate) mod fake_source;
#[cfg(feature = "runtime-secrets")]
mod parameter_store;
mod reference;
mod rotating;
#[cfg(test)]
mod rotating_tests;
mod store;

use futures_util::future::BoxFuture;

use crate::platform::{parse::Timestamp, secret::Secret};

#[cfg(feature = "runtime-secrets")]
pub(super) use aws::AwsSecretSource;
pub use reference::{SecretId, SecretReference};
pub use rotating::Rotating;
pub use store::SecretStore;

/// Reason of the error for a reference in a program that cannot fetch secrets.
pub(crate) const NOT_BUILT_IN: &str = "is a reference to a secret, and this program is built without the \
    feature `runtime-secrets`: build the functions with it, or store the secret itself in the variable";

/// Where secrets are stored.
pub trait SecretSource: Send + Sync {
    /// Fetches the current value of a secret, and with `previous` also the value before it.
    fn fetch<'a>(
        &'a self,
        id: &'a SecretId,
        previous: bool,
    ) -> BoxFuture<'a, Result<FetchedSecret, FetchError>>;
}

/// A secret as its store returned it.
#[derive(Debug)]
pub struct FetchedSecret {
    pub current: Secret,
    /// Time at which the current value was stored, if the store reports it.
    pub stored_at: Option<Timestamp>,
    /// The value before the current one, if it was requested and exists.
    pub previous: Option<Secret>,
}

/// Reason why a secret was not fetched. Holds nothing that is secret, and no text of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    /// Name of the store.
    pub store: &'static str,
    /// The store's code of the error, or a phrase if there was no answer.
    pub cause: String,
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "cannot be fetched from {} ({})", self.store, self.cause)
    }
}
