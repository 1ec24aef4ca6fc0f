//! Builds the events of function URLs.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use axum::body::Bytes;
use axum::http::{Method, Request};
use jiff::Timestamp;
use local_stack::lambda;
use local_stack::lambda::{EntryPoint, RequestMetadata};
use serde_json::Value;
use uuid::Uuid;

/// The trace id of every event.
pub const TRACE_ID: &str = "Root=1-00000000-000000000000000000000000";

/// Returns the event of a request with a token. `Value::Null` is an empty body.
pub fn build(token: &str, method: &Method, path: &str, body: &Value) -> Result<Bytes> {
    build_with(("authorization", &format!("Bearer {token}")), method, path, body)
}

/// Returns the event of a request with any header. `Value::Null` is an empty body.
pub fn build_with((name, value): (&str, &str), method: &Method, path: &str, body: &Value) -> Result<Bytes> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header(name, value)
        .header("content-type", "application/json");
    let (parts, ()) = request.body(())?.into_parts();
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let metadata = RequestMetadata {
        request_id: Uuid::new_v4().to_string(),
        trace_id: TRACE_ID.to_owned(),
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        at: Timestamp::now(),
    };
    Ok(Bytes::from(lambda::event(EntryPoint::FunctionUrl, &parts, &body, &metadata).to_string()))
}
