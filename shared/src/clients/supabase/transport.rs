//! Sends requests that the `postgrest` crate builds with our HTTP client, and parses the responses.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;

use super::{Error, Rpc, error::retry_decision};
use crate::platform::http_client::{
    Deadline, HttpClient, HttpResponse, Idempotency, RetryPolicy, classification::supabase::TABLE,
};

/// Every request may be repeated: reads change nothing, and each of
/// our RPC functions is idempotent.
pub(super) const RETRY_POLICY: RetryPolicy = RetryPolicy {
    system: "supabase",
    try_timeout: Duration::from_secs(3),
    // While Supabase is down, callers get 503 quickly: no retry begins after this time.
    retry_window: Duration::from_secs(1),
    idempotency: Idempotency::Idempotent,
    retry_on: |answer| retry_decision(answer, false),
};

/// For slow queries: a statement may run for 8 seconds. A query that takes
/// that long is not retried.
pub(super) const SLOW_QUERY_POLICY: RetryPolicy =
    RetryPolicy { try_timeout: Duration::from_secs(9), ..RETRY_POLICY };

/// Returns the retry policy for an RPC.
pub(super) const fn rpc_policy<R: Rpc>() -> RetryPolicy {
    if R::IS_SLOW { SLOW_QUERY_POLICY } else { RETRY_POLICY }
}

/// Builds the request of an RPC, with its arguments as JSON.
pub(super) fn rpc_query<R: Rpc>(
    builder: &postgrest::Postgrest,
    call: &R,
) -> Result<postgrest::Builder, Error> {
    let arguments = serde_json::to_string(call);
    let arguments = arguments.map_err(|error| Error::invalid_response(None, error.to_string()))?;
    Ok(builder.rpc(R::NAME, arguments))
}

/// Builds the request of a query, without our headers.
pub(super) fn request(builder: postgrest::Builder) -> Result<reqwest::Request, Error> {
    to_reqwest_013(builder).ok_or_else(unbuilt)
}

/// Returns the error for a request that cannot be built.
pub(super) fn unbuilt() -> Error {
    Error::invalid_response(None, "request cannot be built".to_owned())
}

/// Sends a request with our headers. Generic code is compiled for every type, so the response is
/// parsed separately.
pub(super) async fn send(
    http: &HttpClient,
    mut request: reqwest::Request,
    headers: HeaderMap,
    as_user: bool,
    policy: RetryPolicy,
    deadline: Deadline,
) -> Result<HttpResponse, Error> {
    request.headers_mut().extend(headers);
    let policy = if as_user {
        RetryPolicy { retry_on: |answer| retry_decision(answer, true), ..policy }
    } else {
        policy
    };
    Ok(http.send(request, policy, deadline).await?)
}

/// Parses a response as JSON, if Supabase accepted the request.
pub(super) fn parse<T: DeserializeOwned>(response: &HttpResponse, as_user: bool) -> Result<T, Error> {
    let body = response.accepted(&TABLE, as_user)?;
    // The parser's message can quote the body, so the error leaves it out.
    serde_json::from_slice(body).map_err(|error| {
        let why = format!("body is not as expected at line {}, column {}", error.line(), error.column());
        Error::invalid_response(Some(200), why)
    })
}

/// Converts the builder's request, which is of an older `reqwest`. Method, URL, headers and body
/// stay the same.
fn to_reqwest_013(builder: postgrest::Builder) -> Option<reqwest::Request> {
    let built = builder.build().build().ok()?;
    let method = built.method().as_str().parse().ok()?;
    let mut request = reqwest::Request::new(method, built.url().clone());
    for (name, value) in built.headers() {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    let body = built.body().and_then(|body| body.as_bytes()).filter(|body| !body.is_empty());
    *request.body_mut() = body.map(|body| body.to_vec().into());
    Some(request)
}
