//! Requests for sessions that OpenAI rejects.

use anyhow::Result;
use http_client::Method;
use serde_json::{Map, Value, json};

use super::{Api, ExpectedError, KEY, OTHER_KEY, UNBOUND_KEY, check_rejections, ok};

const SESSIONS: &str = "/chatkit/sessions";

#[tokio::test]
async fn invalid_headers_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    api.fake.revoke_api_key(OTHER_KEY);
    let valid = json!({"user": "u", "workflow": {"id": "wf_1"}});
    let create = || api.bare(Method::POST, SESSIONS).json(&valid);
    let beta = || create().header("OpenAI-Beta", "chatkit_beta=v1");
    let keyed = || api.post(SESSIONS).body(valid.to_string());
    let unauthorized = |code| (401, code, None);
    let rows = vec![
        ("no key", beta(), unauthorized(None)),
        ("a key that is not a bearer token", beta().header("Authorization", KEY), unauthorized(None)),
        ("basic authentication", beta().basic_auth("user", Some(KEY)), unauthorized(None)),
        ("an unknown key", beta().bearer_auth("sk-unknown-to-openai"), unauthorized(Some("invalid_api_key"))),
        ("a revoked key", beta().bearer_auth(OTHER_KEY), unauthorized(Some("invalid_api_key"))),
        (
            "another project than the key's",
            beta().bearer_auth(KEY).header("OpenAI-Project", "proj_2"),
            unauthorized(Some("mismatched_project")),
        ),
        (
            "an unbound key without a project",
            beta().bearer_auth(UNBOUND_KEY),
            unauthorized(Some("missing_project")),
        ),
        (
            "an unknown project",
            beta().bearer_auth(UNBOUND_KEY).header("OpenAI-Project", "proj_3"),
            unauthorized(Some("invalid_project")),
        ),
        ("no beta header", create().bearer_auth(KEY), (400, Some("invalid_beta"), None)),
        (
            "another beta",
            create().bearer_auth(KEY).header("OpenAI-Beta", "chatkit_beta=v2"),
            (400, Some("invalid_beta"), None),
        ),
        ("no content type", keyed(), (415, Some("unsupported_content_type"), None)),
        (
            "another content type",
            keyed().header("Content-Type", "text/plain"),
            (415, Some("unsupported_content_type"), None),
        ),
        ("an unknown URL", api.get("/chatkit/session"), (404, None, None)),
        ("a path without an id", api.get("/chatkit/threads/"), (404, None, None)),
        ("a list of sessions", api.get(SESSIONS), (405, Some("method_not_supported"), None)),
        (
            "a change of a thread",
            api.post("/chatkit/threads/cthr_1"),
            (405, Some("method_not_supported"), None),
        ),
        (
            "an unexpected query",
            api.create(&valid).query(&[("dry_run", "1")]),
            (400, Some("unknown_parameter"), Some("dry_run")),
        ),
        (
            "an unexpected body",
            api.post("/chatkit/sessions/cksess_1/cancel").json(&json!({})),
            (400, Some("unexpected_body"), None),
        ),
    ];
    check_rejections(rows).await?;
    assert!(api.fake.sessions().is_empty());
    Ok(())
}

