//! Runs `postrust-server` in this process as PostgREST, configured as Supabase configures it.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, anyhow};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use postrust_auth::{JwtKeys, KeySet};
use postrust_core::AppConfig;
use postrust_server::{AppState, Host};
use serde_json::Value;
use tower::ServiceExt;

use super::issuer::Issuer;

/// The largest body that is inspected: only errors are, and they are small.
const MAX_ERROR_BYTES: usize = 1 << 20;

/// The REST API of one database.
pub struct PostgrestServer {
    router: Router,
    state: Arc<AppState>,
    keys: JwtKeys,
    generation: Mutex<u64>,
}

impl PostgrestServer {
    /// Connects with PostgREST's role and reads the schema.
    pub async fn start(database_uri: String, issuer: &Issuer) -> Result<Self> {
        let (generation, keys) = issuer.verifying_keys();
        let keys = keys.to_string();
        let settings = [
            ("PGRST_DB_URI", database_uri.as_str()),
            ("PGRST_DB_SCHEMAS", "public"),
            ("PGRST_DB_EXTRA_SEARCH_PATH", "public,extensions"),
            ("PGRST_DB_ANON_ROLE", "anon"),
            // The Data API's "max rows". PostgREST truncates silently, so a low value makes tests
            // fail that rely on more rows.
            ("PGRST_DB_MAX_ROWS", "100"),
            ("PGRST_DB_POOL", "10"),
            ("PGRST_JWT_SECRET", keys.as_str()),
            // PostgREST applies role settings; postrust-server needs them here.
            ("PGRST_ROLE_SETTINGS", ROLE_SETTINGS),
            // Serves the API at the root, with the error texts of PostgREST.
            ("PGRST_COMPAT_MODE", "true"),
        ];
        let config = AppConfig::try_from_vars(settings).map_err(|error| anyhow!("{error}"))?;
        let app = postrust_server::build(config, Host::LAMBDA).await.context("starting postrust-server")?;
        let keys = app.state.jwt_config.keys.clone().context("postrust-server has no JWT keys")?;
        Ok(Self { router: app.router, state: app.state, keys, generation: Mutex::new(generation) })
    }

    pub async fn reload_schema(&self) -> Result<()> {
        self.state.reload_schema().await.map_err(|error| anyhow!("reloading the schema: {error}"))
    }

    /// Handles one request with a PostgREST path. `signed_in`: its role is not `anon`.
    ///
    /// A request continues after the client has disconnected, because PostgREST then commits.
    /// postrust-server would roll back.
    pub async fn answer(&self, issuer: &Issuer, request: Request<Body>, signed_in: bool) -> Response {
        self.sync_keys(issuer);
        let router = self.router.clone();
        let answer = tokio::spawn(async move { router.oneshot(request).await });
        match answer.await {
            Ok(Ok(response)) if signed_in && response.status() == StatusCode::UNAUTHORIZED => {
                as_forbidden(response).await
            }
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => status_only(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Reloads the issuer's keys after a rotation.
    fn sync_keys(&self, issuer: &Issuer) {
        let (latest, keys) = issuer.verifying_keys();
        let mut generation = self.generation.lock().unwrap_or_else(PoisonError::into_inner);
        if *generation != latest
            && let Ok(set) = KeySet::from_jwk_json(&keys.to_string())
        {
            self.keys.replace(set);
            *generation = latest;
        }
    }
}

/// Statement timeouts of Supabase's roles, in milliseconds. `service_role` has that of the
/// authenticator.
const ROLE_SETTINGS: &str = r#"{
    "anon": {"statement_timeout": 3000},
    "authenticated": {"statement_timeout": 8000},
    "service_role": {"statement_timeout": 8000}
}"#;

/// PostgREST answers 42501 (insufficient privilege) with 401 to anonymous callers and with 403 to
/// others; postrust-server always with 401.
async fn as_forbidden(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, MAX_ERROR_BYTES).await else { return status_only(StatusCode::BAD_GATEWAY) };
    let code = serde_json::from_slice::<Value>(&body)
        .ok()
        .and_then(|error| Some(error.get("code")?.as_str()?.to_owned()));
    if code.as_deref() == Some("42501") {
        parts.status = StatusCode::FORBIDDEN;
        parts.headers.remove(header::WWW_AUTHENTICATE);
    }
    Response::from_parts(parts, Body::from(body))
}

fn status_only(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}
