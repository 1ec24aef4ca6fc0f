//! An upstream that returns the headers and the body of each request, in places that an error
//! message of the functions could quote.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::{Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use local_stack::http::{Port, Server};
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub enum EchoMode {
    /// An error with this status, in the formats of OpenAI and of PostgREST.
    Error(u16),
    /// An error in the format of the RPC functions.
    RpcError,
    /// A success with a string instead of each expected value.
    WrongTypes,
    /// A success with an HTML page.
    Html,
    /// A success with this body, which is not an echo.
    Fixed(Value),
}

impl EchoMode {
    pub fn all() -> Vec<Self> {
        let errors = [400, 401, 403, 404, 409, 418, 422, 429, 500, 503].map(Self::Error);
        errors.into_iter().chain([Self::RpcError, Self::WrongTypes, Self::Html]).collect()
    }
}

pub struct EchoServer {
    server: Server,
    state: Arc<EchoState>,
}

struct EchoState {
    mode: Mutex<EchoMode>,
    jwks: Mutex<Value>,
}

impl EchoServer {
    pub async fn start() -> Result<Self> {
        let jwks = json!({ "keys": [] });
        let state = Arc::new(EchoState { mode: Mutex::new(EchoMode::Html), jwks: Mutex::new(jwks) });
        let router = Router::new().fallback(respond).with_state(state.clone());
        Ok(Self { server: Port::free().await?.serve(router), state })
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn set_mode(&self, mode: EchoMode) {
        *self.state.mode.lock().unwrap_or_else(PoisonError::into_inner) = mode;
    }

    /// Requests for the key set are not echoed.
    pub fn set_jwks(&self, jwks: Value) {
        *self.state.jwks.lock().unwrap_or_else(PoisonError::into_inner) = jwks;
    }
}

async fn respond(State(state): State<Arc<EchoState>>, request: Request) -> Response {
    if request.uri().path().ends_with("/jwks.json") {
        return Json(state.jwks.lock().unwrap_or_else(PoisonError::into_inner).clone()).into_response();
    }
    let echo = echo_of(request).await;
    let mode = state.mode.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match mode {
        EchoMode::Error(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
            (status, Json(error(&echo, &echo))).into_response()
        }
        EchoMode::RpcError => (StatusCode::CONFLICT, Json(error("PT409", &echo))).into_response(),
        EchoMode::WrongTypes => Json(
            json!([{ "id": echo, "session": echo, "client_secret": { echo.clone(): echo }, "data": echo }]),
        )
        .into_response(),
        EchoMode::Html => ([(CONTENT_TYPE, "text/html")], format!("<h1>{echo}</h1>")).into_response(),
        EchoMode::Fixed(body) => Json(body).into_response(),
    }
}

fn error(code: &str, echo: &str) -> Value {
    let openai = json!({ "message": echo, "type": echo, "param": echo, "code": echo });
    json!({ "code": code, "message": echo, "details": echo, "hint": echo, "error": openai })
}

/// The values of the headers, and the body.
async fn echo_of(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let mut values: Vec<_> =
        parts.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    values.push(String::from_utf8_lossy(&body).into_owned());
    values.join(" ")
}
