//! Lambda events: converts the events of API Gateway and function URLs to HTTP requests, and
//! responses to the format that they expect. Source:
//! <https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>
//!
//! `lambda_http` has such a conversion, but it panics on a query with a space, an invalid host or
//! invalid base64, before any code of this crate runs, and it rejects events with a non-ASCII
//! header. This one accepts every event. It names what cannot be read, and the HTTP service
//! responds as to any other bad request.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use lambda_http::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, header::Entry, uri::PathAndQuery,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::http::RequestTarget;

/// The payload of an invocation; `None` if it is not valid JSON. Deserialising it never fails,
/// since the Lambda runtime would report that as an error of the function, without a log record of
/// ours.
#[derive(Clone, Debug)]
pub struct Payload(Option<Value>);

impl Payload {
    pub fn parse(bytes: &[u8]) -> Self {
        Self(serde_json::from_slice(bytes).ok())
    }

    /// Returns the payload format of the request and of the response that the gateway expects.
    pub fn format(&self) -> Format {
        let member = |path: &str| self.0.as_ref().and_then(|event| event.pointer(path));
        match (member("/requestContext/http"), member("/httpMethod")) {
            (None, Some(_)) => Format::V1,
            _ => Format::V2,
        }
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Value::deserialize(deserializer).ok()))
    }
}

/// Payload format of API Gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// 1.0: REST APIs, and HTTP APIs that are configured for it.
    V1,
    /// 2.0: function URLs and HTTP APIs.
    V2,
}

/// An HTTP request, as far as its event can be read.
#[derive(Debug, Default)]
pub(super) struct HttpEvent {
    pub method: Method,
    pub target: RequestTarget,
    pub query: String,
    /// One value per name. Like HTTP APIs and function URLs, joins repeated headers by commas.
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The first thing that cannot be read. The HTTP service rejects such a request.
    pub fault: Option<&'static str>,
}

impl HttpEvent {
    /// Reads the request from an event of either format.
    pub fn from_payload(payload: Payload) -> Self {
        Self::read_with(payload, |reader, request| {
            request.query = if reader.is_v2 { reader.raw_query() } else { reader.query_of_parameters() };
            request.body = reader.body();
        })
    }

    /// Reads the request without its query and body, for functions that ignore them.
    pub fn head_from_payload(payload: Payload) -> Self {
        Self::read_with(payload, |_, _| {})
    }

    fn read_with(payload: Payload, rest: impl FnOnce(&mut Reader, &mut Self)) -> Self {
        let is_v2 = payload.format() == Format::V2;
        let Some(Value::Object(event)) = payload.0 else {
            return Self { fault: Some("The event is not a JSON object."), ..Self::default() };
        };
        let mut reader = Reader { event, is_v2, fault: None };
        let mut request = reader.head();
        rest(&mut reader, &mut request);
        Self { fault: reader.fault, ..request }
    }
}

/// Reads the members of an event. A missing member or one of an unexpected type is recorded as a
/// fault, and reading continues: a page can only read the error response if the origin is known.
struct Reader {
    event: Map<String, Value>,
    is_v2: bool,
    fault: Option<&'static str>,
}

impl Reader {
    fn head(&mut self) -> HttpEvent {
        let is_v2 = self.is_v2;
        let context = self.event.remove("requestContext").unwrap_or_default();
        let method =
            if is_v2 { context.pointer("/http/method").cloned() } else { self.take_member("httpMethod") };
        let method = self.method(method);
        let path = self.take_member(if is_v2 { "rawPath" } else { "path" });
        let path = self.text(path, "The event has no path.").unwrap_or_default();
        let route = self.take_member(if is_v2 { "routeKey" } else { "resource" });
        let stage = context.get("stage").and_then(Value::as_str).filter(|stage| *stage != "$default");
        let target = RequestTarget {
            path,
            route: route.as_ref().and_then(Value::as_str).and_then(route_path).map(str::to_owned),
            parameters: self.take_member("pathParameters").map(texts).unwrap_or_default(),
            stage: stage.map(str::to_owned),
        };
        HttpEvent { method, target, headers: self.headers(), ..HttpEvent::default() }
    }

    /// Removes and returns a member. `null` is the same as a missing member.
    fn take_member(&mut self, name: &str) -> Option<Value> {
        self.event.remove(name).filter(|value| !value.is_null())
    }

    fn add_fault(&mut self, fault: &'static str) {
        self.fault.get_or_insert(fault);
    }

    fn text(&mut self, value: Option<Value>, fault: &'static str) -> Option<String> {
        match value {
            Some(Value::String(text)) => Some(text),
            _ => {
                self.add_fault(fault);
                None
            }
        }
    }

    fn method(&mut self, method: Option<Value>) -> Method {
        const FAULT: &str =
            "The event has no HTTP method, so it is not a request of payload format 2.0 or 1.0.";
        let method = self.text(method, FAULT).and_then(|method| method.parse().ok());
        method.unwrap_or_else(|| {
            self.add_fault(FAULT);
            Method::default()
        })
    }

