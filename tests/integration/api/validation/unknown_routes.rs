//! Paths that lead nowhere and methods that are not there. At a function's URL every path and method reaches the function.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;

use super::request_builder::{Ask, agents, cancel, messages, open, read, record, sessions};
use super::{Row, row};
use crate::support::client::TestClient;
use crate::support::db_snapshot::DbSnapshot;

fn each() -> [(Ask, &'static [Method]); 7] {
    const READS: &[Method] = &[Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    const WRITES: &[Method] = &[Method::GET, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    [
        (agents(), READS),
        (sessions(""), READS),
        (read(), READS),
        (messages(""), READS),
        (open("{}"), WRITES),
        (record("{}"), WRITES),
        (cancel(), WRITES),
    ]
}

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for (ask, methods) in each() {
        for method in methods {
            let name = format!("{method} {}", ask.path);
            let ask = ask.clone().method(method.clone()).at_url_only();
            rows.push(row(&name, ask, 405, "method_not_allowed", &[]));
        }
        for path in [
            "/",
            "/chatkit",
            "/chatkit/session",
            "//chatkit/agents",
            "/chatkit/sessions/1/2/3",
            "/CHATKIT/AGENTS",
        ] {
            let ask = ask.clone().path(path).at_url_only();
            rows.push(row(&format!("{path} at {}", ask.function), ask, 404, "route_not_found", &[]));
        }
    }
    // Nobody needs a token to be told that there is nothing.
    rows.push(row(
        "a path without a token",
        agents().path("/nowhere").nameless().at_url_only(),
        404,
        "route_not_found",
        &[],
    ));
    rows.push(row(
        "a method without a token",
        agents().method(Method::PUT).nameless().at_url_only(),
        405,
        "method_not_allowed",
        &[],
    ));
    rows
}

// NAME: bad inputs: the HTTP API answers by itself what is no route
/// No function is asked, so what comes back is API Gateway's own word and no problem of ours.
#[tokio::test]
async fn no_route() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let session = caller.open_path().await?;
    let before = DbSnapshot::of(&stack).await?;
    for (method, path) in [
        (Method::DELETE, session.clone()),
        (Method::PUT, "/chatkit/sessions".to_owned()),
        (Method::POST, "/chatkit/agents".to_owned()),
        (Method::GET, format!("{session}/")),
        (Method::GET, "/".to_owned()),
    ] {
        let reply = caller.send(method.clone(), &path, &[], None).await?;
        ensure!(reply.status == 404 && reply.body["message"] == "Not Found", "{method} {path}: {reply:?}");
    }
    ensure!(before.difference(&DbSnapshot::of(&stack).await?).is_none(), "something was written");
    Ok(())
}
