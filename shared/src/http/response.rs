//! What a handler answers with.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use lambda_http::http::{self, HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::error::{Error, ErrorCode, RateLimit};

/// A successful answer: a status, a JSON body, and what may be kept of it.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// 200 with this body.
    ///
    /// # Errors
    /// Only for a body that is no JSON, which none of ours is.
    pub fn ok(body: &impl Serialize) -> Result<Self, Error> {
        Self::json(StatusCode::OK, body)
    }

    /// 201 with this body.
    ///
    /// # Errors
    /// As for [`Response::ok`].
    pub fn created(body: &impl Serialize) -> Result<Self, Error> {
        Self::json(StatusCode::CREATED, body)
    }

    fn json(status: StatusCode, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::new(ErrorCode::Internal).cause(error))?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        // Answers belong to one user; what may be kept says so itself.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(Self { status, headers, body })
    }

    /// Adds what the throttle says, where something was counted.
    #[must_use]
    pub fn with_rate_limit(mut self, limit: Option<RateLimit>) -> Self {
        insert_rate_limit_headers(limit, &mut self.headers);
        self
    }

    /// Adds an `ETag` over the body, and drops the body if it is the one that is `known` (RFC 9110, section 13.1.2).
    pub(crate) fn with_etag(mut self, known: Option<&str>) -> Self {
        let etag = format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest(&SHA256, &self.body)));
        self.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        // The parser keeps the old `ETag` out where the value cannot be one, which base64url always can.
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

/// What a throttle allows, in the answer's headers.
pub(crate) fn insert_rate_limit_headers(limit: Option<RateLimit>, headers: &mut HeaderMap) {
    let Some(limit) = limit else { return };
    for (name, value) in [("ratelimit-policy", limit.policy_header()), ("ratelimit", limit.state_header())] {
        headers.extend(HeaderValue::from_str(&value).map(|value| (HeaderName::from_static(name), value)));
    }
}
