//! Requests of clients: what is parsed, and what is rejected.

use serde_json::{Value, json};

use super::*;
use crate::error::ErrorCode;

/// A valid request of each type, as a client sends it.
fn requests() -> Vec<Value> {
    let input = json!({
        "content": [
            { "type": "input_text", "text": "Pay " },
            {
                "type": "input_tag",
                "id": "acme",
                "text": "ACME",
                "data": { "href": "/c/1" },
                "group": "Suppliers",
                "interactive": true,
            },
        ],
        "attachments": ["atc_1"],
        "quoted_text": "EUR 7",
        "inference_options": { "model": "m1", "tool_choice": { "id": "search" } },
    });
    let action =
        json!({ "thread_id": "t", "item_id": "i", "action": { "type": "approve", "payload": { "run": 7 } } });
    let answers = json!({ "q": { "values": ["High"] }, "r": { "values": [], "skipped": true } });
    let answered = json!({ "status": "answered", "answers": answers });
    [
        ("threads.create", json!({ "input": input })),
        ("threads.add_user_message", json!({ "thread_id": "t", "input": input })),
        ("threads.add_client_tool_output", json!({ "thread_id": "t", "result": { "opened": true } })),
        ("threads.add_structured_input", json!({ "thread_id": "t", "item_id": "i", "input": answered })),
        ("threads.custom_action", action.clone()),
        ("threads.sync_custom_action", action),
        ("threads.retry_after_item", json!({ "thread_id": "t", "item_id": "i" })),
        ("threads.get_by_id", json!({ "thread_id": "t" })),
        ("threads.list", json!({ "limit": 9999, "order": "desc" })),
        ("threads.update", json!({ "thread_id": "t", "title": "Suppliers" })),
        ("threads.delete", json!({ "thread_id": "t" })),
        ("items.list", json!({ "thread_id": "t", "limit": 2, "order": "asc", "after": "i" })),
        ("items.feedback", json!({ "thread_id": "t", "item_ids": ["i"], "kind": "negative" })),
        ("attachments.create", json!({ "name": "a.png", "size": 10, "mime_type": "image/png" })),
        ("attachments.delete", json!({ "attachment_id": "atc_1" })),
        ("input.transcribe", json!({ "audio_base64": "AAAA", "mime_type": "audio/webm" })),
    ]
    .into_iter()
    .map(|(kind, params)| json!({ "type": kind, "params": params, "metadata": { "page": "ap" } }))
    .collect()
}

#[test]
fn request_of_each_type_is_parsed() {
    let requests = requests();
    assert_eq!(requests.len(), ChatRequest::KINDS.len());
    for (request, kind) in requests.into_iter().zip(ChatRequest::KINDS) {
        assert_eq!(request["type"], kind);
        assert_eq!(ChatRequest::parse(request).unwrap().kind(), kind);
    }
}

#[test]
fn unknown_fields_are_ignored_at_every_level() {
    for request in requests() {
        let expected = ChatRequest::parse(request.clone()).unwrap();
        let mut extended = request;
        extended["later"] = json!(1);
        add_unknown_fields(&mut extended["params"]);
        assert_eq!(ChatRequest::parse(extended).unwrap(), expected);
    }
}

/// Adds a field to each object, except to those that are free JSON.
fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                if !["data", "payload", "result", "answers"].contains(&name.as_str()) {
                    add_unknown_fields(field);
                }
            }
            fields.insert("later".to_owned(), json!({ "x": 1 }));
        }
        Value::Array(values) => values.iter_mut().for_each(add_unknown_fields),
        _ => {}
    }
}

#[test]
fn defaults_of_a_request_are_those_of_the_protocol() {
    let input = json!({ "content": [{ "type": "input_text", "text": "a" }] });
    let ChatRequest::CreateThread { input } =
        ChatRequest::parse(json!({ "type": "threads.create", "params": { "input": input } })).unwrap()
    else {
        panic!("the type is threads.create");
    };
    assert_eq!((input.attachments.len(), input.quoted_text), (0, None));
    assert_eq!(input.inference_options, InferenceOptions::default());
    let page = |params: Value| match ChatRequest::parse(json!({ "type": "threads.list", "params": params })) {
        Ok(ChatRequest::ListThreads { page }) => (page.limit(), page.order, page.after),
        other => panic!("{other:?}"),
    };
    for (limit, expected) in
        [(json!(null), 20), (json!(1), 1), (json!(9999), 100), (json!(0), 20), (json!(-1), 20)]
    {
        assert_eq!(page(json!({ "limit": limit })), (expected, PageOrder::Desc, None), "{limit}");
    }
    assert_eq!(page(json!({})), (20, PageOrder::Desc, None));
    assert!(ChatRequest::parse(json!({ "type": "threads.list" })).is_ok());
}

