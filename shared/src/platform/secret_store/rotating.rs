//! A value that may change while the process runs.

use std::{
    fmt,
    future::Future,
    sync::{Arc, Mutex},
};

use super::{
    SecretReference, SecretStore,
    store::{StoredSecret, lock},
};

/// A configured value: fixed, or parsed from a stored secret that may be rotated at any time.
#[derive(Clone)]
pub struct Rotating<T>(Kind<T>);

#[derive(Clone)]
enum Kind<T> {
    Fixed(Arc<T>),
    Stored(Arc<StoredValue<T>>),
}

type Parse<T> = Box<dyn Fn(&str) -> Result<T, String> + Send + Sync>;

struct StoredValue<T> {
    secret: Arc<StoredSecret>,
    reference: SecretReference,
    parse: Parse<T>,
    /// The last value that the parser accepted, and the newest version that it has read.
    last_good: Mutex<(u64, Arc<T>)>,
}

impl<T> Rotating<T> {
    pub fn fixed(value: T) -> Self {
        Self(Kind::Fixed(Arc::new(value)))
    }

    /// Creates a value of a secret that the store has fetched.
    ///
    /// # Errors
    /// Returns the reason if the secret was not fetched or the parser rejects it.
    pub fn from_store(
        store: &SecretStore,
        reference: &SecretReference,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        let secret = store.secret(&reference.id);
        let (version, text) = secret.current()?;
        let value = parse(&reference.select(text.expose())?)?;
        let last_good = Mutex::new((version, Arc::new(value)));
        let (parse, reference) = (Box::new(parse), reference.clone());
        Ok(Self(Kind::Stored(Arc::new(StoredValue { secret, reference, parse, last_good }))))
    }

    /// Like [`Rotating::from_store`], for a secret that the store may not have fetched yet.
    pub async fn fetch_from_store(
        store: &SecretStore,
        reference: &SecretReference,
        parse: impl Fn(&str) -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Self, String> {
        store.secret(&reference.id).fetch_if_missing().await;
        Self::from_store(store, reference, parse)
    }

    /// Returns the current value. If it is old, a fetch begins in the background.
    pub fn current(&self) -> Arc<T> {
        match &self.0 {
            Kind::Fixed(value) => Arc::clone(value),
            Kind::Stored(stored) => {
                stored.secret.refresh_if_old();
                stored.latest().1
            }
        }
    }

    /// Returns a newer value than the one that another system refused, if there is one.
    pub async fn newer_after_refusal(&self, refused: &Arc<T>) -> Option<Arc<T>> {
        let Kind::Stored(stored) = &self.0 else { return None };
        let (version, latest) = stored.latest();
        if !Arc::ptr_eq(&latest, refused) {
            return Some(latest);
        }
        stored.secret.refetch_refused(version, false).await;
        let (_, latest) = stored.latest();
        (!Arc::ptr_eq(&latest, refused)).then_some(latest)
    }

    /// Sends a request with the current value. If the other system refuses the value and there is a
    /// newer one, sends the request once more.
    pub async fn send<R, F: Future<Output = R>>(
        &self,
        send: impl Fn(Arc<T>) -> F,
        is_refused: impl Fn(&R) -> bool,
    ) -> R {
        let value = self.current();
        let response = send(Arc::clone(&value)).await;
        if !is_refused(&response) {
            return response;
        }
        match self.newer_after_refusal(&value).await {
            Some(newer) => send(newer).await,
            None => response,
        }
    }

    /// Returns the first result of a check that the current or the previous value passes. If neither
    /// does, checks again after a fetch.
    pub async fn find<R>(&self, check: impl Fn(&T) -> Option<R>) -> Option<R> {
        let current = self.current();
        if let Some(result) = check(&current) {
            return Some(result);
        }
        let Kind::Stored(stored) = &self.0 else { return None };
        let previous = |stored: &StoredValue<T>| stored.previous().and_then(|value| check(&value));
        if let Some(result) = previous(stored) {
            return Some(result);
        }
        let (version, _) = stored.latest();
        stored.secret.refetch_refused(version, true).await;
        check(&stored.latest().1).or_else(|| previous(stored))
    }
}

impl<T> StoredValue<T> {
    /// Returns the value of the newest version that the parser accepts. Another rotation may repair
    /// a secret that it rejects.
    fn latest(&self) -> (u64, Arc<T>) {
        let mut last_good = lock(&self.last_good);
        if let Some((version, text)) = self.secret.newer_than(last_good.0) {
            last_good.0 = version;
            match self.read(text.expose()) {
                Ok(value) => last_good.1 = Arc::new(value),
                Err(reason) => {
                    tracing::error!(reason, "a rotated secret is invalid: the last value stays in use");
                }
            }
        }
        (last_good.0, Arc::clone(&last_good.1))
    }

    fn previous(&self) -> Option<T> {
        self.secret.previous().and_then(|text| self.read(text.expose()).ok())
    }

    fn read(&self, text: &str) -> Result<T, String> {
        (self.parse)(&self.reference.select(text)?)
    }
}

impl<T> From<T> for Rotating<T> {
    fn from(value: T) -> Self {
        Self::fixed(value)
    }
}

impl<T> fmt::Debug for Rotating<T> {
    /// Prints no value, since it may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rotating(…)")
    }
}
