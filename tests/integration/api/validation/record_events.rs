//! Bodies of `POST …/events` that are JSON and wrong.

use uuid::Uuid;

use super::create_session::huge_numbers;
use super::request_builder::{Ask, record};
use super::{Row, invalid, row};

/// An event's id, another for each row: what one leaves behind is not in another's way.
fn id() -> String {
    format!(r#""id":"{}""#, Uuid::new_v4())
}

/// An event with this id and the rest of its fields as given.
fn event(rest: &str) -> Ask {
    record(format!("{{{},{rest}}}", id()))
}

fn of_type(kind: &str, payload: &str) -> Ask {
    event(&format!(r#""type":"{kind}","payload":{payload}"#))
}

fn custom(payload: &str) -> Ask {
    of_type("custom_x", payload)
}

pub fn rows() -> Vec<Row> {
    let mut rows = shapes();
    rows.extend(payloads());
    rows.extend(many());
    rows
}

fn shapes() -> Vec<Row> {
    let click = r#""type":"button_click","payload":{"action":"a"}"#;
    let at = |time: &str| event(&format!(r#"{click},"occurredAt":{time}"#));
    vec![
        invalid("an empty object", record("{}"), ""),
        invalid("no id", record(format!("{{{click}}}")), ""),
        invalid("an id that is none", record(format!(r#"{{"id":"1",{click}}}"#)), "/id"),
        invalid("an id that is a number", record(format!(r#"{{"id":1,{click}}}"#)), "/id"),
        invalid("no type", event(r#""payload":{}"#), ""),
        invalid("a type that is null", event(r#""type":null"#), "/type"),
        invalid("an unknown type", of_type("button_clicked", "{}"), "/type"),
        invalid("a type of the system's own", of_type("session_ended", r#"{"reason":"cancelled"}"#), "/type"),
        invalid("a custom type without a name", of_type("custom_", "{}"), "/type"),
        invalid("a custom type with a capital", of_type("custom_Click", "{}"), "/type"),
        invalid("a custom type of 64 letters", of_type(&format!("custom_{}", "a".repeat(57)), "{}"), "/type"),
        invalid("a decision on nothing", of_type("hitl_resolved", "{}"), "/payload"),
        invalid("a payload that is null", event(r#""type":"custom_x","payload":null"#), "/payload"),
        invalid("a payload that is a list", custom("[]"), "/payload"),
        invalid("a time without a zone", at(r#""2026-11-22T10:00:00""#), "/occurredAt"),
        invalid("a time that is a number", at("1795341600"), "/occurredAt"),
        invalid("a day that no month has", at(r#""2026-02-30T10:00:00Z""#), "/occurredAt"),
        invalid("a time before there were computers", at(r#""-009999-01-02T01:59:59Z""#), "/occurredAt"),
        invalid("a time in the year nought", at(r#""0000-06-01T00:00:00Z""#), "/occurredAt"),
        invalid("a time at the end of all times", at(r#""9999-12-30T21:59:59.9999999Z""#), "/occurredAt"),
        invalid(
            "an actor of the caller's own",
            event(&format!(r#"{click},"actorType":"system""#)),
            "/actorType",
        ),
        invalid("a place of the caller's own", event(&format!(r#"{click},"seq":1"#)), "/seq"),
        invalid(
            "an escalation's id of the caller's own",
            event(&format!(r#"{click},"escalation_id":"x""#)),
            "/escalation_id",
        ),
        invalid("a text instead of an event", record(r#""button_click""#), ""),
    ]
}

fn payloads() -> Vec<Row> {
    let ask = |rest: &str| of_type("hitl_escalation", &format!(r#"{{"reason":"too much"{rest}}}"#));
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
        invalid("a rating that is none", of_type("feedback", r#"{"rating":"meh"}"#), "/payload/rating"),
        invalid(
            "a rating that is an object",
            of_type("feedback", r#"{"rating":{"positive":null}}"#),
            "/payload/rating",
        ),
        invalid(
            "a thread that would be another path",
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
        invalid("a handover to nowhere", of_type("handover", "{}"), "/payload"),
        invalid(
            "a handover to what is no id",
            of_type("handover", r#"{"agentId":"The CFO"}"#),
            "/payload/agentId",
        ),
        row(
            "a handover to nobody",
            of_type("handover", r#"{"agentId":"nobody"}"#),
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
        invalid("an escalation that asks nothing", ask(r#","decisions":[]"#), "/payload/decisions"),
        invalid(
            "an escalation that asks twice",
            ask(r#","decisions":["approve","approve"]"#),
            "/payload/decisions",
        ),
        invalid("a decision that is none", ask(r#","decisions":["approve","sign"]"#), "/payload/decisions/1"),
        invalid(
            "a decision that is an object",
            ask(r#","decisions":[{"approve":null}]"#),
            "/payload/decisions/0",
        ),
        invalid(
            "an escalation that ends at once",
            ask(r#","decisions":["approve"],"expiresInSeconds":1"#),
            "/payload/expiresInSeconds",
        ),
        invalid(
            "an escalation that ended already",
            ask(r#","decisions":["approve"],"expiresInSeconds":-60"#),
            "/payload/expiresInSeconds",
        ),
        invalid(
            "an escalation that never ends",
            ask(r#","decisions":["approve"],"expiresInSeconds":1e300"#),
            "/payload/expiresInSeconds",
        ),
        invalid("a schema that is a text", ask(r#","decisions":["edit"],"schema":"{}""#), "/payload/schema"),
        invalid(
            "an authority that a browser lacks",
            ask(r#","decisions":["approve"],"approver":"self""#),
            "/payload/approver",
        ),
        invalid(
            "a payload of more than 16 KiB",
            custom(&format!(r#"{{"a":"{}"}}"#, "x".repeat(16377))),
            "/payload",
        ),
        invalid(
            "a payload that is far longer once its numbers are written out",
            custom(&huge_numbers(1000)),
            "",
        ),
    ]
}

fn many() -> Vec<Row> {
    let click = |id: u8, rest: &str| {
        format!(
            r#"{{"id":"3f0c7f4e-58b5-4d3a-9a53-0d3f6c1f2b{id:02x}","type":"button_click","payload":{{"action":"a"}}{rest}}}"#
        )
    };
    let list = |events: &[String]| record(format!("[{}]", events.join(",")));
    let hundred_and_one: Vec<_> = (0..101).map(|id| click(id, "")).collect();
    let other = click(1, "").replace(r#""action":"a""#, r#""action":"b""#);
    vec![
        invalid("no events", record("[]"), ""),
        invalid("101 events", list(&hundred_and_one), ""),
        invalid("a number among events", list(&[click(1, ""), "7".to_owned()]), "/1"),
        invalid("a list among events", list(&[click(1, ""), "[]".to_owned()]), "/1"),
        invalid(
            "a list of all fields in their order",
            record(r#"[["3f0c7f4e-58b5-4d3a-9a53-0d3f6c1f2b11","custom_x",{},null]]"#),
            "/0",
        ),
        row(
            "two wrong among three",
            list(&[click(1, r#","x":1"#), click(2, ""), click(3, r#","occurredAt":0"#)]),
            422,
            "invalid_request",
            &["/0/x", "/2/occurredAt"],
        ),
        row("one id with two contents", list(&[click(1, ""), other]), 409, "event_conflict", &[]),
        row(
            "a last event that cannot be done",
            list(&[
                click(1, ""),
                format!(r#"{{{},"type":"handover","payload":{{"agentId":"nobody"}}}}"#, id()),
            ]),
            422,
            "agent_unavailable",
            &[],
        ),
        invalid(
            "more than 16 KiB in the second",
            list(&[
                click(1, ""),
                format!(r#"{{{},"type":"custom_x","payload":{{"a":"{}"}}}}"#, id(), "x".repeat(16377)),
            ]),
            "/1/payload",
        ),
    ]
}
