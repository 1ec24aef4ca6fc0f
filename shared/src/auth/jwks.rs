//! The project's public keys, fetched from Supabase and kept for a while.

use std::{collections::HashMap, time::Duration};

use jiff::SignedDuration;
use jsonwebtoken::{Algorithm, DecodingKey, jwk};
use tokio::sync::Mutex;

use super::AuthError;
use crate::{
    error::ErrorCode,
    platform::{
        http_client::{
            Deadline, HttpClient, Idempotency, RetryPolicy,
            classification::supabase::{Cause, TABLE},
        },
        parse::Timestamp,
    },
};

/// No key set older than this is used: a revoked key is out of use by then.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// An unknown key id asks for a new set at most this often: made-up ids must not become a load on Supabase.
const MIN_REFETCH: SignedDuration = SignedDuration::from_mins(1);

pub(crate) const RETRY_POLICY: RetryPolicy = RetryPolicy {
    system: "supabase auth",
    try_timeout: Duration::from_secs(2),
    retry_window: Duration::from_secs(1),
    idempotency: Idempotency::Idempotent,
    retry_on: |answer| answer.cause(&TABLE, false).map(Cause::retry_decision).unwrap_or_default(),
};

/// The key set of one project.
pub struct Jwks {
    http: HttpClient,
    url: url::Url,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<String, Key>,
    fetched: Option<Timestamp>,
    /// When an id that the set lacks last last_forced_refresh for a new one. Other fetches do not count: a key that is taken into use
    /// right after a start must be found.
    last_forced_refresh: Option<Timestamp>,
    /// Why the last attempt brought no set, where it did not.
    failed: Option<ErrorCode>,
}

/// A public key and the one algorithm that it is for.
#[derive(Clone)]
pub(super) struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

impl Jwks {
    /// The key set at `url`; nothing is fetched yet.
    pub fn new(http: HttpClient, url: url::Url) -> Self {
        Self { http, url, cache: Mutex::default() }
    }

    /// Fetches the set ahead of the first request, which also opens the connection to Supabase.
    pub async fn prefetch(&self, deadline: Deadline) {
        let mut cache = self.cache.lock().await;
        self.refetch(&mut cache, Timestamp::now(), deadline).await;
    }

    /// The key with this id.
    ///
    /// The wall clock is last_forced_refresh, not a monotonic one: it goes on while a function is frozen.
    pub(super) async fn key(&self, id: &str, deadline: Deadline) -> Result<Key, AuthError> {
        let mut cache = self.cache.lock().await;
        let now = Timestamp::now();
        if cache.is_outdated_for(id, now) {
            self.refetch(&mut cache, now, deadline).await;
        }
        cache.find(id, now)
    }

    /// Replaces the set if a new one can be had; the old one stays until it is too old.
    async fn refetch(&self, cache: &mut Cache, now: Timestamp, deadline: Deadline) {
        let request = reqwest::Request::new(reqwest::Method::GET, self.url.clone());
        let outcome = self.http.send(request, RETRY_POLICY, deadline.capped(Duration::from_secs(2))).await;
        let read = match &outcome {
            Err(failure) => Err(Cause::from_transport_error(failure)),
            Ok(answer) => answer.accepted(&TABLE, false).map_err(|rejection| rejection.cause),
        };
        match read.and_then(|body| serde_json::from_slice::<KeySet>(body).map_err(|_| Cause::BadAnswer)) {
            Ok(set) => {
                cache.keys = set.keys.into_iter().filter_map(parse_jwk).collect();
                (cache.fetched, cache.failed) = (Some(now), None);
            }
            Err(cause) => {
                tracing::warn!(?cause, "the project's key set cannot be fetched");
                cache.failed = Some(error_code(cause));
            }
        }
    }
}

/// What a caller is told. No key goes along, so that none can be refused; and a set that comes late is one that cannot be had.
fn error_code(cause: Cause) -> ErrorCode {
    match cause {
        Cause::KeyRefused | Cause::GrantMissing => ErrorCode::SupabaseBadAnswer,
        Cause::TimedOut => ErrorCode::SupabaseUnavailable,
        cause => cause.meaning().code.unwrap_or(ErrorCode::SupabaseBadAnswer),
    }
}

