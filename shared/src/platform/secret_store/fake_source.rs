//! A store of secrets that tests write to.

use std::{
    collections::HashMap,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::future::BoxFuture;

use super::{FetchError, FetchedSecret, SecretId, SecretSource, store::lock};
use crate::platform::{parse::Timestamp, secret::Secret};

/// Counts fetches, and answers late enough for concurrent callers to meet.
#[derive(Default)]
pub(crate) struct FakeSource {
    /// The current and the previous value of each id.
    values: Mutex<HashMap<String, (String, Option<String>)>>,
    is_unreachable: AtomicBool,
    fetches: AtomicUsize,
}

impl FakeSource {
    pub fn store(&self, id: &str, value: &str) {
        let mut values = lock(&self.values);
        let previous = values.remove(id).map(|(current, _)| current);
        values.insert(id.to_owned(), (value.to_owned(), previous));
    }

    pub fn fail(&self) {
        self.is_unreachable.store(true, Ordering::SeqCst);
    }

    pub fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl SecretSource for FakeSource {
    fn fetch<'a>(
        &'a self,
        id: &'a SecretId,
        previous: bool,
    ) -> BoxFuture<'a, Result<FetchedSecret, FetchError>> {
        self.fetches.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            tokio::task::yield_now().await;
            let (SecretId::SecretsManager(id) | SecretId::ParameterStore(id)) = id;
            let is_reachable = !self.is_unreachable.load(Ordering::SeqCst);
            let value = lock(&self.values).get(id).filter(|_| is_reachable).cloned();
            let error = FetchError { store: "a test", cause: "no answer".to_owned() };
            let (current, replaced) = value.ok_or(error)?;
            Ok(FetchedSecret {
                current: Secret::new(current),
                stored_at: Some(Timestamp::now()),
                previous: replaced.filter(|_| previous).map(Secret::new),
            })
        })
    }
}
