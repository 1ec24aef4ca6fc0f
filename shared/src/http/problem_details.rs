//! Problem details (RFC 9457): the only place that converts an error to an HTTP response.

use std::time::Duration;

use lambda_http::http::{HeaderValue, Response, StatusCode, header};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use serde_json::{Map, Value};

use super::response as answer;
use crate::error::{Error, ErrorCode, FieldError};

/// Default for `Retry-After`, in seconds: long enough for most transient faults.
const DEFAULT_RETRY_AFTER: u64 = 2;

/// Characters that a URI cannot contain unencoded (RFC 3986). API Gateway passes paths decoded.
const NOT_IN_A_URI: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: String,
    instance: String,
    code: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
    #[serde(flatten)]
    extensions: Option<&'a Map<String, Value>>,
}

/// Converts an error to a response. `instance` is the path of the request.
pub(crate) fn response(error: &Error, instance: &str, request_id: &str, allow: &str) -> Response<Vec<u8>> {
    let code = error.code;
    let problem = Problem {
        r#type: format!("urn:problem-type:{}", code.as_str()),
        title: code.title(),
        status: code.status(),
        detail: match &error.detail {
            Some(detail) => format!("{detail} {}", code.advice()),
            None => code.advice().to_owned(),
        },
        // The event may have no path.
        instance: utf8_percent_encode(if instance.is_empty() { "/" } else { instance }, NOT_IN_A_URI)
            .to_string(),
        code: code.as_str(),
        request_id,
        errors: &error.fields,
        extensions: error.extensions.as_deref(),
    };
    // Strings and numbers always serialise, so the fallback to an empty body is not reached.
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer::insert_rate_limit_headers(error.limit, headers);
    match code {
        ErrorCode::MissingToken | ErrorCode::MissingClientSecret => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        ErrorCode::InvalidToken | ErrorCode::ExpiredToken | ErrorCode::ClientSecretRejected => {
            let challenge = HeaderValue::from_static(r#"Bearer error="invalid_token""#);
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        ErrorCode::UnsupportedContentEncoding => {
            // RFC 9110, section 15.5.16.
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        }
        ErrorCode::MethodNotAllowed => {
            headers.extend(HeaderValue::from_str(allow).map(|allow| (header::ALLOW, allow)));
        }
        _ if error.retry_after.is_some() || matches!(code.status(), 503 | 429) => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(retry_after(error)));
        }
        _ => {}
    }
    response
}

/// Maximum for `Retry-After` if another system failed. Rate limits of this API are not capped.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// Returns whole seconds, rounded up: an earlier retry would be rejected again.
fn retry_after(error: &Error) -> u64 {
    let longest = if error.code.status() >= 500 { MAX_RETRY_AFTER } else { Duration::MAX };
    let wait = error.retry_after.map(|wait| wait.min(longest).as_millis().div_ceil(1000).max(1) as u64);
    wait.unwrap_or(match error.code {
        // A person must resolve these.
        ErrorCode::SupabasePaused | ErrorCode::SupabaseReadOnly => MAX_RETRY_AFTER.as_secs(),
        _ => DEFAULT_RETRY_AFTER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instance_is_percent_encoded() {
        let instance = |path: &str| {
            let response = response(&Error::new(ErrorCode::RouteNotFound), path, "id", "GET");
            let problem: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
            problem["instance"].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!(instance("/v1/chatkit/agents"), "/v1/chatkit/agents");
        assert_eq!(instance("/chatkit/%61gents"), "/chatkit/%61gents");
        assert_eq!(instance("/a b\"<\u{fc}\n"), "/a%20b%22%3C%C3%BC%0A");
        assert_eq!(instance(""), "/");
    }
}
