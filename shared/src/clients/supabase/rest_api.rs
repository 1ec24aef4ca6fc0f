//! The project's PostgREST API: the `postgrest` crate builds its requests, and our HTTP client
//! sends them. The crate's own `execute` has no timeout and ignores the status.

use std::{sync::Arc, time::Duration};

use reqwest::header::HeaderMap;
use serde::de::DeserializeOwned;

use super::{Error, Project, Rpc, error::retry_decision};
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

/// The PostgREST API of a project.
#[derive(Clone)]
pub(super) struct RestApi {
    http: HttpClient,
    url: Arc<str>,
}

impl RestApi {
    pub fn new(http: HttpClient, project: &Project) -> Self {
        Self { http, url: project.join("/rest/v1").into() }
    }

    /// Starts a query of a table or an RPC.
    pub fn query(&self, path: impl std::fmt::Display) -> postgrest::Builder {
        let url = format!("{}/{path}", self.url);
        postgrest::Builder::new(url, None, HeaderMap::new(), self.http.request_builder())
    }

    /// Builds the query of an RPC, with its arguments as JSON.
    pub fn rpc_query<R: Rpc>(&self, call: &R) -> Result<postgrest::Builder, Error> {
        let arguments = serde_json::to_string(call);
        let arguments = arguments.map_err(|error| Error::invalid_response(None, error.to_string()))?;
        Ok(self.query(format_args!("rpc/{}", R::NAME)).rpc(arguments))
    }

    /// Sends a request with our headers. Generic code is compiled for every type, so the response
    /// is parsed separately.
    pub async fn send(
        &self,
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
        Ok(self.http.send(request, policy, deadline).await?)
    }
}

/// Builds the request of a query, without our headers.
pub(super) fn request(query: postgrest::Builder) -> Result<reqwest::Request, Error> {
    let mut request = query.build().build().map_err(|_| unbuilt())?;
    // The builder adds an empty body to reads.
    let is_empty = |body: &mut reqwest::Body| body.as_bytes().is_some_and(<[u8]>::is_empty);
    request.body_mut().take_if(is_empty);
    Ok(request)
}

/// Returns the error for a request that cannot be built.
pub(super) fn unbuilt() -> Error {
    Error::invalid_response(None, "request cannot be built".to_owned())
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
