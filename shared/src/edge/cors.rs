//! Cross-origin requests: the only place that knows of them. Neither the gateway nor the function URLs set anything.
//! Source: <https://fetch.spec.whatwg.org/#http-cors-protocol>

use lambda_http::{
    Body,
    http::{HeaderMap, HeaderValue, Response, StatusCode, header},
};

use crate::error::{Code, Error};

/// The origins whose pages may call the API. Tokens come in a header, never in a cookie, so credentials are not allowed.
#[derive(Debug)]
pub(super) struct Cors {
    pub origins: Vec<String>,
}

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const REQUEST_HEADERS: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, if-none-match, traceparent");
const ANSWER_HEADERS: HeaderValue =
    HeaderValue::from_static("etag, ratelimit, ratelimit-policy, retry-after, x-request-id");

impl Cors {
    /// Answers a preflight.
    pub fn preflight(&self, request: &HeaderMap) -> Result<Response<Body>, Error> {
        self.allowed(request).ok_or_else(|| Error::new(Code::OriginForbidden))?;
        let mut response = Response::new(Body::Empty);
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        Ok(response)
    }

    /// Lets the page at a configured origin read an answer, whatever it is.
    pub fn mark(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.insert(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.allowed(request) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
        }
    }

    fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        self.origins.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }
}
