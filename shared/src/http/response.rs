//! The response that a handler returns.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use lambda_http::http::{self, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    domain::pagination::Page,
    error::{Error, ErrorCode, RateLimit},
};

/// A successful response: status, headers and JSON body.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Creates a response with status 200.
    ///
    /// # Errors
    /// Fails only if the body cannot be serialised, which does not happen for our types.
    pub fn ok(body: &impl Serialize) -> Result<Self, Error> {
        Self::json(StatusCode::OK, body)
    }

    /// Creates a response with status 201.
    ///
    /// # Errors
    /// The same as [`Response::ok`].
    pub fn created(body: &impl Serialize) -> Result<Self, Error> {
        Self::json(StatusCode::CREATED, body)
    }

    /// Creates a response with a page of a list: the rows in the field `name`, and `nextCursor`,
    /// which is null on the last page.
    ///
    /// # Errors
    /// The same as [`Response::ok`].
    pub fn page<T: Serialize>(name: &'static str, page: &Page<T>) -> Result<Self, Error> {
        struct PageBody<'a, T>(&'static str, &'a Page<T>);
        impl<T: Serialize> Serialize for PageBody<'_, T> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self(name, page) = self;
                let mut body = serializer.serialize_map(Some(2))?;
                body.serialize_entry(name, &page.rows)?;
                body.serialize_entry("nextCursor", &page.next_cursor)?;
                body.end()
            }
        }
        Self::ok(&PageBody(name, page))
    }

    fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::new(ErrorCode::Internal).cause(error))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Responses belong to one user. `with_etag` allows the browser to store the response.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Self { status, headers, body })
    }

    /// Adds the headers of a rate limit, if one was charged.
    #[must_use]
    pub fn with_rate_limit(mut self, limit: Option<RateLimit>) -> Self {
        insert_rate_limit_headers(limit, &mut self.headers);
        self
    }

    /// Adds an `ETag` of the body. Removes the body and sets 304 if `known`, the value of
    /// `If-None-Match`, matches it (RFC 9110, section 13.1.2).
    pub(crate) fn with_etag(mut self, known: Option<&str>) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.body)));
        self.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        // Base64url is always a valid header value, so this never fails.
        if let Ok(value) = HeaderValue::from_str(&etag) {
            self.headers.insert(header::ETAG, value);
        }
        let matches = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
        if known.is_some_and(|known| known.split(',').any(|tag| matches(tag.trim()))) {
            self.status = StatusCode::NOT_MODIFIED;
            self.headers.remove(header::CONTENT_TYPE);
            self.body.clear();
        }
        self
    }

    pub(crate) fn into_response(self) -> http::Response<Vec<u8>> {
        let mut response = http::Response::new(self.body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// Inserts `RateLimit-Policy` and `RateLimit` headers.
pub(crate) fn insert_rate_limit_headers(limit: Option<RateLimit>, headers: &mut HeaderMap) {
    let Some(limit) = limit else { return };
    for (name, value) in [("ratelimit-policy", limit.policy_header()), ("ratelimit", limit.state_header())] {
        headers.extend(HeaderValue::from_str(&value).map(|value| (HeaderName::from_static(name), value)));
    }
}
