//! Events and items, as clients receive them.

use serde_json::{Value, json};

use super::*;

/// One event of each type, with every item and update, and all of their fields.
fn events() -> Vec<Value> {
    let item = |kind: &str, fields: Value| {
        let mut item = json!({
            "id": "i",
            "thread_id": "t",
            "created_at": "2026-11-26T19:54:15.504854Z",
            "type": kind,
        });
        item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        item
    };
    let thread = |fields: Value| {
        let mut thread = json!({
            "id": "t",
            "created_at": "2026-11-26T19:54:15.000000Z",
            "status": { "type": "active" },
            "metadata": {},
            "items": { "data": [], "has_more": false },
        });
        thread.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        thread
    };
    let url = json!({
        "type": "url",
        "title": "X",
        "description": "d",
        "timestamp": "2026-11-26",
        "group": "g",
        "url": "https://x.example",
        "attribution": "X",
    });
    let file = json!({ "type": "file", "title": "A", "filename": "a.pdf" });
    let entity = json!({
        "type": "entity",
        "title": "ACME",
        "id": "acme",
        "icon": "suitcase",
        "label": "Customer",
        "inline_label": "ACME",
        "interactive": true,
        "data": { "href": "/c/1" },
    });
    let annotation = |source: &Value| json!({ "type": "annotation", "source": source, "index": 8 });
    let output = json!({
        "type": "output_text",
        "text": "See ACME.",
        "annotations": [annotation(&entity), annotation(&file), { "type": "annotation", "source": url }],
    });
    let tasks = [
        json!({ "status_indicator": "loading", "type": "thought", "title": "Thinking", "content": "Which?" }),
        json!({
            "status_indicator": "none",
            "type": "web_search",
            "title": "Searched",
            "title_query": "vat",
            "queries": ["vat rate"],
            "sources": [url],
        }),
        json!({ "status_indicator": "none", "type": "file", "title": "Read", "sources": [file] }),
        json!({ "status_indicator": "none", "type": "image", "title": "Image" }),
        json!({ "status_indicator": "complete", "type": "custom", "title": "Posted", "icon": "check", "content": "done" }),
        json!({ "status_indicator": "none", "type": "custom" }),
    ];
    let items = [
        item(
            "user_message",
            json!({
                "content": [
                    { "type": "input_text", "text": "a" },
                    { "type": "input_tag", "id": "a", "text": "A", "data": {}, "interactive": false },
                ],
                "attachments": [
                    { "type": "file", "id": "atc_1", "name": "a.pdf", "mime_type": "application/pdf" },
                    {
                        "type": "image",
                        "id": "atc_2",
                        "name": "a.png",
                        "mime_type": "image/png",
                        "preview_url": "https://a.example",
                        "thread_id": "t",
                        "upload_descriptor": { "url": "https://a.example", "method": "PUT", "headers": { "A": "b" } },
                    },
                ],
                "quoted_text": "q",
                "inference_options": { "tool_choice": { "id": "s" }, "model": "m" },
            }),
        ),
        item("user_message", json!({ "content": [], "attachments": [], "inference_options": {} })),
        item("assistant_message", json!({ "content": [output] })),
        item(
            "client_tool_call",
            json!({ "status": "pending", "call_id": "c", "name": "open", "arguments": { "id": 7 } }),
        ),
        item(
            "client_tool_call",
            json!({ "status": "completed", "call_id": "c", "name": "open", "arguments": {}, "output": [1] }),
        ),
        item("widget", json!({ "widget": { "type": "Card", "children": [] }, "copy_text": "c" })),
        item("generated_image", json!({ "image": { "id": "ig", "url": "https://i.example" } })),
        item("generated_image", json!({})),
        item(
            "structured_input",
            json!({
                "status": "answered",
                "inputs": [
                    {
                        "type": "multiple_choice",
                        "id": "p",
                        "question": "Which?",
                        "options": [{ "value": "Low" }],
                        "multiple": false,
                        "answer": { "values": ["Low"], "skipped": false },
                    },
                    { "type": "freeform", "id": "n", "question": "Else?", "description": "Optional" },
                ],
            }),
        ),
        item(
            "workflow",
            json!({ "workflow": { "type": "custom", "tasks": tasks, "summary": { "title": "Posted", "icon": "check" }, "expanded": true } }),
        ),
        item(
            "workflow",
            json!({ "workflow": { "type": "reasoning", "tasks": [], "summary": { "duration": 4 }, "expanded": false } }),
        ),
        item("task", json!({ "task": tasks[4] })),
        item("end_of_turn", json!({})),
    ];
    let update = |update: Value| json!({ "type": "thread.item.updated", "item_id": "i", "update": update });
    let mut events = vec![
        json!({ "type": "thread.created", "thread": thread(json!({})) }),
        json!({
            "type": "thread.updated",
            "thread": thread(json!({
                "title": "First words",
                "status": { "type": "locked", "reason": "Waiting" },
                "allowed_image_domains": ["i.example"],
            })),
        }),
        json!({ "type": "thread.updated", "thread": thread(json!({ "status": { "type": "closed" } })) }),
        json!({
            "type": "thread.created",
            "thread": thread(json!({ "items": { "data": [items[0]], "has_more": true, "after": "i" } })),
        }),
        json!({ "type": "thread.item.removed", "item_id": "i" }),
        json!({ "type": "stream_options", "stream_options": { "allow_cancel": true } }),
        json!({ "type": "progress_update", "icon": "search", "text": "Looking" }),
        json!({ "type": "progress_update", "text": "Looking" }),
        json!({ "type": "client_effect", "name": "highlight", "data": { "row": 3 } }),
        json!({ "type": "notice", "level": "warning", "message": "**3** left", "title": "Soon full" }),
        json!({ "type": "error", "code": "custom", "message": "Closed.", "allow_retry": false }),
        json!({ "type": "error", "code": "stream.error", "allow_retry": true }),
        update(
            json!({ "type": "assistant_message.content_part.added", "content_index": 0, "content": { "type": "output_text", "text": "", "annotations": [] } }),
        ),
        update(
            json!({ "type": "assistant_message.content_part.text_delta", "content_index": 0, "delta": "a" }),
        ),
        update(
            json!({ "type": "assistant_message.content_part.annotation_added", "content_index": 0, "annotation_index": 0, "annotation": annotation(&entity) }),
        ),
        update(
            json!({ "type": "assistant_message.content_part.done", "content_index": 0, "content": output }),
        ),
        update(
            json!({ "type": "widget.streaming_text.value_delta", "component_id": "c", "delta": "a", "done": false }),
        ),
        update(
            json!({ "type": "widget.component.updated", "component_id": "c", "component": { "type": "Text" } }),
        ),
        update(json!({ "type": "widget.root.updated", "widget": { "type": "Card" } })),
        update(json!({ "type": "workflow.task.added", "task_index": 0, "task": tasks[0] })),
        update(json!({ "type": "workflow.task.updated", "task_index": 0, "task": tasks[5] })),
        update(
            json!({ "type": "generated_image.updated", "image": { "id": "ig", "url": "https://i.example" }, "progress": 0.5 }),
        ),
        update(
            json!({ "type": "generated_image.updated", "image": { "id": "ig", "url": "https://i.example" } }),
        ),
    ];
    for kind in ["thread.item.added", "thread.item.done", "thread.item.replaced"] {
        events.extend(items.iter().map(|item| json!({ "type": kind, "item": item })));
    }
    events
}

