//! PostgREST, played by `postrust-server` in this process, set up as Supabase sets up PostgREST.

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

/// The largest answer that is looked into: only errors are, and they are small.
const LARGEST_ERROR: usize = 1 << 20;

/// The API of one database.
pub struct Rest {
    router: Router,
    state: Arc<AppState>,
    keys: JwtKeys,
    generation: Mutex<u64>,
}

impl Rest {
    /// Connects as PostgREST's own role and reads the schema.
    pub async fn start(database_uri: String, issuer: &Issuer) -> Result<Self> {
        let (generation, keys) = issuer.verifying_keys();
        let keys = keys.to_string();
        let settings = [
            ("PGRST_DB_URI", database_uri.as_str()),
            ("PGRST_DB_SCHEMAS", "public"),
            ("PGRST_DB_EXTRA_SEARCH_PATH", "public,extensions"),
            ("PGRST_DB_ANON_ROLE", "anon"),
            // The setting "max rows" of the Data API, as low as a project may have it: answers are cut to it in silence.
            ("PGRST_DB_MAX_ROWS", "100"),
            ("PGRST_DB_POOL", "10"),
            ("PGRST_JWT_SECRET", keys.as_str()),
            // It ignores the settings of roles, which PostgREST applies; so they are named to it.
            ("PGRST_ROLE_SETTINGS", ROLE_SETTINGS),
            // The API at the root, and errors worded as PostgREST words them.
            ("PGRST_COMPAT_MODE", "true"),
        ];
        let config = AppConfig::try_from_vars(settings).map_err(|error| anyhow!("{error}"))?;
        let app = postrust_server::build(config, Host::LAMBDA).await.context("starting postrust-server")?;
        let keys = app.state.jwt_config.keys.clone().context("postrust-server kept no keys")?;
        Ok(Self { router: app.router, state: app.state, keys, generation: Mutex::new(generation) })
    }

    /// Looks at the tables and functions again.
    pub async fn reload_schema(&self) -> Result<()> {
        self.state.reload_schema().await.map_err(|error| anyhow!("reading the schema again: {error}"))
    }

    /// Answers one request whose path is that of PostgREST.
    ///
    /// It goes on to its end where the caller goes away, since PostgREST commits then and postrust-server rolls back.
    pub async fn answer(&self, issuer: &Issuer, request: Request<Body>, signed_in: bool) -> Response {
        self.follow(issuer);
        let router = self.router.clone();
        let answer = tokio::spawn(async move { router.oneshot(request).await });
        match answer.await {
            Ok(Ok(response)) if signed_in && response.status() == StatusCode::UNAUTHORIZED => {
                forbidden(response).await
            }
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => status_only(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }

    /// Takes over the issuer's keys after a rotation.
    fn follow(&self, issuer: &Issuer) {
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

/// Milliseconds: three seconds for `anon`, eight for users, and eight for `service_role` through the authenticator.
const ROLE_SETTINGS: &str = r#"{
    "anon": {"statement_timeout": 3000},
    "authenticated": {"statement_timeout": 8000},
    "service_role": {"statement_timeout": 8000}
}"#;

/// PostgREST answers 42501 (insufficient privilege) with 401 to an anonymous caller and with 403 to any other;
/// postrust-server always with 401.
async fn forbidden(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_ERROR).await else { return status_only(StatusCode::BAD_GATEWAY) };
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
