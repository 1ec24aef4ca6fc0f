//! What can go wrong with Supabase, on order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header::CONTENT_TYPE};

use crate::http::RandomFault;

/// How the gateway behaves until it is told otherwise.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// Well.
    #[default]
    None,
    /// Not there: connections are cut and new ones refused.
    Down,
    /// There, but PostgREST behind it is not: 503 for every request, with nothing done.
    Unavailable,
    /// Slow: every request waits this long before it is looked at.
    Delay(Duration),
    /// Silent: connections are accepted, requests taken, and never answered.
    Silent,
    /// Well, but of a project that still signs with the legacy secret: it publishes no key.
    NoSigningKeys,
    /// Well, but some requests get this answer, with nothing done.
    Canned(Canned),
    /// Out of order now and then: of the requests for PostgREST, those that are struck go wrong in one of these ways.
    Unreliable(RandomFault, Mishaps),
}

/// In which ways requests go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishaps {
    /// Those that pass by themselves, after which the same request is sent again at once.
    Passing,
    /// Those, and answers that blame the caller, its key, the database or a network.
    All,
}

/// An answer in the place of Supabase's own: by PostgREST, the gateway, or whoever stands in front of them.
#[derive(Clone, Debug)]
pub struct Canned {
    status: StatusCode,
    content_type: HeaderValue,
    body: String,
    headers: Vec<(HeaderName, HeaderValue)>,
    /// What the path of those requests begins with.
    path: String,
    /// How many more of them; none for all.
    left: Option<Arc<AtomicU32>>,
}

impl Canned {
    /// Every request for PostgREST is answered so. A status that is none becomes 500.
    pub fn new(status: u16, content_type: &'static str, body: impl Into<String>) -> Self {
        Self {
            status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type: HeaderValue::from_static(content_type),
            body: body.into(),
            headers: Vec::new(),
            path: "/rest/v1".to_owned(),
            left: None,
        }
    }

    /// PostgREST's JSON.
    pub fn postgrest(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "code": code, "message": message, "details": null, "hint": null });
        Self::new(status, "application/json; charset=utf-8", body.to_string())
    }

    /// The gateway's JSON.
    pub fn gateway(status: u16, message: &str) -> Self {
        Self::new(status, "application/json", serde_json::json!({ "message": message }).to_string())
    }

    /// A page of HTML, as networks and firewalls answer.
    pub fn html(status: u16) -> Self {
        let body =
            format!("<!DOCTYPE html><html><head><title>{status}</title></head><body>Ray ID: 1</body></html>");
        Self::new(status, "text/html; charset=UTF-8", body)
    }

    /// With this header.
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((HeaderName::from_static(name), HeaderValue::from_static(value)));
        self
    }

    /// Only requests whose path begins so.
    pub fn at(mut self, path: &str) -> Self {
        path.clone_into(&mut self.path);
        self
    }

    /// That many requests and no more.
    pub fn times(mut self, times: u32) -> Self {
        self.left = Some(Arc::new(AtomicU32::new(times)));
        self
    }

    /// The answer, where it is this request's.
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

/// What becomes of a request for PostgREST.
#[derive(Clone, Copy, Debug)]
pub(super) enum Mishap {
    /// 503 from in front of PostgREST; nothing is done.
    Unavailable,
    /// It takes its time.
    Delay(Duration),
    /// The connection is reset; nothing is done.
    ResetBefore,
    /// The connection is reset; it is done.
    ResetAfter,
    /// Half of the answer; it is done.
    Cut,
    /// Another answer; nothing is done.
    Instead(fn() -> Canned),
}

impl Mishap {
    /// Each as likely as the others. Those that pass come first.
    const ALL: [Self; 17] = [
        Self::Unavailable,
        Self::Delay(Duration::from_millis(50)),
        Self::Delay(Duration::from_millis(400)),
        Self::ResetBefore,
        Self::ResetAfter,
        Self::Cut,
        Self::Instead(|| Canned::postgrest(401, "PGRST303", "JWT issued at future")),
        Self::Instead(|| Canned::postgrest(500, "40P01", "deadlock detected")),
        Self::Instead(|| Canned::html(522)),
        Self::Instead(|| {
            Canned::postgrest(503, "PGRST002", "Could not query the database for the schema cache. Retrying.")
        }),
        Self::Instead(|| {
            Canned::postgrest(504, "PGRST003", "Timed out acquiring connection from connection pool.")
        }),
        Self::Instead(|| {
            Canned::postgrest(404, "PGRST202", "Could not find the function in the schema cache")
        }),
        Self::Instead(|| Canned::postgrest(500, "57014", "canceling statement due to statement timeout")),
        Self::Instead(|| Canned::postgrest(405, "25006", "cannot execute INSERT in a read-only transaction")),
        Self::Instead(|| Canned::gateway(401, "Invalid API key")),
        Self::Instead(|| Canned::html(403)),
        Self::Instead(|| Canned::html(200)),
    ];

    /// How many of them pass.
    const PASSING: usize = 12;

    /// What happens this time, if anything.
    pub(super) fn draw(chance: &RandomFault, mishaps: Mishaps) -> Option<Self> {
        let of = match mishaps {
            Mishaps::Passing => &Self::ALL[..Self::PASSING],
            Mishaps::All => &Self::ALL,
        };
        chance.strikes().then(|| chance.pick(of)).flatten()
    }
}
