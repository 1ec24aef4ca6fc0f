//! From the builder's request to the one client's, and from the answer to a value.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::{Serialize, de::DeserializeOwned};

use super::{Error, error::retry_decision};
use crate::platform::http_client::{
    Deadline, HttpClient, Idempotency, RetryPolicy, classification::supabase::TABLE,
};

/// Every request may be repeated: reads change nothing, and each of our RPC functions is idempotent.
pub(super) const RETRY_POLICY: RetryPolicy = RetryPolicy {
    system: "supabase",
    try_timeout: Duration::from_secs(3),
    // Supabase down is a quick 503: who has not answered by then is not asked again.
    retry_window: Duration::from_secs(1),
    idempotency: Idempotency::Idempotent,
    retry_on: |answer| retry_decision(answer, false),
};

/// A statement may run for 8 seconds; one that counts is given them. It has then been asked once.
pub(super) const SLOW_QUERY_POLICY: RetryPolicy =
    RetryPolicy { try_timeout: Duration::from_secs(9), ..RETRY_POLICY };

/// What a function of ours is called with.
pub(super) fn serialize_arguments(arguments: &impl Serialize) -> Result<String, Error> {
    serde_json::to_string(arguments).map_err(|error| Error::invalid_response(None, error.to_string()))
}

/// Sends what the builder built, with our headers, and reads the answer as JSON.
pub(super) async fn send<T: DeserializeOwned>(
    http: &HttpClient,
    builder: postgrest::Builder,
    headers: HeaderMap,
    as_user: bool,
    policy: RetryPolicy,
    deadline: Deadline,
) -> Result<T, Error> {
    let unbuilt = || Error::invalid_response(None, "request cannot be built".to_owned());
    let request = to_reqwest_013(builder, headers).ok_or_else(unbuilt)?;
    let policy = if as_user {
        RetryPolicy { retry_on: |answer| retry_decision(answer, true), ..policy }
    } else {
        policy
    };
    let answer = http.send(request, policy, deadline).await?;
    let body = answer.accepted(&TABLE, as_user)?;
    // The parser's message can quote the body: it stays out of the error.
    serde_json::from_slice(body).map_err(|error| {
        let why = format!("body is not as expected at line {}, column {}", error.line(), error.column());
        Error::invalid_response(Some(200), why)
    })
}

/// The builder makes a request of an older `reqwest`; its parts are the same on the wire.
fn to_reqwest_013(builder: postgrest::Builder, headers: HeaderMap) -> Option<reqwest::Request> {
    let built = builder.build().build().ok()?;
    let method = built.method().as_str().parse().ok()?;
    let mut request = reqwest::Request::new(method, built.url().clone());
    for (name, value) in built.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    request.headers_mut().extend(headers);
    let body = built.body().and_then(|body| body.as_bytes()).filter(|body| !body.is_empty());
    *request.body_mut() = body.map(|body| body.to_vec().into());
    Some(request)
}
