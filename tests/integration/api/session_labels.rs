//! A session's title and device label.

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use serde_json::{Value, json};

use crate::support::client::{AGENT, TestClient, session_path};

#[tokio::test]
async fn labels_are_set_by_opening_resuming_and_events() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let body = json!({ "agentId": AGENT, "title": "Invoice 42", "deviceLabel": "Laptop" });
    let opened = caller.post("/chatkit/sessions", body).await?.expect(201)?;
    expect(&caller, &opened, json!(["Invoice 42", "Laptop"])).await.context("opened")?;
    let renew = async |purpose: &str, labels: Value| {
        let mut body = json!({ "sessionId": opened["id"], "purpose": purpose });
        for (name, label) in labels.as_object().into_iter().flatten() {
            body[name] = label.clone();
        }
        caller.post("/chatkit/sessions", body).await?.expect(200)
    };
    let resumed = renew("resume", json!({ "deviceLabel": "Phone" })).await?;
    expect(&caller, &resumed, json!(["Invoice 42", "Phone"])).await.context("resumed")?;
    // Null counts as omitted, and a refresh is not sent by a person.
    let resumed = renew("resume", json!({ "title": null })).await?;
    expect(&caller, &resumed, json!(["Invoice 42", "Phone"])).await.context("resumed with null")?;
    let refreshed = renew("refresh", json!({})).await?;
    expect(&caller, &refreshed, json!(["Invoice 42", "Phone"])).await.context("refreshed")?;

    let path = session_path(&opened);
    for (labels, expected) in [
        (json!({ "title": "Invoices" }), json!(["Invoices", "Phone"])),
        (json!({ "title": null }), json!([null, "Phone"])),
        (json!({ "title": "<b>\u{202e}", "deviceLabel": null }), json!(["<b>\u{202e}", null])),
    ] {
        caller.record_event(&path, "session_updated", labels.clone()).await?.expect(201)?;
        let read = caller.get(&path).await?.expect(200)?;
        expect(&caller, &read, expected).await.with_context(|| labels.to_string())?;
        let event = read["events"].as_array().and_then(|events| events.last()).context("no event")?;
        ensure!(event["type"] == "session_updated" && event["payload"] == labels, "{event:#}");
    }
    Ok(())
}

/// The labels of a response, and those of the list, are the title and the device label.
async fn expect(caller: &TestClient, session: &Value, expected: Value) -> Result<()> {
    let found = json!([session["title"], session["deviceLabel"]]);
    ensure!(found == expected, "expected {expected}, found {found}");
    let list = caller.get("/chatkit/sessions").await?.expect(200)?;
    let listed = &list["sessions"][0];
    let found = json!([listed["title"], listed["deviceLabel"]]);
    ensure!(found == expected, "expected {expected} in the list, found {found}");
    Ok(())
}

#[tokio::test]
async fn session_without_labels_has_null() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let opened = caller.open_session().await?;
    expect(&caller, &opened, json!([null, null])).await
}

#[tokio::test]
async fn ended_session_keeps_its_labels() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let body = json!({ "agentId": AGENT, "title": "Invoice 42" });
    let opened = caller.post("/chatkit/sessions", body).await?.expect(201)?;
    let path = session_path(&opened);
    let ended = caller.cancel(&path).await?.expect(200)?;
    expect(&caller, &ended, json!(["Invoice 42", null])).await?;
    let renamed = caller.record_event(&path, "session_updated", json!({ "title": "x" })).await?;
    renamed.problem(409, "session_ended")?;
    Ok(())
}

/// A repeated request does not undo a later change.
#[tokio::test]
async fn replay_does_not_change_labels() -> Result<()> {
    let stack = LocalStack::start().await?;
    let caller = TestClient::new(&stack).await?;
    let headers = [("idempotency-key", "one")];
    let body = json!({ "agentId": AGENT, "title": "First" });
    let open = async || {
        caller.send(http_client::Method::POST, "/chatkit/sessions", &headers, Some(body.clone())).await
    };
    let opened = open().await?.expect(201)?;
    let path = session_path(&opened);
    caller.record_event(&path, "session_updated", json!({ "title": "Second" })).await?.expect(201)?;
    let replayed = open().await?.expect(200)?;
    expect(&caller, &replayed, json!(["Second", null])).await
}
