//! Serves the built page, and what it asks for under `/local/`.

use std::path::{Component, Path};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, REFRESH};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router, middleware};
use local_stack::http::{Port, Server};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::headers::{VIOLATIONS, guard, policy};
use super::{Build, BuildState, StackRequest};

/// Serves the page until it is dropped.
pub struct PageServer {
    server: Server,
}

#[derive(Clone)]
struct PageState {
    build: Build,
    config: Arc<Value>,
    requests: mpsc::Sender<StackRequest>,
    violations: Arc<AtomicUsize>,
}

#[derive(Deserialize)]
struct KillRequest {
    function: String,
}

impl PageServer {
    /// Starts to serve. `urls` are those that the page may connect to.
    pub(super) fn start(
        port: Port,
        config: Value,
        urls: [String; 2],
        build: Build,
        requests: mpsc::Sender<StackRequest>,
    ) -> Self {
        let policy =
            HeaderValue::from_str(&policy(&urls)).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let state = PageState { build, config: Arc::new(config), requests, violations: Arc::default() };
        let router = Router::new()
            .route(
                "/local/config",
                get(async |State(state): State<PageState>| Json(state.config.as_ref().clone())),
            )
            .route("/local/actions", get(list_actions))
            .route("/local/kill", post(kill))
            .route(VIOLATIONS, get(count_violations).post(record_violation))
            .fallback(get(file))
            .layer(middleware::from_fn_with_state(policy, guard))
            .with_state(state);
        Self { server: port.serve(router) }
    }

    /// `http://127.0.0.1:PORT`, without a trailing slash.
    pub fn url(&self) -> String {
        self.server.url()
    }
}

async fn list_actions(State(state): State<PageState>) -> Response {
    let (reply, actions) = oneshot::channel();
    let _ = state.requests.send(StackRequest::ListActions(reply)).await;
    match actions.await {
        Ok(actions) => Json(actions).into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// JSON as the only media type keeps forms of other sites out.
async fn kill(State(state): State<PageState>, Json(KillRequest { function }): Json<KillRequest>) -> Response {
    let (reply, killed) = oneshot::channel();
    let _ = state.requests.send(StackRequest::Kill { function, reply }).await;
    match killed.await {
        Ok(Some(killed)) => Json(json!({ "killed": killed })).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(_) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn record_violation(State(state): State<PageState>) -> StatusCode {
    state.violations.fetch_add(1, Ordering::Relaxed);
    StatusCode::NO_CONTENT
}

async fn count_violations(State(state): State<PageState>) -> Json<Value> {
    Json(json!({ "violations": state.violations.load(Ordering::Relaxed) }))
}

async fn file(State(state): State<PageState>, uri: Uri) -> Response {
    let folder = match state.build.state() {
        BuildState::Done(folder) => folder,
        BuildState::Running => {
            let text = "<p>The page is being built. The first build takes about a minute.</p>";
            return (StatusCode::SERVICE_UNAVAILABLE, [(REFRESH, "2")], Html(document(text))).into_response();
        }
        BuildState::Failed(_) => {
            let text =
                "<p>The page could not be built. The terminal of <code>cargo dev</code> has the reason.</p>";
            return (StatusCode::INTERNAL_SERVER_ERROR, Html(document(text))).into_response();
        }
    };
    let path = uri.path().trim_start_matches('/');
    let path = Path::new(if path.is_empty() { "index.html" } else { path });
    if !path.components().all(|part| matches!(part, Component::Normal(_))) {
        return StatusCode::NOT_FOUND.into_response();
    }
    match tokio::fs::read(folder.join(path)).await {
        Ok(content) => ([(CONTENT_TYPE, media_type(path))], content).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

fn document(body: &str) -> String {
    format!("<!doctype html><html lang=\"en\"><title>chatkit-sessions</title><body>{body}</body></html>")
}

fn media_type(path: &Path) -> &'static str {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::CONTENT_SECURITY_POLICY;
    use local_stack::http::client;

    use super::*;

    async fn serve(state: BuildState) -> (PageServer, mpsc::Receiver<StackRequest>) {
        let (sender, requests) = mpsc::channel(1);
        let config = json!({ "people": [{ "token": "a token" }] });
        let urls = ["http://127.0.0.1:1".to_owned(), "http://127.0.0.1:2".to_owned()];
        let port = Port::free().await.unwrap();
        (PageServer::start(port, config, urls, Build::with_state(state), sender), requests)
    }

    async fn built() -> (tempfile::TempDir, PageServer, mpsc::Receiver<StackRequest>) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("site")).unwrap();
        std::fs::write(folder.path().join("site/index.html"), "the page").unwrap();
        std::fs::write(folder.path().join("secret"), "a secret").unwrap();
        let (server, requests) = serve(BuildState::Done(Arc::new(folder.path().join("site")))).await;
        (folder, server, requests)
    }

    #[tokio::test]
    async fn page_has_the_policy_also_for_missing_files() {
        let (_folder, server, _requests) = built().await;
        for (path, status) in [("/", 200), ("/?view=desk", 200), ("/missing.js", 404)] {
            let response = client().get(format!("{}{path}", server.url())).send().await.unwrap();
            assert_eq!(response.status(), status, "{path}");
            let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("default-src 'none'"), "{path}: {policy}");
        }
    }

    #[tokio::test]
    async fn files_outside_the_page_are_not_served() {
        let (_folder, server, _requests) = built().await;
        for path in ["/%2e%2e/secret", "/..%2fsecret", "//etc/passwd"] {
            let response = client().get(format!("{}{path}", server.url())).send().await.unwrap();
            assert_eq!(response.status(), 404, "{path}");
        }
    }

    #[tokio::test]
    async fn tokens_are_not_sent_to_other_sites() {
        let (_folder, server, _requests) = built().await;
        let url = format!("{}/local/config", server.url());
        let own = client().get(&url).send().await.unwrap().text().await.unwrap();
        assert!(own.contains("a token"), "{own}");
        for (name, value) in [("host", "rebound.example"), ("sec-fetch-site", "cross-site")] {
            let response = client().get(&url).header(name, value).send().await.unwrap();
            assert_eq!(response.status(), 403, "{name}");
            assert!(!response.text().await.unwrap().contains("a token"), "{name}");
        }
    }

    #[tokio::test]
    async fn kill_is_passed_on_for_json_only() {
        let (_folder, server, mut requests) = built().await;
        let url = format!("{}/local/kill", server.url());
        let form = client().post(&url).header("content-type", "text/plain").body(r#"{"function":"a"}"#);
        assert_eq!(form.send().await.unwrap().status(), 415);
        let answer = tokio::spawn(async move {
            let Some(StackRequest::Kill { function, reply }) = requests.recv().await else { panic!() };
            reply.send(Some(2)).unwrap();
            function
        });
        let body = client().post(&url).json(&json!({ "function": "serve-chatkit" }));
        assert_eq!(body.send().await.unwrap().json::<Value>().await.unwrap(), json!({ "killed": 2 }));
        assert_eq!(answer.await.unwrap(), "serve-chatkit");
    }

    #[tokio::test]
    async fn page_that_is_not_built_says_so() {
        let (server, _requests) = serve(BuildState::Running).await;
        let response = client().get(server.url()).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()[REFRESH].to_str().unwrap()), (503, "2"));
        let (server, _requests) = serve(BuildState::Failed("no Python".into())).await;
        let response = client().get(server.url()).send().await.unwrap();
        assert_eq!(response.status(), 500);
        assert!(response.text().await.unwrap().contains("could not be built"));
    }
}
