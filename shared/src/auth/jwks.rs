//! The project's public keys, fetched from Supabase and kept for a while.

use std::{collections::HashMap, time::Duration};

use jiff::{SignedDuration, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, jwk};
use tokio::sync::Mutex;

use super::Refusal;
use crate::upstream::{Deadline, Http, Manner, Repeat};

/// No key set older than this is used: a revoked key is out of use by then.
const MAX_AGE: SignedDuration = SignedDuration::from_mins(10);

/// An unknown key id asks for a new set at most this often: made-up ids must not become a load on Supabase.
const MIN_REFETCH: SignedDuration = SignedDuration::from_mins(1);

const MANNER: Manner = Manner {
    system: "supabase auth",
    try_timeout: Duration::from_secs(2),
    repeat: Repeat::Safe,
    again: |status| status.is_server_error(),
};

/// The key set of one project.
pub struct Jwks {
    http: Http,
    url: url::Url,
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<String, Key>,
    fetched: Option<Timestamp>,
    tried: Option<Timestamp>,
}

/// A public key and the one algorithm that it is for.
#[derive(Clone)]
pub(super) struct Key {
    pub algorithm: Algorithm,
    pub decoding: DecodingKey,
}

impl Jwks {
    /// The key set at `url`; nothing is fetched yet.
    pub fn new(http: Http, url: url::Url) -> Self {
        Self { http, url, cache: Mutex::default() }
    }

    /// Fetches the set ahead of the first request, which also opens the connection to Supabase.
    pub async fn warm(&self, deadline: Deadline) {
        let mut cache = self.cache.lock().await;
        self.refetch(&mut cache, Timestamp::now(), deadline).await;
    }

    /// The key with this id.
    ///
    /// The wall clock is asked, not a monotonic one: it goes on while a function is frozen.
    pub(super) async fn key(&self, id: &str, deadline: Deadline) -> Result<Key, Refusal> {
        let mut cache = self.cache.lock().await;
        let now = Timestamp::now();
        if !cache.is_fresh(now) || (!cache.keys.contains_key(id) && cache.may_refetch(now)) {
            self.refetch(&mut cache, now, deadline).await;
        }
        if !cache.is_fresh(now) {
            return Err(Refusal::KeysUnavailable);
        }
        cache.keys.get(id).cloned().ok_or(Refusal::InvalidToken)
    }

    /// Replaces the set if a new one can be had; the old one stays until it is too old.
    async fn refetch(&self, cache: &mut Cache, now: Timestamp, deadline: Deadline) {
        cache.tried = Some(now);
        let request = reqwest::Request::new(reqwest::Method::GET, self.url.clone());
        let Ok(answer) = self.http.send(request, MANNER, deadline.within(Duration::from_secs(2))).await
        else {
            return;
        };
        match serde_json::from_slice::<KeySet>(&answer.body) {
            Ok(set) if answer.status.is_success() => {
                cache.keys = set.keys.into_iter().filter_map(usable).collect();
                cache.fetched = Some(now);
            }
            _ => tracing::warn!(status = answer.status.as_u16(), "the project's key set is not readable"),
        }
    }
}

impl Cache {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.fetched.is_some_and(|fetched| age(fetched, now) < MAX_AGE)
    }

    fn may_refetch(&self, now: Timestamp) -> bool {
        self.tried.is_none_or(|tried| age(tried, now) >= MIN_REFETCH)
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

/// A key that we verify with: ES256 or RS256, for signatures, with an id.
fn usable(key: serde_json::Value) -> Option<(String, Key)> {
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
