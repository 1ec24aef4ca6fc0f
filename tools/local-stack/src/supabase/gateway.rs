//! Supabase's API gateway: one base URL, API keys mapped to roles, `/rest/v1` and `/auth/v1`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use anyhow::Result;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use serde_json::json;

use super::fault::{FailureSet, Fault, InjectedFailure};
use super::issuer::Issuer;
use super::keys::{ApiKeys, Authorization};
use super::request_log::{RequestLog, RequestLogEntry};
use super::rest::PostgrestServer;
use super::token;
use crate::http;
use crate::http::{Breakpoint, LatencyRecorder, Port, PortState, RandomFault, Server};
use crate::postgres::Database;

const REST: &str = "/rest/v1";
const JWKS: &str = "/auth/v1/.well-known/jwks.json";
const DISCOVERY: &str = "/auth/v1/.well-known/openid-configuration";

/// A Supabase project's public endpoint.
pub struct Gateway {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    issuer: Arc<Issuer>,
    keys: ApiKeys,
    /// Replaces the secret key of `keys`.
    newer_secret: Mutex<Option<String>>,
    rest: PostgrestServer,
    request_log: RequestLog,
    fault: Mutex<Fault>,
    breakpoint: Mutex<Breakpoint>,
}

impl Gateway {
    /// Starts the gateway of a database.
    pub async fn start(database: &Database) -> Result<Self> {
        let port = Port::free().await?;
        let issuer = Arc::new(Issuer::new(&port.url())?);
        let keys = ApiKeys::generate(&issuer)?;
        let rest = PostgrestServer::start(database, &issuer).await?;
        let shared = Arc::new(Shared {
            issuer,
            keys,
            newer_secret: Mutex::default(),
            rest,
            request_log: RequestLog::default(),
            fault: Mutex::default(),
            breakpoint: Mutex::default(),
        });
        let server = port.serve(Router::new().fallback(answer).with_state(shared.clone()));
        Ok(Self { server, shared })
    }

    /// The project's URL, without a trailing slash.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// `sb_publishable_…`
    pub fn publishable_key(&self) -> &str {
        &self.shared.keys.publishable
    }

    /// `sb_secret_…`
    pub fn secret_key(&self) -> &str {
        &self.shared.keys.secret
    }

    /// Accepts another secret key from now on, and refuses the one of [`Gateway::secret_key`].
    pub fn replace_secret_key(&self, key: &str) {
        *self.shared.newer_secret.lock().unwrap_or_else(PoisonError::into_inner) = Some(key.to_owned());
    }

    /// The legacy `anon` key, a JWT.
    pub fn legacy_anon_key(&self) -> &str {
        &self.shared.keys.legacy_anon
    }

    /// The legacy `service_role` key, a JWT.
    pub fn legacy_service_key(&self) -> &str {
        &self.shared.keys.legacy_service
    }

    /// The issuer of the accepted tokens.
    pub fn issuer(&self) -> &Issuer {
        &self.shared.issuer
    }

    /// Makes PostgREST reload its schema cache, as after a migration.
    pub async fn reload_schema(&self) -> Result<()> {
        self.shared.rest.reload_schema().await
    }

    pub fn requests(&self) -> Vec<RequestLogEntry> {
        self.shared.request_log.entries()
    }

    /// Duration of each request, measured at the sockets.
    pub fn latency(&self) -> &LatencyRecorder {
        self.server.latency()
    }

    /// Runs a step of this breakpoint before and after the work of each request.
    pub fn set_breakpoint(&self, breakpoint: &Breakpoint) {
        *self.shared.breakpoint.lock().unwrap_or_else(PoisonError::into_inner) = breakpoint.clone();
    }

