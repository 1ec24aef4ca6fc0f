//! The events of function URLs and HTTP APIs: payload version 2.0, as documented by AWS and as
//! observed. `event_v1` has those of REST APIs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::body::Bytes;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::event_v1;
use super::routes::RouteMatch;

/// Headers of the client's connection, which the front end does not pass on.
pub(super) const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// The entry point of a request.
#[derive(Clone, Copy, Debug)]
pub enum EntryPoint<'a> {
    /// The function URL: every method and path, no path parameters.
    FunctionUrl,
    HttpApi(&'a RouteMatch),
    /// A REST API with this route, whose events have payload version 1.0.
    RestApi(&'a RouteMatch),
}

/// Data of the front end about a request, besides the request itself.
#[derive(Clone, Debug)]
pub struct RequestMetadata {
    /// The front end's id of the request.
    pub request_id: String,
    /// X-Ray's trace id, which the runtime receives too.
    pub trace_id: String,
    /// Address of the client.
    pub source: IpAddr,
    /// Time of arrival.
    pub at: Timestamp,
}

pub fn event(entry_point: EntryPoint, parts: &Parts, body: &Bytes, metadata: &RequestMetadata) -> Value {
    if let EntryPoint::RestApi(found) = entry_point {
        return event_v1::event(found, parts, body, metadata);
    }
    let cookies = cookies(&parts.headers);
    let mut headers = headers(entry_point, parts, body, metadata);
    if matches!(entry_point, EntryPoint::HttpApi(_)) {
        // Only function URLs repeat them here.
        headers.remove("cookie");
    }
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key(entry_point),
        "rawPath": parts.uri.path(),
        "rawQueryString": parts.uri.query().unwrap_or(""),
        "headers": headers,
        "requestContext": context(entry_point, parts, metadata),
        "isBase64Encoded": false,
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if let Some(query) = parts.uri.query().filter(|query| !query.is_empty()) {
        event["queryStringParameters"] = query_parameters(query);
    }
    if let EntryPoint::HttpApi(found) = entry_point
        && !found.parameters.is_empty()
    {
        event["pathParameters"] = json!(found.parameters);
    }
    if !body.is_empty() {
        let text = if is_text(&parts.headers) { std::str::from_utf8(body).ok() } else { None };
        event["isBase64Encoded"] = text.is_none().into();
        event["body"] = text.map_or_else(|| STANDARD.encode(body), str::to_owned).into();
    }
    event
}

fn route_key(entry_point: EntryPoint<'_>) -> &str {
    match entry_point {
        EntryPoint::FunctionUrl => "$default",
        EntryPoint::HttpApi(found) | EntryPoint::RestApi(found) => &found.route_key,
    }
}

fn context(entry_point: EntryPoint, parts: &Parts, metadata: &RequestMetadata) -> Value {
    let host = text(&parts.headers, header::HOST.as_str()).unwrap_or_default();
    let domain = host.split(':').next().unwrap_or_default();
    json!({
        // A function URL without signatures does not know the account.
        "accountId": if matches!(entry_point, EntryPoint::FunctionUrl) { "anonymous" } else { "123456789012" },
        "apiId": "local",
        "domainName": host,
        "domainPrefix": domain.split('.').next().unwrap_or_default(),
        "http": {
            "method": parts.method.as_str(),
            "path": parts.uri.path(),
            "protocol": "HTTP/1.1",
            "sourceIp": metadata.source.to_string(),
            "userAgent": text(&parts.headers, header::USER_AGENT.as_str()).unwrap_or_default(),
        },
        "requestId": metadata.request_id,
        "routeKey": route_key(entry_point),
        "stage": "$default",
        "time": metadata.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
        "timeEpoch": metadata.at.as_millisecond(),
    })
}

/// Returns lower-case headers, with repeated values joined by a comma, and the headers that the
/// front end adds.
fn headers(
    entry_point: EntryPoint,
    parts: &Parts,
    body: &Bytes,
    metadata: &RequestMetadata,
) -> Map<String, Value> {
    let mut headers: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in &parts.headers {
        if HOP_BY_HOP.contains(&name.as_str()) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        headers
            .entry(name.to_string())
            .and_modify(|known| *known += &format!(",{value}"))
            .or_insert(value.into_owned());
    }
    if !body.is_empty() || (matches!(entry_point, EntryPoint::HttpApi(_)) && parts.method != Method::GET) {
        headers.insert("content-length".to_owned(), body.len().to_string());
    }
    let port = headers.get("host").and_then(|host| host.split(':').nth(1)).unwrap_or("80").to_owned();
    let forwarded = match headers.get("x-forwarded-for") {
        Some(before) => format!("{before}, {}", metadata.source),
        None => metadata.source.to_string(),
    };
    headers.insert("x-forwarded-for".to_owned(), forwarded);
    headers.insert("x-forwarded-port".to_owned(), port);
    headers.insert("x-forwarded-proto".to_owned(), "http".to_owned());
    headers.insert("x-amzn-trace-id".to_owned(), metadata.trace_id.clone());
    headers.into_iter().map(|(name, value)| (name, Value::String(value))).collect()
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split("; ")).filter(|cookie| !cookie.is_empty()).map(str::to_owned).collect()
}

/// Returns decoded parameters, with repeated values joined by a comma.
fn query_parameters(query: &str) -> Value {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let joined = parameters.entry(name.into_owned());
        joined.and_modify(|known| *known += &format!(",{value}")).or_insert(value.into_owned());
    }
    json!(parameters)
}

/// Returns whether the body is passed as text. All other types are base64-encoded, including forms
/// and no type at all. AWS does not document the list; this one was observed at an HTTP API.
fn is_text(headers: &HeaderMap) -> bool {
    let content_type = text(headers, header::CONTENT_TYPE.as_str()).unwrap_or_default().to_ascii_lowercase();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    media_type.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&media_type)
}

pub(super) fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
