//! Runs `postrust-server` in this process as PostgREST, configured as Supabase configures it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use postrust_auth::{JwtKeys, KeySet};
use postrust_core::{AppConfig, SchemaCache};
use postrust_server::{AppState, handle_request};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::sync::OnceCell;

use super::issuer::Issuer;
use crate::postgres::{Database, Grants};

/// The largest body that is inspected: only errors are, and they are small.
const MAX_ERROR_BYTES: usize = 1 << 20;

/// The REST API of one database.
pub struct PostgrestServer {
    state: Arc<AppState>,
    keys: JwtKeys,
    generation: Mutex<u64>,
}

impl PostgrestServer {
    /// Serves a database as PostgREST's role.
    pub async fn start(database: &Database, issuer: &Issuer) -> Result<Self> {
        let database_uri = database.uri("authenticator");
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
        let pool = PgPoolOptions::new()
            .max_connections(config.db_pool_size)
            .acquire_timeout(Duration::from_secs(config.db_pool_timeout))
            .connect_lazy(&database_uri)
            .context("connecting as PostgREST")?;
        let schema = schema(database.grants(), &pool, &config).await?;
        let state = AppState::new(pool, schema, config).context("PostgREST's configuration")?;
        let keys = state.jwt_config.keys.clone().context("postrust-server has no JWT keys")?;
        Ok(Self { state: state.into(), keys, generation: Mutex::new(generation) })
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
        match tokio::spawn(handle_request(State(self.state.clone()), request)).await {
            Ok(response) if signed_in && response.status() == StatusCode::UNAUTHORIZED => {
                as_forbidden(response).await
            }
            Ok(response) => response,
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

/// Returns the schema of the databases with these grants. It is read once, because reading it takes
/// longer than everything else at the start of a stack. All databases of a template have the same
/// schema until a test changes one and calls [`PostgrestServer::reload_schema`].
async fn schema(grants: Grants, pool: &PgPool, config: &AppConfig) -> Result<SchemaCache> {
    static BEFORE: OnceCell<SchemaCache> = OnceCell::const_new();
    static SINCE: OnceCell<SchemaCache> = OnceCell::const_new();
    let known = match grants {
        Grants::Before20261030 => &BEFORE,
        Grants::Since20261030 => &SINCE,
    };
    let read = || SchemaCache::load_with_search_path(pool, &config.db_schemas, &config.db_extra_search_path);
    let schema = known.get_or_try_init(read).await;
    schema.cloned().map_err(|error| anyhow!("reading the schema: {error}"))
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
