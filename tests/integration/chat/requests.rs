//! Requests that do not ask the model, and those that are refused.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::chat_client::{ChatStream, ThreadView};
use serde_json::{Value, json};

use super::fixture::{ChatPage, text};

#[tokio::test]
async fn changes_of_a_thread_are_events_of_the_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    let thread_id = text(&view.thread["id"]);
    let renamed =
        page.chat.json("threads.update", json!({ "thread_id": thread_id, "title": "Greeting" })).await?;
    ensure!(renamed["title"] == "Greeting" && renamed["items"]["data"] == json!([]), "{renamed}");
    let ids: Vec<_> = view.items().iter().map(|item| item["id"].clone()).collect();
    let rating = json!({ "thread_id": thread_id, "item_ids": [ids[1]], "kind": "positive" });
    ensure!(page.chat.json("items.feedback", rating).await? == json!({}));
    let deleted = page.chat.json("threads.delete", json!({ "thread_id": thread_id })).await?;
    ensure!(deleted == json!({}));
    ensure!(page.chat.json("threads.delete", json!({ "thread_id": thread_id })).await? == json!({}));
    ensure!(page.chat.json("threads.list", json!({})).await?["data"] == json!([]));
    let (status, problem) = page.chat.call("threads.get_by_id", json!({ "thread_id": thread_id })).await?;
    ensure!(status == 404 && problem["code"] == "thread_not_found", "{problem}");

    let session = page.user.get(&format!("/chatkit/sessions/{}", page.session_id)).await?.expect(200)?;
    let events: Vec<(String, Value)> = session["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| (text(&event["type"]), event["payload"].clone()))
        .collect();
    let expected = [
        ("thread_renamed", json!({ "threadId": thread_id, "title": "Greeting" })),
        ("feedback", json!({ "threadId": thread_id, "itemId": ids[1], "rating": "positive" })),
        ("thread_deleted", json!({ "threadId": thread_id })),
    ];
    let expected: Vec<_> = expected.map(|(kind, payload)| (kind.to_owned(), payload)).to_vec();
    ensure!(events == expected, "{events:#?}");
    Ok(())
}

#[tokio::test]
async fn pages_of_a_long_thread_are_whole() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let mut view = ThreadView::from_events(&page.chat.create_thread("Message 0").await?.finish().await?)?;
    let thread_id = text(&view.thread["id"]);
    for n in 1..13 {
        let stream = page.chat.add_message(&thread_id, &format!("Message {n}")).await?;
        view.apply_all(&stream.finish().await?)?;
    }
    for (order, limit) in [("asc", 7), ("desc", 7), ("desc", 26), ("asc", 100)] {
        let mut items = Vec::new();
        let mut params = json!({ "thread_id": thread_id, "order": order, "limit": limit });
        loop {
            let page = page.chat.json("items.list", params.clone()).await?;
            let rows = page["data"].as_array().unwrap();
            items.extend(rows.iter().cloned());
            ensure!(items.len() <= view.items().len(), "pages repeat rows");
            if page["has_more"] == false {
                ensure!(page.get("after").is_none(), "{page}");
                break;
            }
            ensure!(rows.len() == limit, "a page has {} rows instead of {limit}", rows.len());
            params["after"] = page["after"].clone();
        }
        if order == "desc" {
            items.reverse();
        }
        ensure!(items == view.items(), "{order} {limit}");
    }
    Ok(())
}

