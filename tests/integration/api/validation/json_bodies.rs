//! Bodies as text: what is no JSON, JSON that cannot be kept, and too much of it.

use uuid::Uuid;

use super::request_builder::{Ask, cancel, open, record};
use super::{Row, invalid, row};

const MALFORMED: &str = "malformed_body";
const GOOD: &str = r#"{"agentId":"accounts_payable"}"#;

/// An opening with this metadata.
fn metadata(metadata: &str) -> Ask {
    open(format!(r#"{{"agentId":"accounts_payable","metadata":{metadata}}}"#))
}

/// An event with this payload.
fn payload(payload: &str) -> Ask {
    let id = Uuid::new_v4();
    record(format!(r#"{{"id":"{id}","type":"custom_x","payload":{payload}}}"#))
}

pub fn rows() -> Vec<Row> {
    let mut rows = types();
    rows.extend(malformed());
    rows.extend(unkeepable());
    rows.extend(deep());
    rows.extend(large());
    rows.extend(where_none_is_expected());
    rows
}

fn types() -> Vec<Row> {
    let types = [
        ("text/plain", "a text"),
        ("application/x-www-form-urlencoded", "a form"),
        ("multipart/form-data; boundary=x", "a form in parts"),
        ("application/problem+json", "a problem"),
        ("application/jsonlines", "lines of JSON"),
        ("application/json, text/plain", "two at once"),
        ("json", "half a name"),
    ];
    let mut rows = vec![
        row("no type", open(GOOD).header("content-type", ""), 415, "unsupported_media_type", &[]),
        row("no type and no body", open("").header("content-type", ""), 415, "unsupported_media_type", &[]),
        row(
            "an event without a type",
            payload("{}").header("content-type", ""),
            415,
            "unsupported_media_type",
            &[],
        ),
    ];
    rows.extend(types.map(|(value, name)| {
        row(
            &format!("declared as {name}"),
            open(GOOD).header("content-type", value),
            415,
            "unsupported_media_type",
            &[],
        )
    }));
    rows
}

fn malformed() -> Vec<Row> {
    let utf_16: Vec<u8> = GOOD.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let texts: [(&str, Vec<u8>); 14] = [
        ("nothing", Vec::new()),
        ("only spaces", b"   ".to_vec()),
        ("half an object", b"{\"agentId\":".to_vec()),
        ("two objects", format!("{GOOD}{GOOD}").into_bytes()),
        ("a comma too many", b"{\"agentId\":\"accounts_payable\",}".to_vec()),
        ("single quotes", b"{'agentId':'accounts_payable'}".to_vec()),
        ("a comment", format!("{GOOD} // a comment").into_bytes()),
        ("a number that is none", b"{\"agentId\":NaN}".to_vec()),
        ("a byte order mark", [b"\xef\xbb\xbf", GOOD.as_bytes()].concat()),
        ("UTF-16", utf_16),
        ("bytes that are no UTF-8", b"{\"agentId\":\"\xff\xfe\"}".to_vec()),
        ("half a character", b"{\"agentId\":\"\\ud83d\"}".to_vec()),
        ("a null character as it is", b"{\"agentId\":\"a\0b\"}".to_vec()),
        ("JSON in base64", b"eyJhZ2VudElkIjoiYWNjb3VudHNfcGF5YWJsZSJ9".to_vec()),
    ];
    let both = texts.into_iter().flat_map(|(name, text)| {
        [(open(text.clone()), "opening"), (record(text), "event")]
            .map(|(ask, what)| row(&format!("{what}: {name}"), ask, 400, MALFORMED, &[]))
    });
    both.collect()
}

/// JSON that PostgreSQL or the next reader could not keep apart or keep at all.
fn unkeepable() -> Vec<Row> {
    let null = "contains a null character";
    let twice = "says a thing twice";
    let huge = "has a number beyond every number";
    vec![
        invalid(&format!("an agent that {null}"), open(r#"{"agentId":"a\u0000"}"#), "/agentId"),
        invalid(
            &format!("metadata that {null}"),
            metadata(r#"{"a":["b",{"c":"\u0000"}]}"#),
            "/metadata/a/1/c",
        ),
        invalid(&format!("metadata that {null} in a name"), metadata(r#"{"a":{"\u0000":1}}"#), "/metadata/a"),
        invalid(
            &format!("metadata that {null} below a slash"),
            metadata(r#"{"a/b":{"~":"\u0000"}}"#),
            "/metadata/a~1b/~0",
        ),
        invalid(&format!("a field that {null} in its name"), open(r#"{"agentId\u0000":"a"}"#), ""),
        invalid(&format!("a payload that {null}"), payload(r#"{"a":"\u0000"}"#), "/payload/a"),
        invalid(&format!("a payload that {null} in a name"), payload(r#"{"\u0000":1}"#), "/payload"),
        invalid(&format!("a list that {null}"), record(r#"[{"id":"x"},"\u0000"]"#), "/1"),
        invalid(
            &format!("an opening that {twice}"),
            open(r#"{"agentId":"accounts_payable","agentId":"tax_compliance"}"#),
            "/agentId",
        ),
        invalid(
            &format!("an opening that {twice}, once escaped"),
            open(r#"{"agentId":"accounts_payable","agent\u0049d":"x"}"#),
            "/agentId",
        ),
        invalid(&format!("metadata that {twice}"), metadata(r#"{"a":[{"b":1,"b":1}]}"#), "/metadata/a/0/b"),
        invalid(&format!("an event that {twice}"), record(r#"{"id":"a","id":"b"}"#), "/id"),
        invalid(
            &format!("a payload that {twice}"),
            payload(r#"{"amount":1,"amount":1000}"#),
            "/payload/amount",
        ),
        invalid(&format!("metadata that {huge}"), metadata(r#"{"n":[1e999]}"#), "/metadata/n/0"),
        invalid(&format!("a payload that {huge}"), payload(r#"{"n":-1e400}"#), "/payload/n"),
        invalid(
            &format!("a payload that {huge}, by its digits"),
            payload(&format!(r#"{{"n":{}}}"#, "9".repeat(400))),
            "/payload/n",
        ),
        invalid(
            &format!("a payload that {huge}, by its exponent"),
            payload(r#"{"n":1e99999999999999999999}"#),
            "/payload/n",
        ),
    ]
}

/// 64 levels are taken: far fewer than anybody's parser can take, and far more than anybody needs.
fn deep() -> Vec<Row> {
    let lists = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let (at_metadata, at_payload) =
        (format!("/metadata/a{}", "/0".repeat(62)), format!("/payload/a{}", "/0".repeat(62)));
    let at_root = "/0".repeat(64);
    vec![
        invalid("metadata on 65 levels", metadata(&format!(r#"{{"a":{}}}"#, lists(63))), &at_metadata),
        invalid("metadata on 127 levels", metadata(&format!(r#"{{"a":{}}}"#, lists(125))), &at_metadata),
        invalid("a payload on 124 levels", payload(&format!(r#"{{"a":{}}}"#, lists(122))), &at_payload),
        invalid(
            "a payload on a thousand levels",
            payload(&format!(r#"{{"a":{}}}"#, lists(1000))),
            &at_payload,
        ),
        invalid("a hundred thousand levels", record(lists(100_000)), &at_root),
        invalid("a hundred thousand levels that do not end", open("[".repeat(100_000)), &at_root),
    ]
}

fn large() -> Vec<Row> {
    const MOST: usize = 256 * 1024;
    let padded = |text: &str, size: usize| format!("{text}{}", " ".repeat(size - text.len()));
    let too_large = |name: &str, ask: Ask| row(name, ask, 413, "body_too_large", &[]);
    vec![
        too_large("a byte more than 256 KiB", open(padded(GOOD, MOST + 1))),
        too_large("a megabyte", open(padded(GOOD, 1 << 20))),
        too_large("events of more than 256 KiB", record(padded("[]", MOST + 1))),
        too_large("more than 256 KiB that are no JSON", record("x".repeat(MOST + 1))),
        too_large("more than 256 KiB to cancel with", cancel().json(padded("{}", MOST + 1))),
        invalid("256 KiB that are no event", record(padded("[]", MOST)), ""),
    ]
}

/// A cancel has nothing to say. Whoever says something would think that it was kept.
fn where_none_is_expected() -> Vec<Row> {
    vec![
        invalid("a reason to cancel", cancel().json(r#"{"reason":"done"}"#), "/reason"),
        invalid("another session to cancel", cancel().json(r#"{"sessionId":"x"}"#), "/sessionId"),
        invalid("a list to cancel with", cancel().json("[]"), ""),
        invalid("null to cancel with", cancel().json("null"), ""),
        row("half an object to cancel with", cancel().json("{"), 400, MALFORMED, &[]),
        row(
            "a text to cancel with",
            cancel().json("done").header("content-type", "text/plain"),
            415,
            "unsupported_media_type",
            &[],
        ),
    ]
}
