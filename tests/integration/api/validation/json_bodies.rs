//! Bodies as text: malformed JSON, JSON that cannot be stored, and bodies that are too large.

use uuid::Uuid;

use super::test_request::{
    TestRequest, cancel_session, claim_escalation, create_session, record_events, release_escalation,
    stop_response,
};
use super::{Row, invalid, row};

const MALFORMED: &str = "malformed_body";
const VALID: &str = r#"{"agentId":"accounts_payable"}"#;

pub fn rows() -> Vec<Row> {
    let mut rows = content_types();
    rows.extend(malformed());
    rows.extend(unstorable());
    rows.extend(deeply_nested());
    rows.extend(too_large());
    rows.extend(bodies_without_fields());
    rows
}

fn content_types() -> Vec<Row> {
    let types = [
        ("text/plain", "text"),
        ("application/x-www-form-urlencoded", "a form"),
        ("multipart/form-data; boundary=x", "a multipart form"),
        ("application/problem+json", "a problem"),
        ("application/jsonlines", "lines of JSON"),
        ("application/json, text/plain", "two types"),
        ("json", "an incomplete name"),
    ];
    let mut rows = vec![
        row(
            "no content type",
            create_session(VALID).header("content-type", ""),
            415,
            "unsupported_media_type",
            &[],
        ),
        row(
            "no content type and no body",
            create_session("").header("content-type", ""),
            415,
            "unsupported_media_type",
            &[],
        ),
        row(
            "an event without a content type",
            with_payload("{}").header("content-type", ""),
            415,
            "unsupported_media_type",
            &[],
        ),
    ];
    rows.extend(types.map(|(value, name)| {
        row(
            &format!("declared as {name}"),
            create_session(VALID).header("content-type", value),
            415,
            "unsupported_media_type",
            &[],
        )
    }));
    rows
}

fn malformed() -> Vec<Row> {
    let utf_16: Vec<u8> = VALID.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let texts: [(&str, Vec<u8>); 14] = [
        ("an empty body", Vec::new()),
        ("only spaces", b"   ".to_vec()),
        ("half an object", b"{\"agentId\":".to_vec()),
        ("two objects", format!("{VALID}{VALID}").into_bytes()),
        ("a trailing comma", b"{\"agentId\":\"accounts_payable\",}".to_vec()),
        ("single quotes", b"{'agentId':'accounts_payable'}".to_vec()),
        ("a comment", format!("{VALID} // a comment").into_bytes()),
        ("NaN", b"{\"agentId\":NaN}".to_vec()),
        ("a byte order mark", [b"\xef\xbb\xbf", VALID.as_bytes()].concat()),
        ("UTF-16", utf_16),
        ("bytes that are not UTF-8", b"{\"agentId\":\"\xff\xfe\"}".to_vec()),
        ("half of a surrogate pair", b"{\"agentId\":\"\\ud83d\"}".to_vec()),
        ("an unescaped null character", b"{\"agentId\":\"a\0b\"}".to_vec()),
        ("JSON in base64", b"eyJhZ2VudElkIjoiYWNjb3VudHNfcGF5YWJsZSJ9".to_vec()),
    ];
    let both = texts.into_iter().flat_map(|(name, text)| {
        [(create_session(text.clone()), "create"), (record_events(text), "event")]
            .map(|(request, what)| row(&format!("{what}: {name}"), request, 400, MALFORMED, &[]))
    });
    both.collect()
}

