//! Invalid JSON bodies of `POST /chatkit/sessions/{id}/events`.

use uuid::Uuid;

use super::create_session::huge_numbers;
use super::test_request::{TestRequest, record_events};
use super::{Row, invalid, row};

pub fn rows() -> Vec<Row> {
    let mut rows = envelopes();
    rows.extend(payloads());
    rows.extend(batches());
    rows
}

fn envelopes() -> Vec<Row> {
    let click = r#""type":"button_click","payload":{"action":"a"}"#;
    let occurred_at = |time: &str| event(&format!(r#"{click},"occurredAt":{time}"#));
    vec![
        invalid("an empty object", record_events("{}"), ""),
        invalid("no id", record_events(format!("{{{click}}}")), ""),
        invalid("a malformed id", record_events(format!(r#"{{"id":"1",{click}}}"#)), "/id"),
        invalid("an id that is a number", record_events(format!(r#"{{"id":1,{click}}}"#)), "/id"),
        invalid("no type", event(r#""payload":{}"#), ""),
        invalid("a type that is null", event(r#""type":null"#), "/type"),
        invalid("an unknown type", of_type("button_clicked", "{}"), "/type"),
        invalid(
            "a type reserved for the system",
            of_type("session_ended", r#"{"reason":"cancelled"}"#),
            "/type",
        ),
        invalid("a custom type without a name", of_type("custom_", "{}"), "/type"),
        invalid("a custom type with a capital letter", of_type("custom_Click", "{}"), "/type"),
        invalid("a custom type of 64 letters", of_type(&format!("custom_{}", "a".repeat(57)), "{}"), "/type"),
        invalid("a decision without a payload", of_type("hitl_resolved", "{}"), "/payload"),
        invalid("a payload that is null", event(r#""type":"custom_x","payload":null"#), "/payload"),
        invalid("a payload that is a list", custom("[]"), "/payload"),
        invalid("a time without a zone", occurred_at(r#""2026-11-22T10:00:00""#), "/occurredAt"),
        invalid("a time that is a number", occurred_at("1795341600"), "/occurredAt"),
        invalid("a day that does not exist", occurred_at(r#""2026-02-30T10:00:00Z""#), "/occurredAt"),
        invalid("a time before the year 0", occurred_at(r#""-009999-01-02T01:59:59Z""#), "/occurredAt"),
        invalid("a time in the year 0", occurred_at(r#""0000-06-01T00:00:00Z""#), "/occurredAt"),
        invalid(
            "a time after the year 9998",
            occurred_at(r#""9999-12-30T21:59:59.9999999Z""#),
            "/occurredAt",
        ),
        invalid("an actor type", event(&format!(r#"{click},"actorType":"system""#)), "/actorType"),
        invalid("a sequence number", event(&format!(r#"{click},"seq":1"#)), "/seq"),
        invalid("an escalation id", event(&format!(r#"{click},"escalation_id":"x""#)), "/escalation_id"),
        invalid("a string instead of an event", record_events(r#""button_click""#), ""),
    ]
}

fn payloads() -> Vec<Row> {
    let escalation = |rest: &str| of_type("hitl_escalation", &format!(r#"{{"reason":"too much"{rest}}}"#));
    vec![
        invalid("a click without its action", of_type("button_click", "{}"), "/payload"),
        invalid("a click without a payload", event(r#""type":"button_click""#), "/payload"),
        invalid("an action that is empty", of_type("button_click", r#"{"action":""}"#), "/payload/action"),
        invalid(
            "an action of 201 letters",
            of_type("button_click", &format!(r#"{{"action":"{}"}}"#, "é".repeat(201))),
            "/payload/action",
        ),
        invalid(
            "an unknown field in a known payload",
            of_type("feedback", r#"{"rating":"positive","stars":5}"#),
            "/payload/stars",
        ),
        invalid("labels without a label", of_type("session_updated", "{}"), "/payload"),
        invalid("a title that is empty", of_type("session_updated", r#"{"title":""}"#), "/payload/title"),
        invalid(
            "a device label of 101 letters",
            of_type("session_updated", &format!(r#"{{"deviceLabel":"{}"}}"#, "é".repeat(101))),
            "/payload/deviceLabel",
        ),
        invalid("an unknown label", of_type("session_updated", r#"{"name":"x"}"#), "/payload/name"),
        invalid("an unknown rating", of_type("feedback", r#"{"rating":"meh"}"#), "/payload/rating"),
        invalid(
            "a rating that is an object",
            of_type("feedback", r#"{"rating":{"positive":null}}"#),
            "/payload/rating",
        ),
        invalid(
            "a thread id that is a path",
            of_type("thread_changed", r#"{"threadId":"../sessions"}"#),
            "/payload/threadId",
        ),
        invalid(
            "a thread that is a number",
            of_type("thread_changed", r#"{"threadId":1}"#),
            "/payload/threadId",
        ),
        invalid(
            "values that are a list",
            of_type("form_submit", r#"{"form":"vat","values":[]}"#),
            "/payload/values",
        ),
        invalid("a handover without a payload", of_type("handover", "{}"), "/payload"),
        invalid(
            "a handover to a malformed agent",
            of_type("handover", r#"{"agentId":"The CFO"}"#),
            "/payload/agentId",
        ),
        row(
            "a handover to an unknown agent",
            of_type("handover", r#"{"agentId":"unknown"}"#),
            422,
            "agent_unavailable",
            &[],
        ),
        row(
            "a handover from another agent",
            of_type("handover", r#"{"agentId":"accounts_payable","fromAgentId":"tax_compliance"}"#),
            409,
            "agent_changed",
            &[],
        ),
        invalid("an escalation without decisions", escalation(r#","decisions":[]"#), "/payload/decisions"),
        invalid(
            "an escalation with a duplicate decision",
            escalation(r#","decisions":["approve","approve"]"#),
            "/payload/decisions",
        ),
        invalid(
            "an unknown decision",
            escalation(r#","decisions":["approve","sign"]"#),
            "/payload/decisions/1",
        ),
        invalid(
            "a decision that is an object",
            escalation(r#","decisions":[{"approve":null}]"#),
            "/payload/decisions/0",
        ),
        invalid(
            "an escalation that expires after one second",
            escalation(r#","decisions":["approve"],"expiresInSeconds":1"#),
            "/payload/expiresInSeconds",
        ),
        invalid(
            "an escalation that has expired already",
            escalation(r#","decisions":["approve"],"expiresInSeconds":-60"#),
            "/payload/expiresInSeconds",
        ),
        invalid(
            "an escalation that expires after 1e300 seconds",
            escalation(r#","decisions":["approve"],"expiresInSeconds":1e300"#),
            "/payload/expiresInSeconds",
        ),
        invalid(
            "a schema that is a string",
            escalation(r#","decisions":["edit"],"schema":"{}""#),
            "/payload/schema",
        ),
        invalid(
            "an approver that a browser may not set",
            escalation(r#","decisions":["approve"],"approver":"self""#),
            "/payload/approver",
        ),
        invalid(
            "a payload of more than 16 KiB",
            custom(&format!(r#"{{"a":"{}"}}"#, "x".repeat(16377))),
            "/payload",
        ),
        invalid("a payload whose numbers PostgreSQL writes with 309 digits", custom(&huge_numbers(1000)), ""),
    ]
}

fn batches() -> Vec<Row> {
    let click = |id: u8, rest: &str| {
        format!(
            concat!(
                r#"{{"id":"3f0c7f4e-58b5-4d3a-9a53-0d3f6c1f2b{:02x}","type":"button_click","#,
                r#""payload":{{"action":"a"}}{}}}"#
            ),
            id, rest
        )
    };
    let list = |events: &[String]| record_events(format!("[{}]", events.join(",")));
    let hundred_and_one: Vec<_> = (0..101).map(|id| click(id, "")).collect();
    let other = click(1, "").replace(r#""action":"a""#, r#""action":"b""#);
    vec![
        invalid("no events", record_events("[]"), ""),
        invalid("101 events", list(&hundred_and_one), ""),
        invalid("a number among events", list(&[click(1, ""), "7".to_owned()]), "/1"),
        invalid("a list among events", list(&[click(1, ""), "[]".to_owned()]), "/1"),
        invalid(
            "a list of all fields in order",
            record_events(r#"[["3f0c7f4e-58b5-4d3a-9a53-0d3f6c1f2b11","custom_x",{},null]]"#),
            "/0",
        ),
        row(
            "two invalid events among three",
            list(&[click(1, r#","x":1"#), click(2, ""), click(3, r#","occurredAt":0"#)]),
            422,
            "invalid_request",
            &["/0/x", "/2/occurredAt"],
        ),
        row("two different events with one id", list(&[click(1, ""), other]), 409, "event_conflict", &[]),
        row(
            "a last event that fails",
            list(&[
                click(1, ""),
                format!(r#"{{{},"type":"handover","payload":{{"agentId":"unknown"}}}}"#, id_member()),
            ]),
            422,
            "agent_unavailable",
            &[],
        ),
        invalid(
            "more than 16 KiB in the second event",
            list(&[
                click(1, ""),
                format!(r#"{{{},"type":"custom_x","payload":{{"a":"{}"}}}}"#, id_member(), "x".repeat(16377)),
            ]),
            "/1/payload",
        ),
    ]
}

/// A new id for each row, so that rows do not affect each other.
fn id_member() -> String {
    format!(r#""id":"{}""#, Uuid::new_v4())
}

/// An event with a new id and these fields.
fn event(rest: &str) -> TestRequest {
    record_events(format!("{{{},{rest}}}", id_member()))
}

fn of_type(kind: &str, payload: &str) -> TestRequest {
    event(&format!(r#""type":"{kind}","payload":{payload}"#))
}

fn custom(payload: &str) -> TestRequest {
    of_type("custom_x", payload)
}
