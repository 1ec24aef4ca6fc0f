//! The HTTP endpoints: each function's URL, the HTTP API with every route under one base URL, and
//! the REST API with the routes of functions that stream.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use jiff::Timestamp;
use uuid::Uuid;

use super::event;
use super::event::{EntryPoint, RequestMetadata};
use super::event_v1;
use super::function::{Function, Throttled};
use super::response;
use super::response::InvocationFailure;
use super::routes::Routes;
use super::streaming;

/// The largest body of an HTTP API, and the largest event of a function.
const MAX_BODY_BYTES: usize = 10 * 1024 * 1024;
const MAX_EVENT_BYTES: usize = 6 * 1024 * 1024;

/// The functions behind the endpoints.
pub struct Functions {
    pub routes: Routes,
    pub rest_routes: Routes,
    pub functions: BTreeMap<String, Arc<Function>>,
    pub failures: super::FailureLog,
}

/// Serves every route under one base URL.
pub fn http_api(functions: Arc<Functions>) -> Router {
    Router::new().fallback(serve_http_api).with_state(functions)
}

/// Serves the routes of functions that stream.
pub fn rest_api(functions: Arc<Functions>) -> Router {
    Router::new().fallback(serve_rest_api).with_state(functions)
}

/// Serves one function for every method and path.
pub fn function_url(functions: Arc<Functions>, name: &str) -> Router {
    Router::new().fallback(serve_function_url).with_state((functions, name.to_owned()))
}

async fn serve_http_api(State(functions): State<Arc<Functions>>, request: Request<Body>) -> Response<Body> {
    let not_found =
        || response::simple_response(StatusCode::NOT_FOUND, "application/json", r#"{"message":"Not Found"}"#);
    let Some(found) = functions.routes.find(request.method(), request.uri().path()) else {
        return not_found();
    };
    let metadata = metadata(Uuid::new_v4().simple().to_string());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else { return too_large() };
    let mut response =
        serve(&functions, &found.function, EntryPoint::HttpApi(&found), parts, body, &metadata).await;
    insert_header(&mut response, "apigw-requestid", &metadata.request_id);
    response
}

async fn serve_rest_api(State(functions): State<Arc<Functions>>, request: Request<Body>) -> Response<Body> {
    let below_stage =
        request.uri().path().strip_prefix('/').and_then(|path| path.strip_prefix(event_v1::STAGE));
    let found = below_stage.and_then(|path| functions.rest_routes.find(request.method(), path));
    let Some(found) = found else {
        let body = r#"{"message":"Missing Authentication Token"}"#;
        return response::simple_response(StatusCode::FORBIDDEN, "application/json", body);
    };
    let metadata = metadata(Uuid::new_v4().to_string());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_BODY_BYTES).await else { return too_large() };
    let mut response =
        serve(&functions, &found.function, EntryPoint::RestApi(&found), parts, body, &metadata).await;
    insert_header(&mut response, "x-amzn-requestid", &metadata.request_id);
    insert_header(&mut response, "x-amzn-trace-id", &metadata.trace_id);
    response
}

async fn serve_function_url(
    State((functions, name)): State<(Arc<Functions>, String)>,
    request: Request<Body>,
) -> Response<Body> {
    let metadata = metadata(Uuid::new_v4().to_string());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_EVENT_BYTES).await else { return too_large() };
    let function = functions.functions.get(&name).cloned();
    let _admitted = match function.as_ref().map(|function| function.admit_url_request()).transpose() {
        Ok(admitted) => admitted,
        Err(Throttled) => return throttled(),
    };
    let mut response = serve(&functions, &name, EntryPoint::FunctionUrl, parts, body, &metadata).await;
    insert_header(&mut response, "x-amzn-requestid", &metadata.request_id);
    insert_header(&mut response, "x-amzn-trace-id", &metadata.trace_id);
    response
}

async fn serve(
    functions: &Functions,
    name: &str,
    entry_point: EntryPoint<'_>,
    parts: Parts,
    body: Bytes,
    metadata: &RequestMetadata,
) -> Response<Body> {
    let event = event::event(entry_point, &parts, &body, metadata).to_string();
    if event.len() > MAX_EVENT_BYTES {
        return too_large();
    }
    let answered = match functions.functions.get(name) {
        Some(function) if function.streams() => {
            let response = stream(functions, name, function.clone(), metadata.clone(), event);
            return response
                .await
                .unwrap_or_else(|failure| response::failure_response(entry_point, &failure));
        }
        Some(function) => invoke(function.clone(), metadata.clone(), event).await,
        None => Err(InvocationFailure::Exited(format!("there is no function {name}"))),
    };
    answered.and_then(|answer| response::response(&answer)).unwrap_or_else(|failure| {
        functions.failures.push(name, failure.clone());
        response::failure_response(entry_point, &failure)
    })
}

/// Runs to its end, even if the client disconnects: Lambda does not notify a function of that.
async fn invoke(
    function: Arc<Function>,
    metadata: RequestMetadata,
    event: String,
) -> Result<Bytes, InvocationFailure> {
    let (id, trace_id) = invocation_ids(&metadata);
    let invoked = tokio::spawn(async move { function.invoke(&id, &trace_id, Bytes::from(event)).await });
    invoked.await.unwrap_or_else(|error| Err(InvocationFailure::Exited(error.to_string())))
}

/// Like [`invoke`], for a function that streams. Returns when the head of the response has arrived,
/// and records a failure at any time.
async fn stream(
    functions: &Functions,
    name: &str,
    function: Arc<Function>,
    metadata: RequestMetadata,
    event: String,
) -> Result<Response<Body>, InvocationFailure> {
    let (id, trace_id) = invocation_ids(&metadata);
    let (failures, name) = (functions.failures.clone(), name.to_owned());
    let (forwarder, response) = streaming::channel();
    tokio::spawn(async move {
        let event = Bytes::from(event);
        let invoke = async |parts| function.invoke_with(&id, &trace_id, event, Some(parts)).await;
        if let Err(failure) = forwarder.run(invoke).await {
            failures.push(&name, failure);
        }
    });
    response.into_response().await
}

/// Returns the ids of an invocation: Lambda assigns an id of its own, and continues the trace.
fn invocation_ids(metadata: &RequestMetadata) -> (String, String) {
    let trace_id = format!("{};Parent={:016x};Sampled=0", metadata.trace_id, fastrand::u64(..));
    (Uuid::new_v4().to_string(), trace_id)
}

fn metadata(request_id: String) -> RequestMetadata {
    let at = Timestamp::now();
    let trace_id = format!("Root=1-{:08x}-{:024x}", at.as_second(), fastrand::u128(..) >> 32);
    RequestMetadata { request_id, trace_id, source: IpAddr::V4(Ipv4Addr::LOCALHOST), at }
}

fn throttled() -> Response<Body> {
    response::simple_response(
        StatusCode::TOO_MANY_REQUESTS,
        "application/json",
        r#"{"Reason":"ReservedFunctionConcurrentInvocationLimitExceeded","Type":"User","message":"Rate Exceeded."}"#,
    )
}

fn too_large() -> Response<Body> {
    response::simple_response(
        StatusCode::PAYLOAD_TOO_LARGE,
        "application/json",
        r#"{"message":"Request Entity Too Large"}"#,
    )
}

fn insert_header(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