#[test]
fn only_requests_that_can_start_an_answer_are_streamed() {
    let streamed: Vec<_> = requests()
        .into_iter()
        .map(|request| ChatRequest::parse(request).unwrap())
        .filter(ChatRequest::is_streamed)
        .map(|request| request.kind())
        .collect();
    assert_eq!(
        streamed,
        [
            "threads.create",
            "threads.add_user_message",
            "threads.add_client_tool_output",
            "threads.add_structured_input",
            "threads.custom_action",
            "threads.retry_after_item",
        ]
    );
}

#[test]
fn invalid_requests_have_a_pointer() {
    let text = |text: &str| json!({ "type": "input_text", "text": text });
    let create = |input: Value| json!({ "type": "threads.create", "params": { "input": input } });
    let content = |content: Value| create(json!({ "content": content }));
    let tag = json!({ "type": "input_tag", "id": "a", "text": "A" });
    for (body, pointer) in [
        (json!([]), ""),
        (json!({}), "/type"),
        (json!({ "type": "threads.nope" }), "/type"),
        (json!({ "type": 7 }), "/type"),
        (json!({ "type": "threads.list", "params": [] }), "/params"),
        (json!({ "type": "threads.list", "params": null }), "/params"),
        (json!({ "type": "threads.list", "params": { "limit": "x" } }), "/params/limit"),
        (json!({ "type": "threads.list", "params": { "order": "up" } }), "/params/order"),
        (json!({ "type": "threads.get_by_id" }), "/params"),
        (json!({ "type": "threads.get_by_id", "params": { "thread_id": 7 } }), "/params/thread_id"),
        (json!({ "type": "threads.get_by_id", "params": { "thread_id": " " } }), "/params/thread_id"),
        (
            json!({ "type": "threads.get_by_id", "params": { "thread_id": "x".repeat(201) } }),
            "/params/thread_id",
        ),
        (create(json!(7)), "/params/input"),
        (content(json!([{ "type": "input_file" }])), "/params/input/content/0/type"),
        (content(json!([])), "/params/input/content"),
        (content(json!([text(" \n")])), "/params/input/content"),
        (content(json!([text(&"x".repeat(100_001))])), "/params/input/content"),
        (content(json!(vec![tag.clone(); 51])), "/params/input/content"),
        (content(json!(vec![text("a"); 201])), "/params/input/content"),
        (
            content(
                json!([{ "type": "input_tag", "id": "a", "text": "A", "data": { "x": "y".repeat(65_536) } }]),
            ),
            "/params/input/content/0/data",
        ),
        (
            create(json!({ "content": [text("a")], "attachments": vec!["a"; 11] })),
            "/params/input/attachments",
        ),
        (
            create(json!({ "content": [text("a")], "quoted_text": "x".repeat(100_000) })),
            "/params/input/content",
        ),
        (json!({ "type": "threads.update", "params": { "thread_id": "t", "title": "" } }), "/params/title"),
        (
            json!({ "type": "items.feedback", "params": { "thread_id": "t", "item_ids": vec!["i"; 101], "kind": "positive" } }),
            "/params/item_ids",
        ),
        (
            json!({ "type": "items.feedback", "params": { "thread_id": "t", "item_ids": ["i"], "kind": "great" } }),
            "/params/kind",
        ),
        (
            json!({ "type": "threads.custom_action", "params": { "thread_id": "t", "action": { "type": "a", "payload": "x".repeat(65_537) } } }),
            "/params/action/payload",
        ),
        (
            json!({ "type": "attachments.create", "params": { "name": "a", "size": 1_u64 << 40, "mime_type": "a/b" } }),
            "/params/size",
        ),
        (
            json!({ "type": "attachments.create", "params": { "name": "a", "size": -1, "mime_type": "a/b" } }),
            "/params/size",
        ),
    ] {
        let shown = body.to_string().chars().take(200).collect::<String>();
        let error = ChatRequest::parse(body).unwrap_err();
        assert_eq!(
            (error.code, error.fields[0].pointer.as_str()),
            (ErrorCode::InvalidRequest, pointer),
            "{shown}: {:?}",
            error.fields
        );
    }
    for body in [content(json!([text(&"é".repeat(100_000))])), content(json!(vec![tag; 50]))] {
        assert!(ChatRequest::parse(body).is_ok(), "the limit itself is accepted");
    }
}

#[test]
fn error_of_a_request_does_not_quote_a_value() {
    let body = json!({ "type": "threads.list", "params": { "limit": "ek_canary" } });
    assert!(!format!("{:?}", ChatRequest::parse(body).unwrap_err()).contains("canary"));
    let body = json!({ "type": "ek_canary" });
    assert!(!format!("{:?}", ChatRequest::parse(body).unwrap_err()).contains("canary"));
}
