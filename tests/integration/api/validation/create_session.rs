//! Bodies of `POST /chatkit/sessions` that are JSON and wrong.

use super::request_builder::{Ask, open};
use super::{Row, invalid, row};

/// With an agent that is there, and this.
fn with(rest: &str) -> Ask {
    open(format!(r#"{{"agentId":"accounts_payable",{rest}}}"#))
}

fn with_metadata(metadata: &str) -> Ask {
    with(&format!(r#""metadata":{metadata}"#))
}

/// An id that no session has; where it is looked for, the row is about something else.
const SOME: &str = r#""sessionId":"01981d3c-0000-7000-8000-000000000000""#;

fn renew(rest: &str) -> Ask {
    open(format!("{{{SOME}{rest}}}"))
}

pub fn rows() -> Vec<Row> {
    let long_id = "a".repeat(64);
    vec![
        invalid("nothing in it", open("{}"), "/agentId"),
        invalid("an agent that is null", open(r#"{"agentId":null}"#), "/agentId"),
        invalid("an agent that is a number", open(r#"{"agentId":7}"#), "/agentId"),
        invalid("an agent that is empty", open(r#"{"agentId":""}"#), "/agentId"),
        invalid("an agent in capitals", open(r#"{"agentId":"Accounts"}"#), "/agentId"),
        invalid("an agent with a line feed", open(r#"{"agentId":"accounts_payable\n"}"#), "/agentId"),
        invalid("an agent's id of 64 letters", open(format!(r#"{{"agentId":"{long_id}"}}"#)), "/agentId"),
        row("an agent that is not there", open(r#"{"agentId":"nobody"}"#), 422, "agent_unavailable", &[]),
        invalid("an unknown channel", with(r#""channel":"fax""#), "/channel"),
        invalid("a channel that is a list", with(r#""channel":["web"]"#), "/channel"),
        invalid("a channel that is an object", with(r#""channel":{"web":null}"#), "/channel"),
        invalid("an unknown field", with(r#""agent":"x""#), "/agent"),
        invalid("a field in another spelling", open(r#"{"agent_id":"accounts_payable"}"#), "/agent_id"),
        invalid("a workflow of the caller's own", with(r#""workflow":{"id":"wf_x"}"#), "/workflow"),
        invalid("a user of the caller's own", with(r#""userId":"x""#), "/userId"),
        invalid("a field with a slash and a tilde in its name", with(r#""a/b~c":1"#), "/a~1b~0c"),
        invalid("a list instead of an object", open("[]"), ""),
        invalid(
            "a list of all fields in their order",
            open(r#"["accounts_payable","web",{},null,null]"#),
            "",
        ),
        invalid("a text instead of an object", open(r#""accounts_payable""#), ""),
        invalid("null instead of an object", open("null"), ""),
        invalid("metadata that is a list", with_metadata("[]"), "/metadata"),
        invalid("metadata that is a text", with_metadata(r#""locale""#), "/metadata"),
        invalid(
            "metadata of more than 8 KiB",
            with_metadata(&format!(r#"{{"a":"{}"}}"#, "x".repeat(8185))),
            "/metadata",
        ),
        invalid(
            "metadata that is far longer once its numbers are written out",
            with_metadata(&huge_numbers(200)),
            "",
        ),
        invalid("a session without a purpose", renew(""), "/purpose"),
        invalid("a purpose without a session", open(r#"{"purpose":"resume"}"#), "/sessionId"),
        invalid(
            "a purpose with an agent only",
            open(r#"{"purpose":"resume","agentId":"accounts_payable"}"#),
            "/sessionId",
        ),
        invalid("an unknown purpose", renew(r#","purpose":"reopen""#), "/purpose"),
        invalid("a purpose that is an object", renew(r#","purpose":{"resume":null}"#), "/purpose"),
        invalid("a purpose in capitals", renew(r#","purpose":"Resume""#), "/purpose"),
        invalid(
            "a channel for a session that has one",
            renew(r#","purpose":"resume","channel":"web""#),
            "/channel",
        ),
        invalid("a session's id that is none", open(r#"{"sessionId":"7","purpose":"resume"}"#), "/sessionId"),
        invalid(
            "a session's id that is a number",
            open(r#"{"sessionId":7,"purpose":"resume"}"#),
            "/sessionId",
        ),
        row("a session that is not there", renew(r#","purpose":"resume""#), 404, "session_not_found", &[]),
    ]
}

/// So many numbers of five characters each, of which PostgreSQL writes out all 309 digits.
pub fn huge_numbers(count: usize) -> String {
    format!(r#"{{"n":[{}]}}"#, vec!["1e308"; count].join(","))
}