/// JSON that PostgreSQL cannot store, or that parsers read differently.
fn unstorable() -> Vec<Row> {
    let null = "contains a null character";
    let twice = "has a duplicate member";
    let huge = "has a number beyond the range of f64";
    vec![
        invalid(&format!("an agent that {null}"), create_session(r#"{"agentId":"a\u0000"}"#), "/agentId"),
        invalid(
            &format!("metadata that {null}"),
            with_metadata(r#"{"a":["b",{"c":"\u0000"}]}"#),
            "/metadata/a/1/c",
        ),
        invalid(
            &format!("metadata that {null} in a member name"),
            with_metadata(r#"{"a":{"\u0000":1}}"#),
            "/metadata/a",
        ),
        invalid(
            &format!("metadata that {null} below a slash"),
            with_metadata(r#"{"a/b":{"~":"\u0000"}}"#),
            "/metadata/a~1b/~0",
        ),
        invalid(&format!("a member that {null} in its name"), create_session(r#"{"agentId\u0000":"a"}"#), ""),
        invalid(&format!("a payload that {null}"), with_payload(r#"{"a":"\u0000"}"#), "/payload/a"),
        invalid(
            &format!("a payload that {null} in a member name"),
            with_payload(r#"{"\u0000":1}"#),
            "/payload",
        ),
        invalid(&format!("a list that {null}"), record_events(r#"[{"id":"x"},"\u0000"]"#), "/1"),
        invalid(
            &format!("a request that {twice}"),
            create_session(r#"{"agentId":"accounts_payable","agentId":"tax_compliance"}"#),
            "/agentId",
        ),
        invalid(
            &format!("a request that {twice}, once escaped"),
            create_session(r#"{"agentId":"accounts_payable","agent\u0049d":"x"}"#),
            "/agentId",
        ),
        invalid(
            &format!("metadata that {twice}"),
            with_metadata(r#"{"a":[{"b":1,"b":1}]}"#),
            "/metadata/a/0/b",
        ),
        invalid(&format!("an event that {twice}"), record_events(r#"{"id":"a","id":"b"}"#), "/id"),
        invalid(
            &format!("a payload that {twice}"),
            with_payload(r#"{"amount":1,"amount":1000}"#),
            "/payload/amount",
        ),
        invalid(&format!("metadata that {huge}"), with_metadata(r#"{"n":[1e999]}"#), "/metadata/n/0"),
        invalid(&format!("a payload that {huge}"), with_payload(r#"{"n":-1e400}"#), "/payload/n"),
        invalid(
            &format!("a payload that {huge}, by its digits"),
            with_payload(&format!(r#"{{"n":{}}}"#, "9".repeat(400))),
            "/payload/n",
        ),
        invalid(
            &format!("a payload that {huge}, by its exponent"),
            with_payload(r#"{"n":1e99999999999999999999}"#),
            "/payload/n",
        ),
    ]
}

/// At most 64 levels are accepted.
fn deeply_nested() -> Vec<Row> {
    let lists = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let (at_metadata, at_payload) =
        (format!("/metadata/a{}", "/0".repeat(62)), format!("/payload/a{}", "/0".repeat(62)));
    let at_root = "/0".repeat(64);
    vec![
        invalid("metadata on 65 levels", with_metadata(&format!(r#"{{"a":{}}}"#, lists(63))), &at_metadata),
        invalid("metadata on 127 levels", with_metadata(&format!(r#"{{"a":{}}}"#, lists(125))), &at_metadata),
        invalid("a payload on 124 levels", with_payload(&format!(r#"{{"a":{}}}"#, lists(122))), &at_payload),
        invalid(
            "a payload on a thousand levels",
            with_payload(&format!(r#"{{"a":{}}}"#, lists(1000))),
            &at_payload,
        ),
        invalid("a hundred thousand levels", record_events(lists(100_000)), &at_root),
        invalid(
            "a hundred thousand levels that are not closed",
            create_session("[".repeat(100_000)),
            &at_root,
        ),
    ]
}

fn too_large() -> Vec<Row> {
    const MAX_SIZE: usize = 256 * 1024;
    let padded = |text: &str, size: usize| format!("{text}{}", " ".repeat(size - text.len()));
    let row_413 = |name: &str, request: TestRequest| row(name, request, 413, "body_too_large", &[]);
    vec![
        row_413("a byte more than 256 KiB", create_session(padded(VALID, MAX_SIZE + 1))),
        row_413("a megabyte", create_session(padded(VALID, 1 << 20))),
        row_413("events of more than 256 KiB", record_events(padded("[]", MAX_SIZE + 1))),
        row_413("more than 256 KiB of malformed JSON", record_events("x".repeat(MAX_SIZE + 1))),
        row_413("a cancel of more than 256 KiB", cancel_session().json(padded("{}", MAX_SIZE + 1))),
        row_413("a stop of more than 256 KiB", stop_response().json(padded("{}", MAX_SIZE + 1))),
        invalid("256 KiB without an event", record_events(padded("[]", MAX_SIZE)), ""),
    ]
}

/// A cancel and a stop do not have fields, and reject those that would be ignored.
fn bodies_without_fields() -> Vec<Row> {
    vec![
        invalid("a stop with a run", stop_response().json(r#"{"runId":"x"}"#), "/runId"),
        invalid("a stop with a list", stop_response().json("[]"), ""),
        row("a stop with half an object", stop_response().json("{"), 400, MALFORMED, &[]),
        invalid("a claim of 29 seconds", claim_escalation().json(r#"{"seconds":29}"#), "/seconds"),
        invalid(
            "a claim of an hour and a second",
            claim_escalation().json(r#"{"seconds":3601}"#),
            "/seconds",
        ),
        invalid("a claim with a fraction", claim_escalation().json(r#"{"seconds":60.0}"#), "/seconds"),
        invalid("a claim with a person", claim_escalation().json(r#"{"userId":"x"}"#), "/userId"),
        row("a claim with half an object", claim_escalation().json("{"), 400, MALFORMED, &[]),
        invalid("a release with a reason", release_escalation().json(r#"{"reason":"done"}"#), "/reason"),
        row("a release with half an object", release_escalation().json("{"), 400, MALFORMED, &[]),
        invalid("a cancel with a reason", cancel_session().json(r#"{"reason":"done"}"#), "/reason"),
        invalid("a cancel with a session id", cancel_session().json(r#"{"sessionId":"x"}"#), "/sessionId"),
        invalid("a cancel with a list", cancel_session().json("[]"), ""),
        invalid("a cancel with null", cancel_session().json("null"), ""),
        row("a cancel with half an object", cancel_session().json("{"), 400, MALFORMED, &[]),
        row(
            "a cancel with text",
            cancel_session().json("done").header("content-type", "text/plain"),
            415,
            "unsupported_media_type",
            &[],
        ),
    ]
}

/// A request to create a session with this metadata.
fn with_metadata(metadata: &str) -> TestRequest {
    create_session(format!(r#"{{"agentId":"accounts_payable","metadata":{metadata}}}"#))
}

/// An event with this payload.
fn with_payload(payload: &str) -> TestRequest {
    let id = Uuid::new_v4();
    record_events(format!(r#"{{"id":"{id}","type":"custom_x","payload":{payload}}}"#))
}
