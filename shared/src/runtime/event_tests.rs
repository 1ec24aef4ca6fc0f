use lambda_http::http::{StatusCode, header};
use serde_json::json;

use super::*;

fn read(event: Value) -> HttpEvent {
    HttpEvent::from_payload(Payload(Some(event)))
}

/// An event of format 2.0, with these members added or replaced.
fn v2(changes: Value) -> HttpEvent {
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/chatkit/agents",
        "rawQueryString": "a=b%20c",
        "headers": { "origin": "https://app.example.com" },
        "requestContext": { "stage": "$default", "http": { "method": "GET" } },
    });
    event.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    read(event)
}

#[test]
fn both_formats_give_the_same_request() {
    let two = v2(json!({
        "routeKey": "POST /chatkit/sessions/{id}",
        "rawPath": "/prod/chatkit/sessions/7",
        "rawQueryString": "a=b+c&a=%2B",
        "headers": { "Accept": "x,y" },
        "pathParameters": { "id": "7" },
        "requestContext": { "stage": "prod", "http": { "method": "POST" } },
        "body": "e30=",
        "isBase64Encoded": true,
    }));
    let one = read(json!({
        "version": "1.0",
        "httpMethod": "POST",
        "resource": "/chatkit/sessions/{id}",
        "path": "/prod/chatkit/sessions/7",
        "queryStringParameters": { "a": "+" },
        "multiValueQueryStringParameters": { "a": ["b c", "+"] },
        "headers": { "Accept": "y" },
        "multiValueHeaders": { "Accept": ["x", "y"] },
        "pathParameters": { "id": "7" },
        "requestContext": { "stage": "prod" },
        "body": "{}",
        "isBase64Encoded": false,
    }));
    assert_eq!(format!("{two:?}"), format!("{one:?}"));
    assert_eq!(
        (two.fault, two.body.as_slice(), &two.headers["accept"]),
        (None, b"{}".as_slice(), &"x,y".parse().unwrap())
    );
    assert_eq!(two.target.stage.as_deref(), Some("prod"));
}

#[test]
fn unreadable_members_are_faults_and_the_rest_is_read() {
    for changes in [
        json!({ "rawQueryString": "a=b c" }),
        json!({ "rawQueryString": "a=b#c" }),
        json!({ "rawQueryString": "a=\u{0}" }),
        json!({ "rawQueryString": 7 }),
        json!({ "rawQueryString": "x".repeat(70_000) }),
        json!({ "rawPath": null }),
        json!({ "rawPath": ["/"] }),
        json!({ "body": {} }),
        json!({ "body": "e30", "isBase64Encoded": true }),
        json!({ "body": "{}", "isBase64Encoded": true }),
        json!({ "isBase64Encoded": "true" }),
        json!({ "requestContext": { "http": { "method": "" } } }),
        json!({ "requestContext": { "http": { "method": "GET /" } } }),
        json!({ "requestContext": { "http": {} } }),
        json!({ "requestContext": { "http": null } }),
        json!({ "requestContext": [] }),
    ] {
        let event = v2(changes.clone());
        assert!(event.fault.is_some(), "{changes}");
        assert_eq!(event.headers[header::ORIGIN], "https://app.example.com", "{changes}");
    }
    for headers in [
        json!([]),
        json!({ "a b": "c" }),
        json!({ "a": "b\nc" }),
        json!({ "a": 7 }),
        json!({ "a": ["b", 7] }),
    ] {
        let event = v2(json!({ "headers": headers }));
        assert!(event.fault.is_some(), "{headers}");
    }
    let many: Map<String, Value> = (0..40_000).map(|i| (format!("x-{i}"), json!(""))).collect();
    assert!(v2(json!({ "headers": many })).fault.is_some());
    for invalid in [json!(null), json!([]), json!(7), json!({}), json!({ "source": "aws.events" })] {
        assert!(read(invalid.clone()).fault.is_some(), "{invalid}");
    }
}

#[test]
fn unusual_valid_events_have_no_fault() {
    for changes in [
        json!({ "rawQueryString": null, "body": null, "headers": null, "isBase64Encoded": null, "cookies": 7 }),
        json!({ "rawQueryString": "a=%zz&b[]={|}&\u{fc}" }),
        json!({ "headers": { "User-Agent": "\u{fc}", "x": null } }),
        json!({ "routeKey": 7, "pathParameters": [7] }),
    ] {
        assert_eq!(v2(changes.clone()).fault, None, "{changes}");
    }
    let twice = v2(json!({ "headers": { "authorization": "Bearer a", "Authorization": "Bearer b" } }));
    let value = twice.headers.get_all(header::AUTHORIZATION).iter().collect::<Vec<_>>();
    assert!(value == ["Bearer a,Bearer b"] || value == ["Bearer b,Bearer a"], "{value:?}");
}

#[test]
fn malformed_payload_deserialises_to_none() {
    let nested = "[".repeat(100_000);
    for text in ["", "{", "\u{feff}{}", "nul", r#"{"a":"\ud800"}"#, &nested, "\u{0}"] {
        let payload: Payload =
            serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap();
        assert!(payload.0.is_none() && Payload::parse(text.as_bytes()).0.is_none(), "{text}");
    }
    assert!(Payload::parse(b"\xff").0.is_none());
}

#[test]
fn response_body_is_text_or_base64_in_the_events_format() {
    let answer = |body: &[u8], format| {
        let mut response = Response::new(body.to_vec());
        *response.status_mut() = StatusCode::CREATED;
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("origin"));
        serde_json::to_value(EventResponse::new(response, format)).unwrap()
    };
    let expected = |body: Option<&str>, is_base64: bool| {
        let mut expected =
            json!({ "statusCode": 201, "headers": { "vary": "origin" }, "isBase64Encoded": is_base64 });
        if let Some(body) = body {
            expected["body"] = body.into();
        }
        expected
    };
    assert_eq!(answer(b"", Format::V1), expected(None, false));
    assert_eq!(answer(b"{}", Format::V1), expected(Some("{}"), false));
    assert_eq!(answer(b"\xff", Format::V1), expected(Some("/w=="), true));
    let mut with_cookies = expected(Some("{}"), false);
    with_cookies["cookies"] = json!([]);
    assert_eq!(answer(b"{}", Format::V2), with_cookies);
}

#[test]
fn format_is_detected_from_the_event() {
    let format = |event: Value| Payload(Some(event)).format();
    assert_eq!(format(json!({ "httpMethod": "GET", "requestContext": { "stage": "prod" } })), Format::V1);
    assert_eq!(format(json!({ "requestContext": { "http": {} }, "httpMethod": "GET" })), Format::V2);
    assert_eq!(format(json!({})), Format::V2);
}