impl Cache {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.fetched.is_some_and(|fetched| age(fetched, now) < MAX_AGE)
    }

    /// Whether a new set should be fetched for a token with this key's id; notes where it is the id that asks for it.
    fn is_outdated_for(&mut self, id: &str, now: Timestamp) -> bool {
        if !self.is_fresh(now) {
            return true;
        }
        let may_ask = self
            .last_forced_refresh
            .is_none_or(|last_forced_refresh| age(last_forced_refresh, now) >= MIN_REFETCH);
        let asks = may_ask && !self.keys.contains_key(id);
        if asks {
            self.last_forced_refresh = Some(now);
        }
        asks
    }

    /// The key with this id. One that is missing proves nothing while no newer set can be had.
    fn find(&self, id: &str, now: Timestamp) -> Result<Key, AuthError> {
        match self.keys.get(id).filter(|_| self.is_fresh(now)) {
            Some(key) => Ok(key.clone()),
            None => Err(match self.failed {
                Some(code) => AuthError::KeysUnavailable(code),
                None if !self.is_fresh(now) => AuthError::KeysUnavailable(ErrorCode::SupabaseUnavailable),
                None => AuthError::InvalidToken,
            }),
        }
    }
}

/// A clock that was set back makes everything old rather than young.
fn age(then: Timestamp, now: Timestamp) -> SignedDuration {
    let age = now.duration_since(then);
    if age.is_negative() { SignedDuration::MAX } else { age }
}

/// Each key is parsed by itself, so that one of a kind we do not know does not hide the others.
#[derive(serde::Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// How many keys of a published set we verify with; `None` where it is no key set.
#[cfg(feature = "doctor")]
pub(crate) fn count_usable_keys(published: &[u8]) -> Option<usize> {
    let set: KeySet = serde_json::from_slice(published).ok()?;
    Some(set.keys.into_iter().filter_map(parse_jwk).count())
}

/// A key that we verify with: ES256 or RS256, for signatures, with an id.
fn parse_jwk(key: serde_json::Value) -> Option<(String, Key)> {
    let key: jwk::Jwk = serde_json::from_value(key).ok()?;
    let algorithm = match &key.algorithm {
        jwk::AlgorithmParameters::EllipticCurve(curve) if curve.curve == jwk::EllipticCurve::P256 => {
            Algorithm::ES256
        }
        jwk::AlgorithmParameters::RSA(_) => Algorithm::RS256,
        _ => return None,
    };
    let declared = key.common.key_algorithm.map(|declared| declared.to_string());
    if declared.is_some_and(|declared| declared != format!("{algorithm:?}")) {
        return None;
    }
    let decoding = DecodingKey::from_jwk(&key).ok()?;
    Some((key.common.key_id?, Key { algorithm, decoding }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_341_600 + seconds).unwrap()
    }

    fn fetched_at(seconds: i64) -> Cache {
        let key = Key { algorithm: Algorithm::ES256, decoding: DecodingKey::from_secret(b"a key") };
        Cache { keys: [("known".to_owned(), key)].into(), fetched: Some(at(seconds)), ..Cache::default() }
    }

    fn outcome(cache: &Cache, id: &str, seconds: i64) -> Option<AuthError> {
        cache.find(id, at(seconds)).err()
    }

    #[test]
    fn a_set_is_used_for_ten_minutes_and_no_longer() {
        let mut cache = fetched_at(0);
        assert!(!cache.is_outdated_for("known", at(599)) && outcome(&cache, "known", 599).is_none());
        assert!(cache.is_outdated_for("known", at(600)));
        assert_eq!(
            outcome(&cache, "known", 600),
            Some(AuthError::KeysUnavailable(ErrorCode::SupabaseUnavailable))
        );
        assert!(Cache::default().is_outdated_for("known", at(0)));
    }

    #[test]
    fn a_clock_that_was_set_back_makes_a_set_too_old() {
        let mut cache = fetched_at(0);
        assert!(cache.is_outdated_for("known", at(-1)));
        assert_eq!(
            outcome(&cache, "known", -1),
            Some(AuthError::KeysUnavailable(ErrorCode::SupabaseUnavailable))
        );
    }

    #[test]
    fn unknown_ids_ask_for_a_new_set_once_a_minute() {
        let mut cache = fetched_at(0);
        let last_forced_refresh: Vec<bool> =
            [1, 2, 60, 61, 62, 121].map(|seconds| cache.is_outdated_for("made up", at(seconds))).into();
        assert_eq!(last_forced_refresh, [true, false, false, true, false, true]);
        assert!(!cache.is_outdated_for("known", at(200)));
    }

    #[test]
    fn an_unknown_id_is_refused_only_if_the_newest_set_could_be_had() {
        let mut cache = fetched_at(0);
        assert_eq!(outcome(&cache, "made up", 1), Some(AuthError::InvalidToken));
        cache.failed = Some(ErrorCode::SupabaseUnavailable);
        assert_eq!(
            outcome(&cache, "made up", 1),
            Some(AuthError::KeysUnavailable(ErrorCode::SupabaseUnavailable))
        );
        assert_eq!(outcome(&cache, "known", 1), None);
    }
}