    fn headers(&mut self) -> HeaderMap {
        // If both are present, the first has all values of each name and the second only the last.
        let all = self.take_member("multiValueHeaders");
        let last = self.take_member("headers");
        let mut headers = HeaderMap::new();
        match all.or(last) {
            None => {}
            Some(Value::Object(given)) => {
                for (name, value) in given {
                    if add_header(&mut headers, &name, value).is_none() {
                        self.add_fault("A header has a name or a value that no header can have.");
                    }
                }
            }
            Some(_) => self.add_fault("The headers are not an object."),
        }
        headers
    }

    fn raw_query(&mut self) -> String {
        let query = match self.take_member("rawQueryString") {
            None => return String::new(),
            query => self.text(query, "The query is not text.").unwrap_or_default(),
        };
        // A fragment would be dropped silently. No client sends one.
        let parsed = format!("/?{query}").parse::<PathAndQuery>();
        if !parsed.is_ok_and(|parsed| parsed.query() == Some(query.as_str())) {
            self.add_fault(
                "The query has a character that has to be percent-encoded in a URL, or is too long for one.",
            );
        }
        query
    }

    /// Format 1.0 has only the decoded query parameters, so the query is encoded again.
    fn query_of_parameters(&mut self) -> String {
        let all = self.take_member("multiValueQueryStringParameters");
        let last = self.take_member("queryStringParameters");
        let mut query = form_urlencoded::Serializer::new(String::new());
        match all.or(last) {
            None => {}
            Some(Value::Object(parameters)) => {
                for (name, values) in &parameters {
                    let values = values.as_array().map_or(std::slice::from_ref(values), Vec::as_slice);
                    match values.iter().map(Value::as_str).collect::<Option<Vec<_>>>() {
                        Some(values) => drop(query.extend_pairs(values.iter().map(|value| (name, value)))),
                        None => self.add_fault("A query parameter is not text."),
                    }
                }
            }
            Some(_) => self.add_fault("The query parameters are not an object."),
        }
        query.finish()
    }

    fn body(&mut self) -> Vec<u8> {
        let is_base64 = match self.take_member("isBase64Encoded") {
            None => false,
            Some(Value::Bool(is_base64)) => is_base64,
            Some(_) => {
                self.add_fault("Whether the body is base64 is not a boolean.");
                false
            }
        };
        let body = match self.take_member("body") {
            None => return Vec::new(),
            body => self.text(body, "The body is not text.").unwrap_or_default(),
        };
        if !is_base64 {
            return body.into_bytes();
        }
        STANDARD.decode(body).unwrap_or_else(|_| {
            self.add_fault("The body is not the base64 that it is said to be.");
            Vec::new()
        })
    }
}

/// Returns the path of `GET /chatkit/agents`, or of a REST API's `/chatkit/agents`; `None` for
/// `$default`.
fn route_path(key: &str) -> Option<&str> {
    let path = key.split_once(' ').map_or(key, |(_method, path)| path);
    path.starts_with('/').then_some(path)
}

fn texts(object: Value) -> BTreeMap<String, String> {
    let Value::Object(members) = object else { return BTreeMap::new() };
    members.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

/// Adds a header's value or list of values; `None` if the name or a value is invalid.
fn add_header(headers: &mut HeaderMap, name: &str, value: Value) -> Option<()> {
    let values = match value {
        Value::Null => return Some(()),
        Value::Array(values) => values,
        value => vec![value],
    };
    let mut joined = values.iter().map(Value::as_str).collect::<Option<Vec<_>>>()?.join(",");
    let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
    // `insert` and `entry` panic at more than 32,768 headers.
    match headers.try_entry(name).ok()? {
        Entry::Occupied(mut known) => {
            // The name occurs twice, in different case.
            joined.insert(0, ',');
            joined.insert_str(0, &String::from_utf8_lossy(known.get().as_bytes()));
            known.insert(HeaderValue::from_bytes(joined.as_bytes()).ok()?);
        }
        Entry::Vacant(free) => {
            // Bytes beyond ASCII are allowed and opaque (RFC 9110, section 5.5).
            free.try_insert(HeaderValue::from_bytes(joined.as_bytes()).ok()?).ok()?;
        }
    }
    Some(())
}

/// A response in the format that gateways expect from a function that does not stream.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventResponse {
    status_code: u16,
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    is_base64_encoded: bool,
    /// Always empty. `cargo lambda watch` requires the member in format 2.0; format 1.0 does not
    /// have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<[String; 0]>,
}

impl EventResponse {
    /// Converts a response to the format of the event.
    pub fn new(response: Response<Vec<u8>>, format: Format) -> Self {
        let (parts, body) = response.into_parts();
        let headers = parts.headers.iter();
        let headers =
            headers.filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
        // JSON is text. Bodies that are not UTF-8 are sent as base64.
        let (body, is_base64_encoded) = match String::from_utf8(body) {
            Ok(text) => (text, false),
            Err(error) => (STANDARD.encode(error.into_bytes()), true),
        };
        Self {
            status_code: parts.status.as_u16(),
            headers: headers.collect(),
            body: Some(body).filter(|body| !body.is_empty()),
            is_base64_encoded,
            cookies: (format == Format::V2).then_some([]),
        }
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