    /// Sets the gateway's behaviour, and returns when it is in effect.
    pub async fn set_fault(&self, fault: Fault) {
        let reach = if matches!(fault, Fault::Down) { PortState::Closed } else { PortState::Open };
        *self.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        self.server.set(reach).await;
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (at, started) = (SystemTime::now(), Instant::now());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let traceparent =
        request.headers().get("traceparent").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let fault = shared.fault.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (role, response) = match fault {
        Fault::Unavailable => (None, StatusCode::SERVICE_UNAVAILABLE.into_response()),
        Fault::Silent => std::future::pending().await,
        Fault::Delay(delay) => {
            tokio::time::sleep(delay).await;
            route(&shared, request).await
        }
        Fault::NoSigningKeys if path == JWKS => (None, Json(json!({ "keys": [] })).into_response()),
        Fault::Canned(canned) => match canned.answer(&path) {
            Some(response) if canned.is_executed => (route(&shared, request).await.0, response),
            Some(response) => (None, response),
            None => route(&shared, request).await,
        },
        Fault::Unreliable(chance, failures) => route_with_failures(&shared, request, &chance, failures).await,
        Fault::None | Fault::Down | Fault::NoSigningKeys => route_with_breakpoint(&shared, request).await,
    };
    let (status, took) = (response.status(), started.elapsed());
    shared.request_log.push(RequestLogEntry { method, path, role, traceparent, status, at, took });
    response
}

/// Routes a request, or injects a failure.
async fn route_with_failures(
    shared: &Shared,
    request: Request<Body>,
    chance: &RandomFault,
    failures: FailureSet,
) -> (Option<String>, Response) {
    let for_postgrest = request.uri().path().starts_with(REST);
    match InjectedFailure::draw(chance, failures).filter(|_| for_postgrest) {
        Some(InjectedFailure::Unavailable) => (None, StatusCode::SERVICE_UNAVAILABLE.into_response()),
        Some(InjectedFailure::ResetBefore) => (None, http::reset()),
        Some(InjectedFailure::ResetAfter) => (route(shared, request).await.0, http::reset()),
        Some(InjectedFailure::Cut) => {
            let (role, response) = route(shared, request).await;
            (role, http::cut(response).await)
        }
        Some(InjectedFailure::Respond(canned)) => match canned().answer(request.uri().path()) {
            Some(response) => (None, response),
            None => route(shared, request).await,
        },
        Some(InjectedFailure::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            route(shared, request).await
        }
        None => route(shared, request).await,
    }
}

/// Routes a request. If the breakpoint triggers first, the request counts as never sent.
async fn route_with_breakpoint(shared: &Shared, request: Request<Body>) -> (Option<String>, Response) {
    let breakpoint = shared.breakpoint.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if breakpoint.step() {
        return (None, http::reset());
    }
    let answer = route(shared, request).await;
    breakpoint.step();
    answer
}

/// Routes a request. Returns the role and the response.
async fn route(shared: &Shared, request: Request<Body>) -> (Option<String>, Response) {
    match request.uri().path() {
        // Public, and cacheable for ten minutes.
        JWKS => {
            (None, ([(CACHE_CONTROL, "public, max-age=600")], Json(shared.issuer.jwks())).into_response())
        }
        DISCOVERY => {
            let issuer = shared.issuer.url();
            (
                None,
                Json(json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/.well-known/jwks.json") }))
                    .into_response(),
            )
        }
        path if path == REST || path.starts_with("/rest/v1/") => rest(shared, request).await,
        _ => (
            None,
            (StatusCode::NOT_FOUND, Json(json!({ "message": "no Route matched with those values" })))
                .into_response(),
        ),
    }
}

async fn rest(shared: &Shared, mut request: Request<Body>) -> (Option<String>, Response) {
    let key = key(request.headers(), request.uri());
    let authorization = text(request.headers(), "authorization");
    let newer = shared.newer_secret.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let keys = match newer {
        Some(secret) => ApiKeys { secret, ..shared.keys.clone() },
        None => shared.keys.clone(),
    };
    let authorized = match keys.authorize(key.as_deref(), authorization.as_deref()) {
        Ok(authorized) => authorized,
        Err(refusal) => return (None, (StatusCode::UNAUTHORIZED, Json(refusal.body())).into_response()),
    };
    if let Authorization::Role(role) = authorized
        && let Ok(header) = HeaderValue::from_str(&format!("Bearer {}", shared.issuer.legacy_key(role)))
    {
        request.headers_mut().insert(AUTHORIZATION, header);
    }
    let role = token::role(request.headers());
    let signed_in = role.as_deref().is_some_and(|role| role != "anon");
    *request.uri_mut() = postgrest_uri(request.uri());
    (
        Some(role.unwrap_or_else(|| "anon".to_owned())),
        shared.rest.answer(&shared.issuer, request, signed_in).await,
    )
}

/// Returns the API key from the header, or from the query.
fn key(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let in_query =
        || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("apikey=")).map(str::to_owned);
    text(headers, "apikey").or_else(in_query)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

/// Returns the URI that PostgREST sees: without the gateway's prefix and without the key.
fn postgrest_uri(uri: &Uri) -> Uri {
    let path = uri.path().strip_prefix(REST).filter(|path| !path.is_empty()).unwrap_or("/");
    let query: Vec<&str> = uri
        .query()
        .unwrap_or("")
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("apikey="))
        .collect();
    let whole = if query.is_empty() { path.to_owned() } else { format!("{path}?{}", query.join("&")) };
    whole.parse().unwrap_or_else(|_| Uri::from_static("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgrest_uri_drops_prefix_and_key() {
        let postgrest_uri = |uri: &'static str| super::postgrest_uri(&Uri::from_static(uri)).to_string();
        assert_eq!(
            postgrest_uri("/rest/v1/agents?select=id&apikey=sb_x&limit=1"),
            "/agents?select=id&limit=1"
        );
        assert_eq!(postgrest_uri("/rest/v1/rpc/open_session"), "/rpc/open_session");
        assert_eq!(postgrest_uri("/rest/v1/?apikey=sb_x"), "/");
        assert_eq!(postgrest_uri("/rest/v1"), "/");
    }
}
