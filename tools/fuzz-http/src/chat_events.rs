//! Real events of `serve-chatkit` as the basis of the mutations.

use serde_json::{Value, json};

/// One request of each type, by its function URL and by a REST API, and preflight requests.
pub fn all() -> Vec<Value> {
    let requests = requests().into_iter().map(|(kind, params)| {
        json!({ "type": kind, "params": params, "metadata": { "source": "page" } }).to_string()
    });
    let mut events: Vec<_> =
        requests.flat_map(|body| [function_url("POST", &body), rest_api("POST", &body)]).collect();
    events.extend([function_url("OPTIONS", ""), rest_api("OPTIONS", "")]);
    events
}

fn requests() -> Vec<(&'static str, Value)> {
    let message = json!({
        "content": [
            { "type": "input_text", "text": "Is invoice 42 of ACME \u{fc}\u{1F4B6} paid?\n" },
            { "type": "input_tag", "id": "supplier-7", "text": "ACME", "data": { "country": "DE" }, "group": "suppliers" },
        ],
        "attachments": ["atc_1"], "quoted_text": "Invoice 42",
        "inference_options": { "model": "gpt", "tool_choice": { "id": "search" } },
    });
    let action =
        json!({ "type": "call.confirm", "payload": { "subjectHash": "0f", "deep": [{ "a": [null, 1e3] }] } });
    let answers = json!({ "status": "answered", "answers": { "q1": { "values": ["a"], "skipped": false } } });
    vec![
        ("threads.create", json!({ "input": message })),
        ("threads.add_user_message", json!({ "thread_id": "thr_1", "input": message })),
        ("threads.add_client_tool_output", json!({ "thread_id": "thr_1", "result": { "opened": true } })),
        (
            "threads.add_structured_input",
            json!({ "thread_id": "thr_1", "item_id": "msg_1", "input": answers }),
        ),
        ("threads.custom_action", json!({ "thread_id": "thr_1", "item_id": "msg_1", "action": action })),
        ("threads.sync_custom_action", json!({ "thread_id": "thr_1", "action": action })),
        ("threads.retry_after_item", json!({ "thread_id": "thr_1", "item_id": "msg_1" })),
        ("threads.get_by_id", json!({ "thread_id": "thr_1" })),
        ("threads.list", json!({ "limit": 9999, "order": "desc", "after": "thr_1" })),
        ("threads.update", json!({ "thread_id": "thr_1", "title": "Invoice 42" })),
        ("threads.delete", json!({ "thread_id": "thr_1" })),
        ("items.list", json!({ "thread_id": "thr_1", "limit": 20, "order": "asc", "after": "msg_1" })),
        ("items.feedback", json!({ "thread_id": "thr_1", "item_ids": ["msg_1"], "kind": "positive" })),
        ("attachments.create", json!({ "name": "a.pdf", "size": 7, "mime_type": "application/pdf" })),
        ("attachments.delete", json!({ "attachment_id": "atc_1" })),
        ("input.transcribe", json!({ "audio_base64": "AAEC", "mime_type": "audio/webm;codecs=opus" })),
    ]
}

fn headers() -> Value {
    json!({
        "accept": "text/event-stream",
        "accept-language": "de",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,chatkit-frame-instance-id,content-type,idempotency-key",
        "authorization": "Bearer ek_0123456789abcdef",
        "chatkit-frame-instance-id": "5d0c4a9e-7a55-4a6e-9d5e-0b1f6a3c2e71",
        "content-type": "application/json",
        "host": "id.lambda-url.eu-central-1.on.aws",
        "idempotency-key": "3f0c7f4e",
        "origin": "https://app.example.com",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    })
}

fn function_url(method: &str, body: &str) -> Value {
    json!({
        "version": "2.0", "routeKey": "$default", "rawPath": "/chatkit", "rawQueryString": "",
        "headers": headers(), "body": body, "isBase64Encoded": false,
        "requestContext": {
            "accountId": "anonymous", "apiId": "id", "domainName": "id.lambda-url.eu-central-1.on.aws",
            "domainPrefix": "id", "requestId": "d2b1b0f0", "routeKey": "$default", "stage": "$default",
            "http": { "method": method, "path": "/chatkit", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.7", "userAgent": "Mozilla/5.0" },
            "time": "22/Nov/2026:10:00:00 +0000", "timeEpoch": 1_795_341_600_000_u64,
        },
    })
}

/// A REST API streams with events of the payload format 1.0.
fn rest_api(method: &str, body: &str) -> Value {
    json!({
        "resource": "/chatkit", "path": "/chatkit", "httpMethod": method, "headers": headers(),
        "multiValueHeaders": { "authorization": ["Bearer ek_0123456789abcdef"], "content-type": ["application/json"] },
        "queryStringParameters": null, "multiValueQueryStringParameters": null, "pathParameters": null,
        "stageVariables": null, "body": body, "isBase64Encoded": false,
        "requestContext": {
            "accountId": "123456789012", "apiId": "id", "httpMethod": method, "path": "/prod/chatkit",
            "protocol": "HTTP/1.1", "requestId": "c6af9ac6", "resourcePath": "/chatkit", "stage": "prod",
            "identity": { "sourceIp": "203.0.113.7", "userAgent": "Mozilla/5.0" },
        },
    })
}
