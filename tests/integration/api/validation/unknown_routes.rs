//! Unknown paths and methods. At a function's URL, every request reaches the function.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;

use super::test_request::{
    TestRequest, cancel_session, claim_escalation, create_session, get_escalation, get_session, list_agents,
    list_changes, list_events, list_messages, list_sessions, record_events, release_escalation,
    stop_response,
};
use super::{Row, row};
use crate::support::client::TestClient;
use crate::support::db_snapshot::DbSnapshot;

/// API Gateway responds without calling a function, so the response is not a problem.
#[tokio::test]
async fn http_api_responds_404_to_unknown_routes() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_session_path().await?;
    let before = DbSnapshot::take(&stack).await?;
    for (method, path) in [
        (Method::DELETE, session.clone()),
        (Method::PUT, "/chatkit/sessions".to_owned()),
        (Method::POST, "/chatkit/agents".to_owned()),
        (Method::GET, format!("{session}/")),
        (Method::GET, "/".to_owned()),
    ] {
        let response = caller.send(method.clone(), &path, &[], None).await?;
        ensure!(
            response.status == 404 && response.body["message"] == "Not Found",
            "{method} {path}: {response:?}"
        );
    }
    let changed = before.difference(&DbSnapshot::take(&stack).await?);
    ensure!(changed.is_none(), "expected no changes, found {changed:?}");
    Ok(())
}

fn requests() -> [(TestRequest, &'static [Method]); 13] {
    const READS: &[Method] = &[Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    const WRITES: &[Method] = &[Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    [
        (list_agents(), READS),
        (list_sessions(""), READS),
        (get_session(), READS),
        (list_events(""), READS),
        (list_messages(""), READS),
        (list_changes(""), READS),
        (get_escalation(), READS),
        (claim_escalation(), WRITES),
        (release_escalation(), WRITES),
        (create_session("{}"), WRITES),
        (record_events("{}"), WRITES),
        (cancel_session(), WRITES),
        (stop_response(), WRITES),
    ]
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (request, methods) in requests() {
        for method in methods {
            let name = format!("{method} {}", request.path);
            let request = request.clone().method(method.clone()).function_url_only();
            rows.push(row(&name, request, 405, "method_not_allowed", &[]));
        }
        for path in [
            "/",
            "/chatkit",
            "/chatkit/session",
            "//chatkit/agents",
            "/chatkit/sessions/1/2/3",
            "/CHATKIT/AGENTS",
        ] {
            let request = request.clone().path(path).function_url_only();
            rows.push(row(&format!("{path} at {}", request.function), request, 404, "route_not_found", &[]));
        }
    }
    // The route is checked before the token.
    rows.push(row(
        "a path without a token",
        list_agents().path("/unknown").without_token().function_url_only(),
        404,
        "route_not_found",
        &[],
    ));
    rows.push(row(
        "a method without a token",
        list_agents().method(Method::PUT).without_token().function_url_only(),
        405,
        "method_not_allowed",
        &[],
    ));
    rows
}
