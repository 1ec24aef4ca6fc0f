//! Faults of Supabase.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use crate::http::RandomFault;

/// The behaviour of the gateway.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    #[default]
    None,
    /// Connections are cut and new ones are refused.
    Down,
    /// PostgREST is down: every request returns 503, and nothing is done.
    Unavailable,
    /// Every request waits this long before it is processed.
    Delay(Duration),
    /// Requests are accepted and never answered.
    Silent,
    /// The project still signs with the legacy secret and publishes no key.
    NoSigningKeys,
    /// Some requests get this response.
    Canned(CannedResponse),
    /// Random requests to PostgREST fail in one of these ways.
    Unreliable(RandomFault, FailureSet),
}

/// The kinds of failures that a random fault injects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureSet {
    /// Failures after which an immediate retry succeeds.
    Transient,
    /// Also responses that blame the caller, its key, the database or a network.
    All,
}

/// A fixed response in place of Supabase's: by PostgREST, the gateway, or a proxy.
#[derive(Clone, Debug)]
pub struct CannedResponse {
    status: StatusCode,
    content_type: HeaderValue,
    body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Prefix of the affected paths.
    path: String,
    /// Number of remaining responses; `None` for all requests.
    left: Option<Arc<AtomicU32>>,
    /// Whether the request is executed nevertheless.
    pub(super) is_executed: bool,
}

impl CannedResponse {
    /// Replaces the response of every PostgREST request. An invalid status becomes 500.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type: HeaderValue::from_static(content_type),
            body: body.into(),
            headers: Vec::new(),
            path: "/rest/v1".to_owned(),
            left: None,
            is_executed: false,
        }
    }

    /// An error in PostgREST's format.
    pub fn postgrest(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "code": code, "message": message, "details": null, "hint": null });
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// An error in the gateway's format.
    pub fn gateway(status: u16, message: &str) -> Self {
        Self::new(status, "application/json", serde_json::json!({ "message": message }).to_string())
    }

    /// An HTML page, as networks and firewalls return.
    pub fn html(status: u16) -> Self {
        let body =
            format!("<!DOCTYPE html><html><head><title>{status}</title></head><body>Ray ID: 1</body></html>");
        Self::new(status, "text/html; charset=UTF-8", body)
    }

    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
        self
    }

    /// Limits it to paths with this prefix.
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// Limits it to `times` requests.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(Arc::new(AtomicU32::new(times)));
        self
    }

    /// Executes the request and replaces its response.
    pub fn after_execution(mut self) -> Self {
        self.is_executed = true;
        self
    }

    /// Returns the response, if it applies to this request.
    pub(super) fn answer(&self, path: &str) -> Option<Response<Body>> {
        if !path.starts_with(&self.path) {
            return None;
        }
        if let Some(left) = &self.left {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        }
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
        response.headers_mut().extend(self.headers.iter().cloned());
        Some(response)
    }
}

/// One injected failure of a PostgREST request.
#[derive(Clone, Copy, Debug)]
pub(super) enum InjectedFailure {
    /// 503 before PostgREST; nothing is done.
    Unavailable,
    Delay(Duration),
    /// The connection is reset; nothing is done.
    ResetBefore,
    /// The connection is reset; the request is executed.
    ResetAfter,
    /// Half of the response; the request is executed.
    Cut,
    /// Another response; nothing is done.
    Respond(fn() -> CannedResponse),
}

impl InjectedFailure {
    /// All failures are equally likely. The transient ones come first.
    const ALL: [Self; 17] = [
        Self::Unavailable,
        Self::Delay(Duration::from_millis(50)),
        Self::Delay(Duration::from_millis(400)),
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Cut,
        Self::Respond(|| CannedResponse::postgrest(401, "PGRST303", "JWT issued at future")),
        Self::Respond(|| CannedResponse::postgrest(500, "40P01", "deadlock detected")),
        Self::Respond(|| CannedResponse::html(522)),
        Self::Respond(|| {
            CannedResponse::postgrest(
                503,
                "PGRST002",
                "Could not query the database for the schema cache. Retrying.",
            )
        }),
        Self::Respond(|| {
            CannedResponse::postgrest(504, "PGRST003", "Timed out acquiring connection from connection pool.")
        }),
        Self::Respond(|| {
            CannedResponse::postgrest(404, "PGRST202", "Could not find the function in the schema cache")
        }),
        Self::Respond(|| {
            CannedResponse::postgrest(500, "57014", "canceling statement due to statement timeout")
        }),
        Self::Respond(|| {
            CannedResponse::postgrest(405, "25006", "cannot execute INSERT in a read-only transaction")
        }),
        Self::Respond(|| CannedResponse::gateway(401, "Invalid API key")),
        Self::Respond(|| CannedResponse::html(403)),
        Self::Respond(|| CannedResponse::html(200)),
    ];

    const TRANSIENT: usize = 12;

    /// Returns the failure of this request, if any.
    pub(super) fn draw(chance: &RandomFault, failures: FailureSet) -> Option<Self> {
        let candidates = match failures {
            FailureSet::Transient => &Self::ALL[..Self::TRANSIENT],
            FailureSet::All => &Self::ALL,
        };
        chance.occurs().then(|| chance.pick(candidates)).flatten()
    }
}