#[test]
fn event_of_each_type_is_written_as_the_protocol_writes_it() {
    for event in events() {
        let parsed: ThreadStreamEvent = serde_json::from_value(event.clone()).unwrap();
        let written = serde_json::to_value(&parsed).unwrap();
        assert_eq!(written, event);
        assert!(!contains_null(&written), "{written}");
    }
}

/// Every field that may be missing is left out when it is written, or has its default.
#[test]
fn event_without_an_optional_field_is_written_without_null() {
    let mut optional = 0;
    for event in events() {
        for pointer in pointers(&event) {
            let (parent, name) = pointer.rsplit_once('/').unwrap();
            let mut without = event.clone();
            let Some(Value::Object(fields)) = without.pointer_mut(parent) else { continue };
            fields.remove(name);
            if let Ok(parsed) = serde_json::from_value::<ThreadStreamEvent>(without.clone()) {
                optional += 1;
                let written = serde_json::to_value(&parsed).unwrap();
                assert!(!contains_null(&written), "without {pointer}: {written}");
            }
        }
    }
    assert!(optional > 100, "{optional}");
}

/// Returns the JSON pointers of all values in a value.
fn pointers(value: &Value) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Array(values) => values.iter().enumerate().map(|(i, value)| (i.to_string(), value)).collect(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        _ => Vec::new(),
    };
    let below = |(name, value): (String, &Value)| {
        let inner = pointers(value).into_iter().map(|pointer| format!("/{name}{pointer}"));
        std::iter::once(format!("/{name}")).chain(inner.collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    children.into_iter().flat_map(below).collect()
}

fn contains_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(contains_null),
        Value::Object(fields) => fields.values().any(contains_null),
        _ => false,
    }
}

#[test]
fn type_is_the_first_field_of_an_event() {
    let event = ThreadStreamEvent::StreamOptions { stream_options: StreamOptions { allow_cancel: true } };
    assert_eq!(
        serde_json::to_string(&event).unwrap(),
        r#"{"type":"stream_options","stream_options":{"allow_cancel":true}}"#
    );
}
