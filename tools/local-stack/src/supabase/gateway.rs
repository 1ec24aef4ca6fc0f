//! Supabase's front door: one base URL, keys checked and turned into roles, `/rest/v1` and `/auth/v1` behind it.

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

use super::fault::{Fault, Mishap, Mishaps};
use super::issuer::Issuer;
use super::keys::{ApiKeys, Pass};
use super::request_log::{Entry, Ledger};
use super::rest::Rest;
use super::token;
use crate::http;
use crate::http::{Breakpoint, Meter, Port, RandomFault, Reach, Server};

const REST: &str = "/rest/v1";
const JWKS: &str = "/auth/v1/.well-known/jwks.json";
const DISCOVERY: &str = "/auth/v1/.well-known/openid-configuration";

/// A Supabase project, as seen from outside.
pub struct Gateway {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    issuer: Arc<Issuer>,
    keys: ApiKeys,
    rest: Rest,
    ledger: Ledger,
    fault: Mutex<Fault>,
    breakpoint: Mutex<Breakpoint>,
}

impl Gateway {
    /// Opens the gateway of the database behind `database_uri`.
    pub async fn start(database_uri: String) -> Result<Self> {
        let port = Port::free().await?;
        let issuer = Arc::new(Issuer::new(&port.url())?);
        let keys = ApiKeys::generate(&issuer)?;
        let rest = Rest::start(database_uri, &issuer).await?;
        let shared = Arc::new(Shared {
            issuer,
            keys,
            rest,
            ledger: Ledger::default(),
            fault: Mutex::default(),
            breakpoint: Mutex::default(),
        });
        let server = port.serve(Router::new().fallback(answer).with_state(shared.clone()));
        Ok(Self { server, shared })
    }

    /// The project's URL, without a slash at its end.
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

    /// The legacy `anon` key, a token.
    pub fn legacy_anon_key(&self) -> &str {
        &self.shared.keys.legacy_anon
    }

    /// The legacy `service_role` key, a token.
    pub fn legacy_service_key(&self) -> &str {
        &self.shared.keys.legacy_service
    }

    /// Who signs the tokens that are accepted here.
    pub fn issuer(&self) -> &Issuer {
        &self.shared.issuer
    }

    /// Has PostgREST look at the tables and functions again, as after a migration.
    pub async fn reload_schema(&self) -> Result<()> {
        self.shared.rest.reload_schema().await
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Entry> {
        self.shared.ledger.entries()
    }

    /// How long it had each request, as seen from outside.
    pub fn meter(&self) -> &Meter {
        self.server.meter()
    }

    /// Steps on this wire before and after the work of each request.
    pub fn step_on(&self, breakpoint: &Breakpoint) {
        *self.shared.breakpoint.lock().unwrap_or_else(PoisonError::into_inner) = breakpoint.clone();
    }

    /// Behaves like this from now on; returns once it does.
    pub async fn fault(&self, fault: Fault) {
        let reach = if matches!(fault, Fault::Down) { Reach::Closed } else { Reach::Open };
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
            Some(response) => (None, response),
            None => route(&shared, request).await,
        },
        Fault::Unreliable(chance, mishaps) => unreliable(&shared, request, &chance, mishaps).await,
        Fault::None | Fault::Down | Fault::NoSigningKeys => stepwise(&shared, request).await,
    };
    let (status, took) = (response.status(), started.elapsed());
    shared.ledger.note(Entry { method, path, role, traceparent, status, at, took });
    response
}

/// Answers, or has a mishap.
async fn unreliable(
    shared: &Shared,
    request: Request<Body>,
    chance: &RandomFault,
    mishaps: Mishaps,
) -> (Option<String>, Response) {
    let for_postgrest = request.uri().path().starts_with(REST);
    match Mishap::draw(chance, mishaps).filter(|_| for_postgrest) {
        Some(Mishap::Unavailable) => (None, StatusCode::SERVICE_UNAVAILABLE.into_response()),
        Some(Mishap::ResetBefore) => (None, http::reset()),
        Some(Mishap::ResetAfter) => (route(shared, request).await.0, http::reset()),
        Some(Mishap::Cut) => {
            let (role, response) = route(shared, request).await;
            (role, http::cut(response).await)
        }
        Some(Mishap::Instead(canned)) => match canned().answer(request.uri().path()) {
            Some(response) => (None, response),
            None => route(shared, request).await,
        },
        Some(Mishap::Delay(delay)) => {
            tokio::time::sleep(delay).await;
            route(shared, request).await
        }
        None => route(shared, request).await,
    }
}

/// Answers, unless somebody is to be stopped here: then the request was never sent.
async fn stepwise(shared: &Shared, request: Request<Body>) -> (Option<String>, Response) {
    let breakpoint = shared.breakpoint.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if breakpoint.step() {
        return (None, http::reset());
    }
    let answer = route(shared, request).await;
    breakpoint.step();
    answer
}

/// The role a request was answered as, and the answer.
async fn route(shared: &Shared, request: Request<Body>) -> (Option<String>, Response) {
    match request.uri().path() {
        // Open to everybody, and kept by whoever asks for ten minutes.
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
    let pass = match shared.keys.judge(key.as_deref(), authorization.as_deref()) {
        Ok(pass) => pass,
        Err(refusal) => return (None, (StatusCode::UNAUTHORIZED, Json(refusal.body())).into_response()),
    };
    if let Pass::Role(role) = pass
        && let Ok(header) = HeaderValue::from_str(&format!("Bearer {}", shared.issuer.legacy_key(role)))
    {
        request.headers_mut().insert(AUTHORIZATION, header);
    }
    let role = token::role(request.headers());
    let signed_in = role.as_deref().is_some_and(|role| role != "anon");
    *request.uri_mut() = behind(request.uri());
    (
        Some(role.unwrap_or_else(|| "anon".to_owned())),
        shared.rest.answer(&shared.issuer, request, signed_in).await,
    )
}

/// The key in its header, or else in the query.
fn key(headers: &HeaderMap, uri: &Uri) -> Option<String> {
    let in_query =
        || uri.query()?.split('&').find_map(|pair| pair.strip_prefix("apikey=")).map(str::to_owned);
    text(headers, "apikey").or_else(in_query)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    Some(String::from_utf8_lossy(headers.get(name)?.as_bytes()).into_owned())
}

/// The URI that PostgREST sees: without the gateway's prefix, and without the key.
fn behind(uri: &Uri) -> Uri {
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
    fn postgrest_sees_neither_the_prefix_nor_the_key() {
        let behind = |uri: &'static str| super::behind(&Uri::from_static(uri)).to_string();
        assert_eq!(behind("/rest/v1/agents?select=id&apikey=sb_x&limit=1"), "/agents?select=id&limit=1");
        assert_eq!(behind("/rest/v1/rpc/open_session"), "/rpc/open_session");
        assert_eq!(behind("/rest/v1/?apikey=sb_x"), "/");
        assert_eq!(behind("/rest/v1"), "/");
    }
}
