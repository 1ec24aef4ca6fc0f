//! Cross-origin resource sharing (CORS). The functions set all CORS headers; API Gateway and
//! function URLs set none.
//! Source: <https://fetch.spec.whatwg.org/#http-cors-protocol>

use lambda_http::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use crate::{
    error::{Error, ErrorCode},
    platform::{
        config::{AllowedOrigins, CorsSettings},
        telemetry::{self, excerpt},
    },
};

/// CORS policy: the origins that may call the API, and the headers they may send. Tokens come in a
/// header, never in a cookie, so credentials are not allowed.
#[derive(Debug)]
pub(crate) struct Cors {
    origins: AllowedOrigins,
    request_headers: Vec<String>,
    /// `request_headers` as a header value.
    allow_headers: HeaderValue,
}

const METHODS: [&str; 2] = ["GET", "POST"];
const ALLOW_METHODS: HeaderValue = HeaderValue::from_static("GET, POST");
const EXPOSED_HEADERS: HeaderValue =
    HeaderValue::from_static("etag, ratelimit, ratelimit-policy, retry-after, x-request-id");

/// Request headers that the API reads.
const API_HEADERS: [&str; 4] = ["authorization", "content-type", "idempotency-key", "if-none-match"];

/// Request headers that common tracing and monitoring libraries add by themselves. Without them
/// here, the browser would block every request of a page that uses such a library. The API reads
/// only the first.
const TRACING: [&str; 20] = [
    // W3C Trace Context and Baggage: OpenTelemetry, and most other libraries in addition to their
    // own.
    "traceparent",
    "tracestate",
    "baggage",
    "sentry-trace",
    // Supabase's client, if a page passes its `fetch` to our client.
    "x-client-info",
    "newrelic",
    "x-datadog-origin",
    "x-datadog-parent-id",
    "x-datadog-sampling-priority",
    "x-datadog-trace-id",
    // Zipkin's B3, an option of OpenTelemetry and Datadog.
    "b3",
    "x-b3-parentspanid",
    "x-b3-sampled",
    "x-b3-spanid",
    "x-b3-traceid",
    "x-amzn-trace-id",
    "request-id",
    "request-context",
    // Ids that HTTP clients are often configured to send.
    "x-request-id",
    "x-correlation-id",
];

/// Request headers that any page may send, so that browsers do not list them in a preflight
/// request.
/// Source: <https://fetch.spec.whatwg.org/#cors-safelisted-request-header>
const SAFELISTED: [&str; 4] = ["accept", "accept-language", "content-language", "range"];

impl Cors {
    /// Creates the policy. `further_headers` are request headers of one route.
    pub fn new(settings: CorsSettings, further_headers: &[&str]) -> Self {
        let CorsSettings { origins, headers } = settings;
        let known = API_HEADERS.into_iter().chain(TRACING).chain(further_headers.iter().copied());
        let mut request_headers: Vec<String> = known.map(str::to_owned).collect();
        for name in headers {
            if !request_headers.contains(&name) {
                request_headers.push(name);
            }
        }
        // Header names always form a valid header value.
        let allow_headers = HeaderValue::from_str(&request_headers.join(", ")).ok();
        Self {
            origins,
            allow_headers: allow_headers.unwrap_or(HeaderValue::from_static("")),
            request_headers,
        }
    }

    /// Returns whether an `OPTIONS` request is a CORS preflight.
    pub fn is_preflight(&self, request: &HeaderMap) -> bool {
        request.contains_key(header::ORIGIN) && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
    }

    /// Responds to a preflight. If the method or a header is not allowed, the response lists those
    /// that are, so the browser reports the mismatch to the page's author. A log record reports it
    /// to the operator.
    ///
    /// # Errors
    /// Returns [`ErrorCode::OriginForbidden`] if the origin is not configured.
    pub fn preflight(&self, request: &HeaderMap) -> Result<Response<Vec<u8>>, Error> {
        if let Some(refused) = self.refusal_reason(request) {
            telemetry::preflight_refused(&refused);
        }
        self.allowed_origin(request).ok_or_else(|| Error::new(ErrorCode::OriginForbidden))?;
        let mut response = Response::new(Vec::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, ALLOW_METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, self.allow_headers.clone());
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
        Ok(response)
    }

    /// Lets a page at a configured origin read the response, also an error.
    pub fn apply(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        answer.insert(header::VARY, HeaderValue::from_static("origin"));
        if let Some(origin) = self.allowed_origin(request) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED_HEADERS);
        }
    }

    fn allowed_origin(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let origin = request.get(header::ORIGIN)?;
        self.origins.contains(origin.to_str().ok()?).then(|| origin.clone())
    }

    /// Returns the first reason for which a browser will block the request after this preflight.
    fn refusal_reason(&self, request: &HeaderMap) -> Option<String> {
        let text =
            |name| request.get(name).map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()));
        if self.allowed_origin(request).is_none() {
            return Some(format!("origin {}", excerpt(&text(header::ORIGIN)?)));
        }
        let method = text(header::ACCESS_CONTROL_REQUEST_METHOD)?;
        if !METHODS.contains(&method.as_ref()) {
            return Some(format!("method {}", excerpt(&method)));
        }
        let names = text(header::ACCESS_CONTROL_REQUEST_HEADERS)?.to_ascii_lowercase();
        let mut names = names.split(',').map(str::trim).filter(|name| !name.is_empty());
        let is_allowed =
            |name: &str| SAFELISTED.contains(&name) || self.request_headers.iter().any(|known| known == name);
        names.find(|name| !is_allowed(name)).map(|name| format!("header {}", excerpt(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(headers: &[(&'static str, &str)]) -> Option<String> {
        let origins = AllowedOrigins::parse("https://app.example.com").unwrap();
        let cors = Cors::new(CorsSettings { origins, headers: vec!["x-ours".to_owned()] }, &[]);
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        cors.refusal_reason(&headers.collect())
    }

    #[test]
    fn preflight_refusal_names_the_first_reason() {
        let app = ("origin", "https://app.example.com");
        let get = ("access-control-request-method", "GET");
        let headers = |value| ("access-control-request-headers", value);
        assert_eq!(refusal(&[app, get]), None);
        assert_eq!(refusal(&[app, get, headers("baggage, Authorization,,x-ours,accept")]), None);
        assert_eq!(refusal(&[app, get, headers("baggage,x-other,x-more")]).unwrap(), "header x-other");
        assert_eq!(refusal(&[app, ("access-control-request-method", "PUT")]).unwrap(), "method PUT");
        assert_eq!(refusal(&[("origin", "null"), get]).unwrap(), "origin null");
        let long = refusal(&[("origin", &"x".repeat(10_000)), get]).unwrap();
        assert_eq!(long.len(), "origin ".len() + 100);
        assert_eq!(refusal(&[app, get, headers("x\ty")]).unwrap(), "header x\\ty");
    }
}
