//! The secrets of a process, each with its current and its previous value.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::future::join_all;
use jiff::SignedDuration;

use super::{FetchError, FetchedSecret, SecretId, SecretReference, SecretSource};
use crate::platform::{parse::Timestamp, secret::Secret};

/// Age at which a use of a value causes a fetch in the background.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(5);

/// Minimum time between two fetches of a secret because of refused values, so that forged tokens do
/// not become calls. Background fetches and failed fetches keep the same distance.
const MIN_REFETCH: SignedDuration = SignedDuration::from_mins(1);

/// Time for which checks accept the previous value after a new one was stored. It is longer than
/// the maximum age of a value and the life of a client secret together.
const OVERLAP: SignedDuration = SignedDuration::from_hours(1);

/// The secrets that a process uses, by their ids.
pub struct SecretStore {
    source: Arc<dyn SecretSource>,
    secrets: Mutex<HashMap<SecretId, Arc<StoredSecret>>>,
}

/// One secret. Several values can be members of the same secret.
pub(super) struct StoredSecret {
    id: SecretId,
    source: Arc<dyn SecretSource>,
    state: Mutex<State>,
    /// Held during a fetch, so that concurrent refusals share it.
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    current: Option<Secret>,
    /// Changes with the text of `current`.
    version: u64,
    /// The value before `current`, and the time at which it was replaced.
    previous: Option<(Secret, Timestamp)>,
    fetched: Option<Timestamp>,
    attempted: Option<Timestamp>,
    /// When a refusal last caused a fetch. Other fetches do not count: a value that is rotated right
    /// after a start must be found.
    last_refusal: Option<Timestamp>,
    error: Option<FetchError>,
}

impl SecretStore {
    pub fn new(source: Arc<dyn SecretSource>) -> Self {
        Self { source, secrets: Mutex::default() }
    }

    /// Fetches secrets concurrently. A failure is reported where the value is used.
    pub async fn fetch_all(&self, ids: impl IntoIterator<Item = SecretId>) {
        let secrets: Vec<_> = ids.into_iter().map(|id| self.secret(&id)).collect();
        join_all(secrets.iter().map(|secret| secret.fetch_if_missing())).await;
    }

    /// Returns the value of a reference, if it was fetched.
    pub fn text(&self, reference: &SecretReference) -> Option<Secret> {
        let (_, text) = self.secret(&reference.id).current().ok()?;
        reference.select(text.expose()).ok().map(Secret::new)
    }

    /// Returns a secret, which may not have been fetched.
    pub(super) fn secret(&self, id: &SecretId) -> Arc<StoredSecret> {
        let mut secrets = lock(&self.secrets);
        let new = || {
            let (state, fetching) = (Mutex::default(), tokio::sync::Mutex::default());
            Arc::new(StoredSecret { id: id.clone(), source: Arc::clone(&self.source), state, fetching })
        };
        Arc::clone(secrets.entry(id.clone()).or_insert_with(new))
    }
}

impl StoredSecret {
    /// Returns the text with its version.
    ///
    /// # Errors
    /// Returns the error of the last fetch if no fetch has succeeded.
    pub fn current(&self) -> Result<(u64, Secret), String> {
        let state = lock(&self.state);
        match (&state.current, &state.error) {
            (Some(text), _) => Ok((state.version, text.clone())),
            (None, Some(error)) => Err(error.to_string()),
            (None, None) => Err("was not fetched".to_owned()),
        }
    }

    /// Returns the text with its version, if it differs from this version.
    pub fn newer_than(&self, version: u64) -> Option<(u64, Secret)> {
        let state = lock(&self.state);
        state.current.as_ref().filter(|_| state.version != version).map(|text| (state.version, text.clone()))
    }

    /// Returns the previous text, as long as it is accepted.
    pub fn previous(&self) -> Option<Secret> {
        self.previous_at(Timestamp::now())
    }

    fn previous_at(&self, now: Timestamp) -> Option<Secret> {
        let state = lock(&self.state);
        let previous =
            state.previous.as_ref().filter(|(_, replaced)| now.duration_since(*replaced) < OVERLAP);
        previous.map(|(text, _)| text.clone())
    }

    /// Fetches the secret unless it is known, or unless a fetch failed less than a minute ago.
    pub async fn fetch_if_missing(&self) {
        let _fetching = self.fetching.lock().await;
        let is_due = {
            let state = lock(&self.state);
            state.current.is_none() && is_older(state.attempted, MIN_REFETCH, Timestamp::now())
        };
        if is_due {
            self.fetch(false).await;
        }
    }

    /// Fetches the secret again after another system, or a check, refused the value of this
    /// version. Does nothing if a newer version is known or a refusal caused a fetch less than a
    /// minute ago.
    pub async fn refetch_refused(&self, version: u64, previous: bool) {
        let _fetching = self.fetching.lock().await;
        if self.begin_refetch(version, Timestamp::now()) {
            self.fetch(previous).await;
        }
    }

    fn begin_refetch(&self, version: u64, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        let is_due = state.version == version && is_older(state.last_refusal, MIN_REFETCH, now);
        if is_due {
            state.last_refusal = Some(now);
        }
        is_due
    }

