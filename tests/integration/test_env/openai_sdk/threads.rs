//! Threads and items that the SDK reads and deletes.

use anyhow::{Context, Result};
use local_stack::openai::{Item, ThreadStatus};
use serde_json::{Value, json};

use super::{KEY, exact, page, sdk, start_fake};
use crate::support::skip;

#[tokio::test]
async fn list_retrieve_and_delete_return_every_field() -> Result<()> {
    skip::with_tools(async {
        let fake = start_fake().await?;
        let mut sdk = sdk(&fake, KEY, 0).await?;
        let items = every_item();
        let count = items.len();
        let ids = [
            fake.put_thread("a user", Some("Invoices"), items)?,
            fake.put_thread("a user", None, vec![])?,
            fake.put_thread("a user", None, vec![])?,
            fake.put_thread("another user", None, vec![])?,
        ];
        fake.set_thread_status(&ids[1], ThreadStatus::Locked(Some("a reason".to_owned())));
        fake.set_thread_status(&ids[2], ThreadStatus::Closed(None));

        let first = json!({"user": "a user", "limit": 2, "order": "asc"});
        let first = page(sdk.call("threads.list", json!([]), first).await?)?;
        let statuses: Vec<&Value> =
            first["data"].as_array().into_iter().flatten().map(|t| &t["status"]).collect();
        assert_eq!(json!(statuses), json!([{"type": "active"}, {"type": "locked", "reason": "a reason"}]));
        assert_eq!((&first["has_more"], &first["last_id"]), (&json!(true), &json!(ids[1])));
        let ids_of_pages =
            sdk.pages("threads.list", json!([]), json!({"user": "a user", "limit": 1})).await?;
        assert_eq!(ids_of_pages, [&ids[2], &ids[1], &ids[0]].map(String::as_str));
        assert_eq!(sdk.pages("threads.list", json!([]), json!({"limit": 100})).await?.len(), 4);

        let mut thread =
            exact(sdk.call("threads.retrieve", json!([ids[0]]), json!({})).await?, "ChatKitThread")?;
        assert!(thread["created_at"].take().is_u64());
        let expected = json!({
            "id": ids[0], "object": "chatkit.thread", "created_at": null, "title": "Invoices",
            "status": {"type": "active"}, "user": "a user",
        });
        assert_eq!(thread, expected);

        let listed = page(sdk.call("threads.list_items", json!([ids[0]]), json!({"order": "asc"})).await?)?;
        let sent: Vec<&Value> = listed["data"].as_array().into_iter().flatten().collect();
        // The widget is JSON in a string.
        let widget: Value =
            serde_json::from_str(sent[3]["widget"].as_str().context("the widget is not a string")?)?;
        assert_eq!((sent.len(), widget), (count, json!({"type": "Card", "children": []})));
        let without_common_fields = |item: &Value| {
            let mut fields = item.as_object().cloned().unwrap_or_default();
            let common =
                ["id", "object", "created_at", "thread_id"].map(|name| fields.remove(name).is_some());
            assert_eq!(common, [true; 4]);
            Item::raw(fields)
        };
        assert_eq!(sent.iter().map(|item| without_common_fields(item)).collect::<Vec<_>>(), every_item());
        let ids_of_pages = sdk.pages("threads.list_items", json!([ids[0]]), json!({"limit": 3})).await?;
        let newest: Vec<&str> = sent.iter().rev().filter_map(|item| item["id"].as_str()).collect();
        assert_eq!(ids_of_pages, newest);

        let deleted = sdk.call("threads.delete", json!([ids[0]]), json!({})).await?;
        let deleted = exact(deleted, "ThreadDeleteResponse")?;
        assert_eq!(deleted, json!({"id": ids[0], "object": "chatkit.thread.deleted", "deleted": true}));
        assert_eq!(sdk.pages("threads.list", json!([]), json!({})).await?.len(), 3);
        Ok(())
    })
    .await
}

/// Items of all six types, with all their fields.
fn every_item() -> Vec<Item> {
    let attachment = |preview: Value| {
        json!({
            "id": "file_1", "type": "image", "name": "a.png", "mime_type": "image/png",
            "preview_url": preview,
        })
    };
    let content = vec![
        json!({"type": "input_text", "text": "Look"}),
        json!({"type": "quoted_text", "text": "a quote"}),
    ];
    let annotations = vec![
        json!({"type": "file", "source": {"type": "file", "filename": "a.pdf"}}),
        json!({"type": "url", "source": {"type": "url", "url": "https://example.com/a"}}),
    ];
    vec![
        Item::user("Hello"),
        Item::user_with(
            content,
            vec![attachment(json!("https://example.com/a.png")), attachment(Value::Null)],
            json!({"model": "a-model", "tool_choice": {"id": "a-tool"}}),
        ),
        Item::assistant_with("See there", annotations),
        Item::widget(&json!({"type": "Card", "children": []})),
        Item::client_tool_call("call_1", "open_invoice", &json!({"id": 42}), None),
        Item::client_tool_call("call_2", "open_invoice", &json!({"id": 43}), Some(&json!({"opened": true}))),
        Item::task("thought", Some("Thinking"), None),
        Item::task_group(&[("custom", None, Some("a summary")), ("thought", Some("a heading"), None)]),
    ]
}