#[tokio::test]
async fn unsupported_and_invalid_requests_are_refused() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    let thread_id = text(&view.thread["id"]);
    let item_id = text(&view.items()[0]["id"]);
    let action = json!({ "type": "pay" });
    for (kind, params, status, code) in [
        (
            "attachments.create",
            json!({ "name": "a", "size": 1, "mime_type": "text/plain" }),
            422,
            "chat_request_unsupported",
        ),
        ("attachments.delete", json!({ "attachment_id": "atc_1" }), 422, "chat_request_unsupported"),
        (
            "input.transcribe",
            json!({ "audio_base64": "AA==", "mime_type": "audio/webm" }),
            422,
            "chat_request_unsupported",
        ),
        (
            "threads.add_client_tool_output",
            json!({ "thread_id": thread_id, "result": {} }),
            404,
            "item_not_found",
        ),
        (
            "threads.add_structured_input",
            json!({ "thread_id": thread_id, "item_id": item_id, "input": { "status": "skipped" } }),
            422,
            "chat_request_unsupported",
        ),
        (
            "threads.custom_action",
            json!({ "thread_id": thread_id, "item_id": item_id, "action": action }),
            422,
            "chat_request_unsupported",
        ),
        (
            "threads.sync_custom_action",
            json!({ "thread_id": thread_id, "action": action }),
            422,
            "chat_request_unsupported",
        ),
        (
            "threads.custom_action",
            json!({ "thread_id": thread_id, "item_id": "msg_x", "action": action }),
            404,
            "item_not_found",
        ),
        ("threads.nope", json!({}), 422, "invalid_request"),
        ("threads.create", json!({}), 422, "invalid_request"),
        (
            "threads.retry_after_item",
            json!({ "thread_id": thread_id, "item_id": "msg_x" }),
            404,
            "item_not_found",
        ),
        ("items.list", json!({ "thread_id": thread_id, "after": "msg_x" }), 404, "item_not_found"),
    ] {
        let (found, problem) = page.chat.call(kind, params).await?;
        ensure!(found == status && problem["code"] == code, "{kind}: {found} {problem:#}");
    }
    Ok(())
}

#[tokio::test]
async fn custom_action_without_an_item_is_answered() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let mut view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    let thread_id = text(&view.thread["id"]);
    let action = json!({ "type": "show_invoice", "payload": { "invoice": "42" } });
    let params = json!({ "thread_id": thread_id, "action": action });
    view.apply_all(&page.chat.stream("threads.custom_action", params).await?.finish().await?)?;
    ensure!(view.items().len() == 3, "{view:#?}");
    ensure!(page.chat.items(&thread_id).await? == view.items(), "{view:#?}");
    let input = stack.model().requests()[1].body["input"].to_string();
    ensure!(input.contains("show_invoice"), "the model does not know the action: {input}");
    Ok(())
}

/// An action is something that the user did, so the session's timeline has it: once, however often
/// the request is repeated.
#[tokio::test]
async fn custom_action_without_an_item_is_an_event_of_the_session() -> Result<()> {
    let stack = LocalStack::start().await?;
    let page = ChatPage::open(&stack).await?;
    let view = ThreadView::from_events(&page.chat.create_thread("Hello").await?.finish().await?)?;
    let thread_id = text(&view.thread["id"]);
    // An event has less space than an action.
    let large = json!({ "note": "x".repeat(20_000) });
    let mut expected = Vec::new();
    for (key, payload, data) in [
        ("object", Some(json!({ "invoice": "42" })), Some(json!({ "invoice": "42" }))),
        ("text", Some(json!("42")), None),
        ("large", Some(large), None),
        ("none", None, None),
    ] {
        let mut action = json!({ "type": key });
        action.as_object_mut().unwrap().extend(payload.map(|payload| ("payload".to_owned(), payload)));
        let params = json!({ "thread_id": thread_id, "action": action });
        for _ in 0..2 {
            let request = page.chat.request("threads.custom_action", params.clone());
            let response = request.header("idempotency-key", key).send().await?;
            ChatStream::new(response).await?.finish().await?;
        }
        let mut payload = json!({ "action": key, "threadId": thread_id });
        payload.as_object_mut().unwrap().extend(data.map(|data| ("data".to_owned(), data)));
        expected.push(json!({ "type": "button_click", "actorType": "user", "payload": payload }));
    }
    let path = format!("/chatkit/sessions/{}/events", page.session_id);
    let timeline = page.user.get(&path).await?.expect(200)?;
    let events: Vec<_> = timeline["events"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|event| {
            let Value::Object(event) = event else { return Value::Null };
            let fields = ["type", "actorType", "payload"].map(|name| (name.to_owned(), event[name].clone()));
            Value::Object(fields.into_iter().collect())
        })
        .collect();
    ensure!(events == expected, "expected {expected:#?}, found {events:#?}");
    Ok(())
}
