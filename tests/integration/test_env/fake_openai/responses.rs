//! The fields of a session, with requested and default values.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use http_client::Method;
use local_stack::openai::{Operation, SessionStatus};
use serde_json::{Map, Value, json};

use super::{Api, KEY, UNBOUND_KEY, ok, text};

#[tokio::test]
async fn omitted_fields_get_default_values() -> Result<()> {
    let api = Api::start().await?;
    let answer = without_generated_fields(api.session("u").await?, 600)?;
    let expected = json!({
        "object": "chatkit.session",
        "status": "active",
        "user": "u",
        "workflow": {"id": "wf_1", "version": null, "state_variables": null, "tracing": {"enabled": true}},
        "rate_limits": {"max_requests_per_1_minute": 10},
        "max_requests_per_1_minute": 10,
        "chatkit_configuration": {
            "automatic_thread_titling": {"enabled": true},
            "file_upload": {"enabled": false, "max_file_size": 512, "max_files": 10},
            "history": {"enabled": true, "recent_threads": null},
        },
    });
    assert_eq!(answer, expected);
    Ok(())
}

#[tokio::test]
async fn requested_values_are_returned() -> Result<()> {
    let api = Api::start().await?;
    let mut variables: Map<String, Value> = (0..61).map(|i| (format!("v{i}"), json!(i))).collect();
    variables.insert("n".repeat(64), json!("a name of 64 characters"));
    variables.insert("yes".to_owned(), json!(true));
    variables.insert("half".to_owned(), json!(0.5));
    let configuration = json!({
        "automatic_thread_titling": {"enabled": false},
        "file_upload": {"enabled": true, "max_file_size": 512, "max_files": 1},
        "history": {"enabled": false, "recent_threads": 1},
    });
    let workflow = json!({
        "id": "wf_1", "version": "latest", "state_variables": variables, "tracing": {"enabled": false},
    });
    let body = json!({
        "user": "u",
        "workflow": workflow,
        "expires_after": {"anchor": "created_at", "seconds": 30},
        "rate_limits": {"max_requests_per_1_minute": 1},
        "chatkit_configuration": configuration,
    });
    let answer = without_generated_fields(api.session_with(body).await?, 30)?;
    let expected = json!({
        "object": "chatkit.session",
        "status": "active",
        "user": "u",
        "workflow": workflow,
        "rate_limits": {"max_requests_per_1_minute": 1},
        "max_requests_per_1_minute": 1,
        "chatkit_configuration": configuration,
    });
    assert_eq!(answer, expected);
    Ok(())
}

#[tokio::test]
async fn unbound_key_works_in_named_project() -> Result<()> {
    let api = Api::start().await?;
    for (project, workflow) in [("proj_1", "wf_1"), ("proj_2", "wf_2")] {
        let body = json!({"user": "u", "workflow": {"id": workflow}});
        let create = api.with_key(UNBOUND_KEY, Method::POST, "/chatkit/sessions");
        ok(create.header("OpenAI-Project", project).json(&body)).await?;
    }
    let projects: Vec<String> = api.fake.sessions().into_iter().map(|s| s.project).collect();
    assert_eq!(projects, ["proj_1", "proj_2"]);
    Ok(())
}

#[tokio::test]
async fn debug_output_contains_no_secret() -> Result<()> {
    let api = Api::start().await?;
    let session = api.session("u").await?;
    let secret = text(&session, "client_secret")?;
    api.fake.post_message(secret, None, "hello").await?;
    let invalid = api.bare(Method::GET, "/chatkit/threads").bearer_auth(format!("{KEY}-mistyped"));
    let rejection = invalid.send().await?.text().await?;

    let sessions = api.fake.sessions();
    assert_eq!((sessions[0].client_secret.reveal(), sessions[0].status), (secret, SessionStatus::Active));
    let calls = api.fake.calls(Operation::PostMessage);
    let bearer = calls[0].header("authorization").context("the log has no authorization")?;
    assert_eq!(bearer, format!("Bearer {secret}"));

    let essences: Vec<_> = api.fake.requests().iter().map(|call| call.normalized()).collect();
    let printed = format!("{:?}{:?}{sessions:?}{essences:?}{rejection}", api.fake, api.fake.requests());
    assert!(printed.contains("hello") && printed.contains(&sessions[0].id), "{printed}");
    assert!(!printed.contains(secret) && !printed.contains(KEY), "{printed}");
    Ok(())
}

/// Checks the generated fields of a session, and removes them.
fn without_generated_fields(mut session: Value, lifetime: u64) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let expires = session["expires_at"].as_u64().context("expires_at is not an integer")?;
    assert!(text(&session, "id")?.starts_with("cksess_"));
    assert!(text(&session, "client_secret")?.starts_with("ek_"));
    // Some seconds may have passed since the response.
    assert!(
        (lifetime.saturating_sub(5)..=lifetime).contains(&(expires - now)),
        "expected {lifetime} seconds after {now}, found {expires}"
    );
    let fields = session.as_object_mut().context("the session is not an object")?;
    ["id", "client_secret", "expires_at"].iter().for_each(|name| drop(fields.remove(*name)));
    Ok(session)
}
