//! The doors: each function's own URL, and the HTTP API with every route under one base URL.

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
use super::event::{Circumstances, Door};
use super::function::Function;
use super::response;
use super::response::Failure;
use super::routes::Routes;

/// The largest body of an HTTP API, and the largest event of a function.
const LARGEST_BODY: usize = 10 * 1024 * 1024;
const LARGEST_EVENT: usize = 6 * 1024 * 1024;

/// What the doors lead to.
pub struct Functions {
    pub routes: Routes,
    pub functions: BTreeMap<String, Arc<Function>>,
    pub failures: super::Failures,
}

/// Every route under one base URL.
pub fn http_api(functions: Arc<Functions>) -> Router {
    Router::new().fallback(by_route).with_state(functions)
}

/// One function, by every method and path.
pub fn function_url(functions: Arc<Functions>, name: &str) -> Router {
    Router::new().fallback(by_url).with_state((functions, name.to_owned()))
}

async fn by_route(State(functions): State<Arc<Functions>>, request: Request<Body>) -> Response<Body> {
    let not_found =
        || response::plain(StatusCode::NOT_FOUND, "application/json", r#"{"message":"Not Found"}"#);
    let Some(found) = functions.routes.find(request.method(), request.uri().path()) else {
        return not_found();
    };
    let circumstances = circumstances(Uuid::new_v4().simple().to_string());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else { return too_large() };
    let mut response =
        serve(&functions, &found.function, Door::HttpApi(&found), parts, body, &circumstances).await;
    mark(&mut response, "apigw-requestid", &circumstances.request_id);
    response
}

async fn by_url(
    State((functions, name)): State<(Arc<Functions>, String)>,
    request: Request<Body>,
) -> Response<Body> {
    let circumstances = circumstances(Uuid::new_v4().to_string());
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_EVENT).await else { return too_large() };
    let mut response = serve(&functions, &name, Door::FunctionUrl, parts, body, &circumstances).await;
    mark(&mut response, "x-amzn-requestid", &circumstances.request_id);
    mark(&mut response, "x-amzn-trace-id", &circumstances.trace_id);
    response
}

async fn serve(
    functions: &Functions,
    name: &str,
    door: Door<'_>,
    parts: Parts,
    body: Bytes,
    circumstances: &Circumstances,
) -> Response<Body> {
    let event = event::event(door, &parts, &body, circumstances).to_string();
    if event.len() > LARGEST_EVENT {
        return too_large();
    }
    let answered = match functions.functions.get(name) {
        Some(function) => invoke(function.clone(), circumstances.clone(), event).await,
        None => Err(Failure::Ended(format!("there is no function {name}"))),
    };
    answered.and_then(|answer| response::response(&answer)).unwrap_or_else(|failure| {
        functions.failures.note(name, failure.clone());
        response::failed(door, &failure)
    })
}

/// To its end, also where the caller goes away meanwhile: Lambda does not tell a function of that.
async fn invoke(
    function: Arc<Function>,
    circumstances: Circumstances,
    event: String,
) -> Result<Bytes, Failure> {
    // Lambda counts its own requests.
    let id = Uuid::new_v4().to_string();
    let trace_id = format!("{};Parent={:016x};Sampled=0", circumstances.trace_id, fastrand::u64(..));
    let invoked = tokio::spawn(async move { function.invoke(&id, &trace_id, Bytes::from(event)).await });
    invoked.await.unwrap_or_else(|error| Err(Failure::Ended(error.to_string())))
}

fn circumstances(request_id: String) -> Circumstances {
    let at = Timestamp::now();
    let trace_id = format!("Root=1-{:08x}-{:024x}", at.as_second(), fastrand::u128(..) >> 32);
    Circumstances { request_id, trace_id, source: IpAddr::V4(Ipv4Addr::LOCALHOST), at }
}

fn too_large() -> Response<Body> {
    response::plain(
        StatusCode::PAYLOAD_TOO_LARGE,
        "application/json",
        r#"{"message":"Request Entity Too Large"}"#,
    )
}

fn mark(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
