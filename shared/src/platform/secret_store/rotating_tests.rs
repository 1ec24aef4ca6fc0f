use std::sync::{Arc, Mutex};

use futures_util::future::join_all;

use super::{Rotating, SecretReference, SecretStore, fake_source::FakeSource, store::lock};

const ID: &str = "a";

fn parse(text: &str) -> Result<String, String> {
    if text.contains("invalid") { Err("is invalid".to_owned()) } else { Ok(text.to_owned()) }
}

fn reference() -> SecretReference {
    SecretReference::parse("secretsmanager:a").unwrap().unwrap()
}

/// Returns a source with this value, and a value that was read from it.
async fn rotating(value: &str) -> (Arc<FakeSource>, Rotating<String>) {
    let source = Arc::new(FakeSource::default());
    source.store(ID, value);
    let store = SecretStore::new(source.clone());
    store.fetch_all([reference().id]).await;
    let rotating = Rotating::from_store(&store, &reference(), parse).unwrap();
    (source, rotating)
}

/// Sends a request to a system that accepts only this value. Returns the values that were sent.
async fn send(rotating: &Rotating<String>, accepted: &str) -> (Vec<String>, bool) {
    let sent = Mutex::new(Vec::new());
    let request = async |value: Arc<String>| {
        tokio::task::yield_now().await;
        lock(&sent).push(value.to_string());
        *value == accepted
    };
    let is_accepted = rotating.send(request, |is_accepted| !is_accepted).await;
    (sent.into_inner().unwrap(), is_accepted)
}

#[tokio::test]
async fn refused_value_is_fetched_again_and_the_request_repeated_once() {
    let (source, rotating) = rotating("first").await;
    assert_eq!(send(&rotating, "first").await, (vec!["first".to_owned()], true));
    source.store(ID, "second");
    assert_eq!(send(&rotating, "second").await, (vec!["first".to_owned(), "second".to_owned()], true));
    assert_eq!(send(&rotating, "second").await, (vec!["second".to_owned()], true));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn concurrent_refusals_share_one_fetch() {
    let (source, rotating) = rotating("first").await;
    source.store(ID, "second");
    let sent = join_all((0..50).map(|_| send(&rotating, "second"))).await;
    assert!(sent.iter().all(|(_, is_accepted)| *is_accepted), "{sent:?}");
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn forged_values_cause_one_fetch() {
    let (source, rotating) = rotating("first").await;
    let checks = join_all((0..50).map(|_| rotating.find(|value| (value == "forged").then_some(())))).await;
    assert!(checks.iter().all(Option::is_none));
    assert_eq!(send(&rotating, "other").await, (vec!["first".to_owned()], false));
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn check_accepts_the_previous_and_the_next_value() {
    let (source, rotating) = rotating("first").await;
    let is_accepted =
        async |given: &str| rotating.find(|value| (value == given).then_some(())).await.is_some();
    source.store(ID, "second");
    for (given, expected) in [("first", true), ("second", true), ("first", true), ("third", false)] {
        assert_eq!(is_accepted(given).await, expected, "{given}");
    }
    assert_eq!(source.fetches(), 2);
}

#[tokio::test]
async fn process_that_starts_after_a_rotation_accepts_the_previous_value() {
    let source = Arc::new(FakeSource::default());
    source.store(ID, "first");
    source.store(ID, "second");
    let store = SecretStore::new(source.clone());
    store.fetch_all([reference().id]).await;
    let rotating = Rotating::from_store(&store, &reference(), parse).unwrap();
    assert_eq!(rotating.find(|value| (value == "first").then_some(())).await, Some(()));
    assert_eq!(*rotating.current(), "second");
}

#[tokio::test]
async fn last_good_value_stays_in_use() {
    let (source, rotating) = rotating("first").await;
    source.fail();
    assert_eq!(send(&rotating, "second").await, (vec!["first".to_owned()], false));
    assert_eq!(*rotating.current(), "first");
    let (source, rotating) = self::rotating("first").await;
    source.store(ID, "invalid");
    assert_eq!(send(&rotating, "second").await, (vec!["first".to_owned()], false));
    assert_eq!(*rotating.current(), "first");
}

#[tokio::test]
async fn unreachable_store_is_reported_without_values() {
    let source = Arc::new(FakeSource::default());
    let store = SecretStore::new(source.clone());
    let error = Rotating::fetch_from_store(&store, &reference(), parse).await.unwrap_err();
    assert_eq!(error, "cannot be fetched from a test (no answer)");
    // A failed fetch is not repeated within a minute.
    assert!(Rotating::fetch_from_store(&store, &reference(), parse).await.is_err());
    assert_eq!(source.fetches(), 1);
    source.store(ID, "canary");
    let store = SecretStore::new(source);
    let rotating = Rotating::fetch_from_store(&store, &reference(), parse).await.unwrap();
    assert!(!format!("{rotating:?}").contains("canary"));
}