    /// Fetches the secret in the background if it is old. Ages use the wall clock, because it
    /// advances while a function is frozen.
    pub fn refresh_if_old(self: &Arc<Self>) {
        if !self.begin_refresh(Timestamp::now()) {
            return;
        }
        // Without a runtime, no request is being served.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let secret = Arc::clone(self);
            runtime.spawn(async move {
                let _fetching = secret.fetching.lock().await;
                secret.fetch(false).await;
            });
        }
    }

    fn begin_refresh(&self, now: Timestamp) -> bool {
        let mut state = lock(&self.state);
        let is_due = is_older(state.fetched, MAX_AGE, now) && is_older(state.attempted, MIN_REFETCH, now);
        if is_due {
            state.attempted = Some(now);
        }
        is_due
    }

    async fn fetch(&self, previous: bool) {
        let fetched = self.source.fetch(&self.id, previous).await;
        if let Err(error) = &fetched {
            tracing::warn!(%error, "a secret cannot be fetched");
        }
        lock(&self.state).update(fetched, Timestamp::now());
    }
}

impl State {
    /// Takes a fetched secret over. If the fetch failed, the last value stays in use.
    fn update(&mut self, fetched: Result<FetchedSecret, FetchError>, now: Timestamp) {
        self.attempted = Some(now);
        let FetchedSecret { current, stored_at, previous } = match fetched {
            Ok(fetched) => fetched,
            Err(error) => {
                self.error = Some(error);
                return;
            }
        };
        (self.fetched, self.error) = (Some(now), None);
        let replaced = match &self.current {
            Some(known) if known.expose() == current.expose() => None,
            known => {
                let replaced = known.clone().map(|known| (known, now));
                (self.current, self.version) = (Some(current), self.version + 1);
                replaced
            }
        };
        self.previous = previous.zip(stored_at).or(replaced).or(self.previous.take());
    }
}

/// Returns whether an event is at least this old, or never happened, or lies in the future because
/// the clock was set back.
fn is_older(event: Option<Timestamp>, age: SignedDuration, now: Timestamp) -> bool {
    event.is_none_or(|event| now < event || now.duration_since(event) >= age)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::future::BoxFuture;

    use super::*;

    struct NoSource;

    impl SecretSource for NoSource {
        fn fetch<'a>(&'a self, _: &'a SecretId, _: bool) -> BoxFuture<'a, Result<FetchedSecret, FetchError>> {
            Box::pin(async { Err(FetchError { store: "a test", cause: "nothing".to_owned() }) })
        }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_341_600 + seconds).unwrap()
    }

    fn fetched(current: &str, previous: Option<(&str, i64)>) -> Result<FetchedSecret, FetchError> {
        Ok(FetchedSecret {
            current: Secret::new(current),
            stored_at: previous.map(|(_, seconds)| at(seconds)),
            previous: previous.map(|(text, _)| Secret::new(text)),
        })
    }

    fn secret() -> Arc<StoredSecret> {
        let store = SecretStore::new(Arc::new(NoSource));
        let secret = store.secret(&SecretId::ParameterStore("/a".to_owned()));
        lock(&secret.state).update(fetched("first", None), at(0));
        secret
    }

    #[test]
    fn refusals_cause_one_fetch_per_minute_and_version() {
        let secret = secret();
        let fetches: Vec<bool> =
            [1, 2, 60, 61, 62, 121].map(|seconds| secret.begin_refetch(1, at(seconds))).into();
        assert_eq!(fetches, [true, false, false, true, false, true]);
        assert!(!secret.begin_refetch(0, at(300)), "an outdated version was refused");
        assert!(secret.begin_refetch(1, at(0)), "the clock was set back");
    }

    #[test]
    fn use_of_an_old_value_causes_one_background_fetch_per_minute() {
        let secret = secret();
        let fetches: Vec<bool> =
            [1, 299, 300, 301, 359, 360].map(|seconds| secret.begin_refresh(at(seconds))).into();
        assert_eq!(fetches, [false, false, true, false, false, true]);
    }

    #[test]
    fn failed_fetch_keeps_the_last_value() {
        let secret = secret();
        let failure = FetchError { store: "a test", cause: "no answer".to_owned() };
        lock(&secret.state).update(Err(failure), at(400));
        assert_eq!(secret.current().unwrap().1.expose(), "first");
        assert!(!secret.begin_refresh(at(459)) && secret.begin_refresh(at(460)));
    }

    #[test]
    fn previous_value_is_accepted_for_an_hour() {
        let secret = secret();
        let previous = |seconds| secret.previous_at(at(seconds)).map(|text| text.expose().to_owned());
        assert_eq!(previous(0), None);
        lock(&secret.state).update(fetched("second", None), at(10));
        assert_eq!(previous(3609).as_deref(), Some("first"));
        assert_eq!(previous(3610), None);
        // The same value again does not extend the time.
        lock(&secret.state).update(fetched("second", None), at(20));
        assert_eq!(previous(3610), None);
    }

    #[test]
    fn previous_value_of_the_store_counts_from_its_replacement() {
        let secret = secret();
        lock(&secret.state).update(fetched("first", Some(("zeroth", -3000))), at(10));
        let previous = |seconds| secret.previous_at(at(seconds)).map(|text| text.expose().to_owned());
        assert_eq!(previous(599).as_deref(), Some("zeroth"));
        assert_eq!(previous(600), None);
        assert_eq!(secret.newer_than(1).map(|(version, _)| version), None);
    }
}
