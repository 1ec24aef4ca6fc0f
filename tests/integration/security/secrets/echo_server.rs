//! An upstream that repeats what it was told: every header of a request comes back in the answer, and so does its body, where
//! an error of ours might quote it.

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

/// What it answers with.
#[derive(Clone, Debug)]
pub enum Mood {
    /// An error of this status, in the words of OpenAI and of PostgREST at once.
    Refusing(u16),
    /// An error that claims to be one of our own SQL.
    Ours,
    /// A success with the secrets where something else should be.
    Nonsense,
    /// A success that is a page of HTML.
    Html,
    /// This.
    Saying(Value),
}

/// A running mirror.
pub struct Mirror {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    mood: Mutex<Mood>,
    keys: Mutex<Value>,
}

impl Mirror {
    pub async fn start() -> Result<Self> {
        let shared =
            Arc::new(Shared { mood: Mutex::new(Mood::Html), keys: Mutex::new(json!({ "keys": [] })) });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        Ok(Self { server: Port::free().await?.serve(router), shared })
    }

    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    /// The key set that it publishes.
    pub fn publish(&self, keys: Value) {
        *self.shared.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    if request.uri().path().ends_with("/jwks.json") {
        return Json(shared.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()).into_response();
    }
    let told = told(request).await;
    let mood = shared.mood.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match mood {
        Mood::Refusing(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::IM_A_TEAPOT);
            (status, Json(error(&told, &told))).into_response()
        }
        Mood::Ours => (StatusCode::CONFLICT, Json(error("PT409", &told))).into_response(),
        Mood::Nonsense => Json(
            json!([{ "id": told, "session": told, "client_secret": { told.clone(): told }, "data": told }]),
        )
        .into_response(),
        Mood::Html => ([(CONTENT_TYPE, "text/html")], format!("<h1>{told}</h1>")).into_response(),
        Mood::Saying(value) => Json(value).into_response(),
    }
}

fn error(code: &str, told: &str) -> Value {
    let inner = json!({ "message": told, "type": told, "param": told, "code": told });
    json!({ "code": code, "message": told, "details": told, "hint": told, "error": inner })
}

async fn told(request: Request) -> String {
    let (parts, body) = request.into_parts();
    let mut values: Vec<_> =
        parts.headers.values().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    values.push(String::from_utf8_lossy(&body).into_owned());
    values.join(" ")
}
