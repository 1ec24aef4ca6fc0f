//! Every field of a session, with what was asked for or OpenAI's default.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use http_client::Method;
use local_stack::openai::{On, SessionStatus};
use serde_json::{Map, Value, json};

use super::{Api, KEY, UNBOUND_KEY, ok, text};

/// The answer without what differs from call to call, which is checked here.
fn fixed(mut answer: Value, life: u64) -> Result<Value> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let expires = answer["expires_at"].as_u64().context("expires_at is no integer")?;
    assert!(text(&answer, "id")?.starts_with("cksess_"));
    assert!(text(&answer, "client_secret")?.starts_with("ek_"));
    // The clock may tick between the answer and here.
    assert!(
        (life.saturating_sub(5)..=life).contains(&(expires - now)),
        "{expires} is not {life} seconds after {now}"
    );
    let map = answer.as_object_mut().context("no object")?;
    ["id", "client_secret", "expires_at"].iter().for_each(|name| drop(map.remove(*name)));
    Ok(answer)
}

// NAME: stand-in: what is left out gets its default
/// Where nothing but the workflow and the user is named, OpenAI's defaults are in force.
#[tokio::test]
async fn what_is_left_out_gets_its_default() -> Result<()> {
    let api = Api::start().await?;
    let answer = fixed(api.session("u").await?, 600)?;
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

// NAME: stand-in: what is asked for comes back
/// The bounds themselves are allowed, and what is asked for comes back.
#[tokio::test]
async fn what_is_asked_for_comes_back() -> Result<()> {
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
    let workflow = json!({"id": "wf_1", "version": "latest", "state_variables": variables, "tracing": {"enabled": false}});
    let body = json!({
        "user": "u",
        "workflow": workflow,
        "expires_after": {"anchor": "created_at", "seconds": 30},
        "rate_limits": {"max_requests_per_1_minute": 1},
        "chatkit_configuration": configuration,
    });
    let answer = fixed(api.session_with(body).await?, 30)?;
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

// NAME: stand-in: an unbound key works in the project it names
/// A key that is bound to no project works in the project it names.
#[tokio::test]
async fn an_unbound_key_works_in_the_project_it_names() -> Result<()> {
    let api = Api::start().await?;
    for (project, workflow) in [("proj_1", "wf_1"), ("proj_2", "wf_2")] {
        let body = json!({"user": "u", "workflow": {"id": workflow}});
        let create = api.with_key(UNBOUND_KEY, Method::POST, "/chatkit/sessions");
        ok(create.header("OpenAI-Project", project).json(&body)).await?;
    }
    let projects: Vec<String> = api.standin.sessions().into_iter().map(|s| s.project).collect();
    assert_eq!(projects, ["proj_1", "proj_2"]);
    Ok(())
}

// NAME: stand-in: nothing that is printed holds a secret
/// What a test may print of the stand-in holds neither keys nor client secrets.
#[tokio::test]
async fn nothing_that_is_printed_holds_a_secret() -> Result<()> {
    let api = Api::start().await?;
    let session = api.session("u").await?;
    let secret = text(&session, "client_secret")?;
    api.standin.say(secret, None, "hello").await?;
    let refused = api.bare(Method::GET, "/chatkit/threads").bearer_auth(format!("{KEY}-mistyped"));
    let refusal = refused.send().await?.text().await?;

    let sessions = api.standin.sessions();
    assert_eq!((sessions[0].client_secret.reveal(), sessions[0].status), (secret, SessionStatus::Active));
    let calls = api.standin.calls(On::Say);
    let bearer = calls[0].header("authorization").context("no authorization in the ledger")?;
    assert_eq!(bearer, format!("Bearer {secret}"));

    let essences: Vec<_> = api.standin.requests().iter().map(|call| call.essence()).collect();
    let printed = format!("{:?}{:?}{sessions:?}{essences:?}{refusal}", api.standin, api.standin.requests());
    assert!(printed.contains("hello") && printed.contains(&sessions[0].id), "{printed}");
    assert!(!printed.contains(secret) && !printed.contains(KEY), "{printed}");
    Ok(())
}
