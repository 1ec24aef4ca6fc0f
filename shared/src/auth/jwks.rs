//! JWKS cache: the project's public keys, fetched from Supabase and cached by key id.

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
            classification::supabase::{SupabaseCause, TABLE},
        },
        parse::Timestamp,
    },
};

/// Maximum age of a cached key set. After this time at the latest a revoked key is rejected.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// Minimum time between two fetches for unknown key ids, so that invented ids do
/// not put load on Supabase.
const MIN_REFETCH: SignedDuration = SignedDuration::from_mins(1);

pub(crate) const RETRY_POLICY: RetryPolicy = RetryPolicy {
    system: "supabase auth",
    try_timeout: Duration::from_secs(2),
    retry_window: Duration::from_secs(1),
    idempotency: Idempotency::Idempotent,
    retry_on: |answer| answer.cause(&TABLE, false).map(SupabaseCause::retry_decision).unwrap_or_default(),
};

/// VerificationKey set (JWKS) of one Supabase project.
pub struct Jwks {
    http: HttpClient,
    url: url::Url,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<String, VerificationKey>,
    fetched: Option<Timestamp>,
    /// When an unknown key id last caused a fetch. Other fetches do not count: a key that comes
    /// into use right after a start must be found.
    last_forced_refresh: Option<Timestamp>,
    /// Why the last fetch failed, if it did.
    failed: Option<ErrorCode>,
}

/// A public key and the only algorithm that it is used with.
#[derive(Clone)]
pub(super) struct VerificationKey {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

impl Jwks {
    /// Creates an empty cache for the key set at `url`, without fetching it.
    pub fn new(http: HttpClient, url: url::Url) -> Self {
        Self { http, url, cache: Mutex::default() }
    }

    /// Fetches the set before the first request, which also opens the connection to Supabase.
    pub async fn prefetch(&self, deadline: Deadline) {
        let mut cache = self.cache.lock().await;
        self.refetch(&mut cache, Timestamp::now(), deadline).await;
    }

    /// Returns the key with this id, and fetches the set first if it is outdated.
    ///
    /// Ages use the wall clock and not a monotonic clock, because the wall clock advances
    /// while a function is frozen.
    pub(super) async fn key(&self, id: &str, deadline: Deadline) -> Result<VerificationKey, AuthError> {
        let mut cache = self.cache.lock().await;
        let now = Timestamp::now();
        if cache.is_outdated_for(id, now) {
            self.refetch(&mut cache, now, deadline).await;
        }
        cache.find(id, now)
    }

    /// Replaces the set. If the fetch fails, the old set stays in use until it is too old.
    async fn refetch(&self, cache: &mut Cache, now: Timestamp, deadline: Deadline) {
        let request = reqwest::Request::new(reqwest::Method::GET, self.url.clone());
        let outcome = self.http.send(request, RETRY_POLICY, deadline.capped(Duration::from_secs(2))).await;
        let read = match &outcome {
            Err(failure) => Err(SupabaseCause::from_transport_error(failure)),
            Ok(answer) => answer.accepted(&TABLE, false).map_err(|rejection| rejection.cause),
        };
        match read
            .and_then(|body| serde_json::from_slice::<KeySet>(body).map_err(|_| SupabaseCause::BadAnswer))
        {
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

/// Maps a failed fetch to the code that the caller receives. The request carries no
/// API key that Supabase could reject, so such an answer is an invalid response. A
/// late set counts as unavailable.
fn error_code(cause: SupabaseCause) -> ErrorCode {
    match cause {
        SupabaseCause::KeyRejected | SupabaseCause::GrantMissing => ErrorCode::SupabaseBadAnswer,
        SupabaseCause::TimedOut => ErrorCode::SupabaseUnavailable,
        cause => cause.meaning().code.unwrap_or(ErrorCode::SupabaseBadAnswer),
    }
}

impl Cache {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.fetched.is_some_and(|fetched| age(fetched, now) < MAX_AGE)
    }

    /// Returns whether to fetch the set for a token with this key id. Records the time if the
    /// reason is that the id is unknown.
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

    /// Finds the key with this id. A missing key does not prove that a token is invalid while the
    /// newest set cannot be fetched.
    fn find(&self, id: &str, now: Timestamp) -> Result<VerificationKey, AuthError> {
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

/// Time since `then`. Returns the maximum if the clock was set back, so
/// that everything counts as old.
fn age(then: Timestamp, now: Timestamp) -> SignedDuration {
    let age = now.duration_since(then);
    if age.is_negative() { SignedDuration::MAX } else { age }
}

/// A published key set. Each key is parsed separately, so that a key of an unknown kind
/// does not hide the others.
#[derive(serde::Deserialize)]
struct KeySet {
    keys: Vec<serde_json::Value>,
}

/// Counts the keys of a published set that can verify tokens. Returns `None` if it
/// is not a key set.
#[cfg(feature = "doctor")]
pub(crate) fn count_usable_keys(published: &[u8]) -> Option<usize> {
    let set: KeySet = serde_json::from_slice(published).ok()?;
    Some(set.keys.into_iter().filter_map(parse_jwk).count())
}

/// Parses a key that can verify tokens: ES256 or RS256, for signatures, with an id.
fn parse_jwk(key: serde_json::Value) -> Option<(String, VerificationKey)> {
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
    Some((key.common.key_id?, VerificationKey { algorithm, decoding }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_795_341_600 + seconds).unwrap()
    }

    fn fetched_at(seconds: i64) -> Cache {
        let key =
            VerificationKey { algorithm: Algorithm::ES256, decoding: DecodingKey::from_secret(b"a key") };
        Cache { keys: [("known".to_owned(), key)].into(), fetched: Some(at(seconds)), ..Cache::default() }
    }

    fn outcome(cache: &Cache, id: &str, seconds: i64) -> Option<AuthError> {
        cache.find(id, at(seconds)).err()
    }

    #[test]
    fn key_set_older_than_ten_minutes_is_outdated() {
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
    fn key_set_is_outdated_after_the_clock_is_set_back() {
        let mut cache = fetched_at(0);
        assert!(cache.is_outdated_for("known", at(-1)));
        assert_eq!(
            outcome(&cache, "known", -1),
            Some(AuthError::KeysUnavailable(ErrorCode::SupabaseUnavailable))
        );
    }

    #[test]
    fn unknown_key_ids_cause_one_fetch_per_minute() {
        let mut cache = fetched_at(0);
        let fetches: Vec<bool> =
            [1, 2, 60, 61, 62, 121].map(|seconds| cache.is_outdated_for("made up", at(seconds))).into();
        assert_eq!(fetches, [true, false, false, true, false, true]);
        assert!(!cache.is_outdated_for("known", at(200)));
    }

    #[test]
    fn unknown_key_id_is_rejected_only_if_the_last_fetch_succeeded() {
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
