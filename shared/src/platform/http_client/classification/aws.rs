//! Responses of AWS's APIs. Each of AWS's protocols writes its errors in a form of its own, and all
//! of them have a code.
//! Source: <https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization>

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::sanitize_code;
use crate::platform::http_client::{HttpResponse, RetryDecision};

/// The longest code that is kept.
const LONGEST_CODE: usize = 100;

/// Codes with which AWS limits the rate of requests, besides the status 429.
/// Source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-retry-behavior.html>
const THROTTLING_CODES: [&str; 9] = [
    "EC2ThrottledException",
    "PriorRequestNotComplete",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
];

/// Codes with which AWS rejects the credentials.
pub(crate) const CREDENTIAL_CODES: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];

/// A success.
#[derive(Clone, Debug)]
pub struct AwsResponse {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A response other than a success. It does not keep AWS's message: the one about a wrong signature
/// repeats the request's headers, including the session token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsRejection {
    pub status: u16,
    /// AWS's code, for example `AccessDeniedException`. Empty if the response has none.
    pub code: String,
    /// AWS's id of the request, for its support.
    pub request_id: Option<String>,
}

impl HttpResponse {
    /// Returns a success as AWS sent it.
    pub(crate) fn into_aws_response(self) -> Result<AwsResponse, AwsRejection> {
        let status = self.status.as_u16();
        if self.status.is_success() {
            return Ok(AwsResponse { status, headers: self.headers, body: self.body });
        }
        let request_id = text(&self.headers, "x-amzn-requestid").map(|id| id.chars().take(100).collect());
        Err(AwsRejection { status, code: error_code(&self), request_id })
    }
}

/// Retries requests that AWS throttled, and errors of the service.
pub(crate) fn retry_decision(response: &HttpResponse) -> RetryDecision {
    let decision = throttling_decision(response);
    RetryDecision { retry: decision.retry || response.status.is_server_error(), ..decision }
}

/// Retries only requests that AWS throttled. It did nothing for them.
pub(crate) fn throttling_decision(response: &HttpResponse) -> RetryDecision {
    if response.status.is_success() {
        return RetryDecision::default();
    }
    let code = error_code(response);
    RetryDecision {
        retry: response.status.as_u16() == 429 || THROTTLING_CODES.contains(&code.as_str()),
        unauthorized: CREDENTIAL_CODES.contains(&code.as_str()),
    }
}

/// Returns the code of an error: from a header, from JSON, or from XML.
fn error_code(response: &HttpResponse) -> String {
    let json: Value = serde_json::from_slice(&response.body).unwrap_or_default();
    let code = text(&response.headers, "x-amzn-errortype")
        .or_else(|| json["__type"].as_str())
        .or_else(|| json["code"].as_str())
        .or_else(|| xml_code(&response.body))
        .unwrap_or_default();
    // `com.amazonaws.sqs#QueueDoesNotExist`, `AWS.SimpleQueueService.NonExistentQueue`, and
    // `ResourceNotFoundException:http://…` occur too.
    let code = code.split(':').next().unwrap_or_default();
    let code = code.rsplit(['#', '.']).next().unwrap_or_default();
    sanitize_code(code, LONGEST_CODE).to_owned()
}

fn xml_code(body: &[u8]) -> Option<&str> {
    let (_, rest) = std::str::from_utf8(body).ok()?.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(header: Option<&'static str>, body: &'static str) -> String {
        let mut response = HttpResponse::for_test(400, body);
        if let Some(header) = header {
            response.headers.insert("x-amzn-errortype", header.parse().unwrap());
        }
        response.into_aws_response().unwrap_err().code
    }

    #[test]
    fn code_is_read_from_each_protocol() {
        for (header, body, expected) in [
            (Some("AccessDeniedException"), r#"{"Message":"User: arn:…"}"#, "AccessDeniedException"),
            (
                Some("ResourceNotFoundException:http://internal.amazon.com/coral/com.amazon/"),
                "",
                "ResourceNotFoundException",
            ),
            (None, r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"x"}"#, "QueueDoesNotExist"),
            (None, r#"{"__type":"ResourceNotFoundException"}"#, "ResourceNotFoundException"),
            (None, r#"{"code":"ValidationException"}"#, "ValidationException"),
            (
                None,
                "<ErrorResponse><Error><Type>Sender</Type><Code>ValidationError</Code></Error></ErrorResponse>",
                "ValidationError",
            ),
            (None, "<Error><Code>AWS.SimpleQueueService.NonExistentQueue</Code></Error>", "NonExistentQueue"),
            (None, r#"{"__type":"The header AUTHORIZATION was c4n4ry"}"#, ""),
            (None, "<html>502</html>", ""),
            (None, "", ""),
        ] {
            assert_eq!(code(header, body), expected, "{header:?} {body}");
        }
    }

    #[test]
    fn only_throttled_requests_are_always_retried() {
        let decisions = |status, body: &'static str| {
            let response = HttpResponse::for_test(status, body);
            (retry_decision(&response).retry, throttling_decision(&response).retry)
        };
        assert_eq!(decisions(202, ""), (false, false));
        assert_eq!(decisions(429, r#"{"__type":"TooManyRequestsException"}"#), (true, true));
        assert_eq!(decisions(400, r#"{"__type":"ThrottlingException"}"#), (true, true));
        assert_eq!(decisions(503, r#"{"__type":"ServiceException"}"#), (true, false));
        assert_eq!(decisions(403, r#"{"__type":"AccessDeniedException"}"#), (false, false));
    }

    #[test]
    fn rejected_credentials_are_recognised() {
        let unauthorized = |code: &str| {
            let body = format!(r#"{{"__type":"{code}"}}"#);
            throttling_decision(&HttpResponse::for_test(403, body)).unauthorized
        };
        assert!(unauthorized("UnrecognizedClientException"));
        assert!(!unauthorized("AccessDeniedException"));
    }
}