#[tokio::test]
async fn invalid_body_fields_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let (missing, kind, unknown) = ("missing_required_parameter", "invalid_type", "unknown_parameter");
    let (low, high) = ("integer_below_min_value", "integer_above_max_value");
    let many: Map<String, Value> = (0..65).map(|i| (format!("v{i}"), json!(i))).collect();
    let long_name = Map::from_iter([("n".repeat(65), json!(1))]);
    let rows = [
        ("/user", None, missing),
        ("/user", Some(Value::Null), kind),
        ("/user", Some(json!(7)), kind),
        ("/user", Some(json!("")), "empty_string"),
        ("/workflow", None, missing),
        ("/workflow", Some(json!("wf_1")), kind),
        ("/workflow/id", None, missing),
        ("/workflow/id", Some(json!(1)), kind),
        ("/workflow/name", Some(json!("n")), unknown),
        ("/workflow/version", Some(json!(1)), kind),
        ("/workflow/tracing", Some(json!(false)), kind),
        ("/workflow/tracing/enabled", Some(json!("no")), kind),
        ("/workflow/tracing/level", Some(json!(1)), unknown),
        ("/workflow/state_variables", Some(json!([])), kind),
        ("/workflow/state_variables", Some(Value::Object(many)), "object_above_max_properties"),
        ("/workflow/state_variables", Some(Value::Object(long_name)), "string_above_max_length"),
        ("/workflow/state_variables/a", Some(Value::Null), kind),
        ("/workflow/state_variables/a", Some(json!({})), kind),
        ("/workflow/state_variables/a", Some(json!("x".repeat(10_485_761))), "string_above_max_length"),
        ("/expires_after", Some(json!(600)), kind),
        ("/expires_after/anchor", None, missing),
        ("/expires_after/anchor", Some(json!("last_active_at")), "invalid_value"),
        ("/expires_after/seconds", None, missing),
        ("/expires_after/seconds", Some(json!(0)), low),
        ("/expires_after/seconds", Some(json!(601)), high),
        ("/expires_after/seconds", Some(json!(u64::MAX)), high),
        ("/expires_after/seconds", Some(json!(1.5)), kind),
        ("/expires_after/seconds", Some(json!("600")), kind),
        ("/rate_limits/max_requests_per_1_minute", Some(json!(0)), low),
        ("/rate_limits/max_requests_per_1_hour", Some(json!(1)), unknown),
        ("/chatkit_configuration/theme", Some(json!("dark")), unknown),
        ("/chatkit_configuration/automatic_thread_titling/enabled", Some(json!(1)), kind),
        ("/chatkit_configuration/file_upload/enabled", Some(json!("yes")), kind),
        ("/chatkit_configuration/file_upload/max_file_size", Some(json!(0)), low),
        ("/chatkit_configuration/file_upload/max_file_size", Some(json!(513)), high),
        ("/chatkit_configuration/file_upload/max_files", Some(json!(0)), low),
        ("/chatkit_configuration/history/recent_threads", Some(json!(0)), low),
        ("/chatkit_configuration/history/recent_threads", Some(Value::Null), kind),
        ("/metadata", Some(json!({})), unknown),
    ];
    for (pointer, value, code) in rows {
        let param = pointer[1..].replace('/', ".");
        let expected: ExpectedError<'_> = (400, Some(code), Some(&param));
        check_rejections(vec![(pointer, api.create(&body_with(pointer, value)), expected)]).await?;
    }
    assert!(api.fake.sessions().is_empty());
    ok(api.create(&body_with("/user", Some(json!("u"))))).await?;
    Ok(())
}

#[tokio::test]
async fn malformed_json_and_unknown_workflow_are_rejected() -> Result<()> {
    let api = Api::start().await?;
    let text = |body: &'static str| {
        api.post(SESSIONS).header("Content-Type", "application/json; charset=utf-8").body(body)
    };
    let workflow = |id: &str| api.create(&json!({"user": "u", "workflow": {"id": id}}));
    let rows = vec![
        ("no body", text(""), (400, None, None)),
        ("a truncated body", text("{\"user\": \"u\""), (400, None, None)),
        ("an array", text("[]"), (400, Some("invalid_type"), Some(""))),
        ("an unknown workflow", workflow("wf_9"), (404, None, None)),
        ("an empty workflow id", workflow(""), (404, None, None)),
        ("another project's workflow", workflow("wf_2"), (404, None, None)),
    ];
    check_rejections(rows).await
}

/// A valid body with another value at a JSON pointer, or without the value (`None`).
fn body_with(pointer: &str, value: Option<Value>) -> Value {
    let mut body = json!({
        "user": "u",
        "workflow": {"id": "wf_1", "version": "1", "state_variables": {"a": 1}, "tracing": {"enabled": false}},
        "expires_after": {"anchor": "created_at", "seconds": 600},
        "rate_limits": {"max_requests_per_1_minute": 5},
        "chatkit_configuration": {
            "automatic_thread_titling": {"enabled": true},
            "file_upload": {"enabled": true, "max_file_size": 1, "max_files": 1},
            "history": {"enabled": true, "recent_threads": 1},
        },
    });
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    if let Some(Value::Object(map)) = body.pointer_mut(parent) {
        match value {
            Some(value) => drop(map.insert(name.to_owned(), value)),
            None => drop(map.remove(name)),
        }
    }
    body
}
