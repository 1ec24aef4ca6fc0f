//! Invalid JSON bodies of `POST /chatkit/sessions`.

use super::test_request::{TestRequest, create_session};
use super::{Row, invalid, row};

/// The id of a missing session.
const SESSION_ID: &str = r#""sessionId":"01981d3c-0000-7000-8000-000000000000""#;

pub fn rows() -> Vec<Row> {
    let long_id = "a".repeat(64);
    vec![
        invalid("an empty object", create_session("{}"), "/agentId"),
        invalid("an agent that is null", create_session(r#"{"agentId":null}"#), "/agentId"),
        invalid("an agent that is a number", create_session(r#"{"agentId":7}"#), "/agentId"),
        invalid("an agent that is empty", create_session(r#"{"agentId":""}"#), "/agentId"),
        invalid("an agent in upper case", create_session(r#"{"agentId":"Accounts"}"#), "/agentId"),
        invalid(
            "an agent with a line feed",
            create_session(r#"{"agentId":"accounts_payable\n"}"#),
            "/agentId",
        ),
        invalid(
            "an agent id of 64 letters",
            create_session(format!(r#"{{"agentId":"{long_id}"}}"#)),
            "/agentId",
        ),
        row("an unknown agent", create_session(r#"{"agentId":"unknown"}"#), 422, "agent_unavailable", &[]),
        invalid("an unknown channel", with(r#""channel":"fax""#), "/channel"),
        invalid("a channel that is a list", with(r#""channel":["web"]"#), "/channel"),
        invalid("a channel that is an object", with(r#""channel":{"web":null}"#), "/channel"),
        invalid("an unknown field", with(r#""agent":"x""#), "/agent"),
        invalid(
            "a field in another spelling",
            create_session(r#"{"agent_id":"accounts_payable"}"#),
            "/agent_id",
        ),
        invalid("a workflow", with(r#""workflow":{"id":"wf_x"}"#), "/workflow"),
        invalid("a user", with(r#""userId":"x""#), "/userId"),
        invalid("a field with a slash and a tilde in its name", with(r#""a/b~c":1"#), "/a~1b~0c"),
        invalid("a list instead of an object", create_session("[]"), ""),
        invalid(
            "a list of all fields in order",
            create_session(r#"["accounts_payable","web",{},null,null]"#),
            "",
        ),
        invalid("a string instead of an object", create_session(r#""accounts_payable""#), ""),
        invalid("null instead of an object", create_session("null"), ""),
        invalid("metadata that is a list", with_metadata("[]"), "/metadata"),
        invalid("metadata that is a string", with_metadata(r#""locale""#), "/metadata"),
        invalid(
            "metadata of more than 8 KiB",
            with_metadata(&format!(r#"{{"a":"{}"}}"#, "x".repeat(8185))),
            "/metadata",
        ),
        invalid(
            "metadata whose numbers PostgreSQL writes with 309 digits",
            with_metadata(&huge_numbers(200)),
            "",
        ),
        invalid("a title that is empty", with(r#""title":"""#), "/title"),
        invalid("a title that is a number", with(r#""title":7"#), "/title"),
        invalid("a title of 201 letters", with(&format!(r#""title":"{}""#, "é".repeat(201))), "/title"),
        invalid(
            "a device label of 101 letters",
            with(&format!(r#""deviceLabel":"{}""#, "é".repeat(101))),
            "/deviceLabel",
        ),
        invalid("a title for a refresh", renew(r#","purpose":"refresh","title":"x""#), "/title"),
        invalid(
            "a device label for a refresh",
            renew(r#","purpose":"refresh","deviceLabel":"x""#),
            "/deviceLabel",
        ),
        invalid("a session without a purpose", renew(""), "/purpose"),
        invalid("a purpose without a session", create_session(r#"{"purpose":"resume"}"#), "/sessionId"),
        invalid(
            "a purpose with an agent only",
            create_session(r#"{"purpose":"resume","agentId":"accounts_payable"}"#),
            "/sessionId",
        ),
        invalid("an unknown purpose", renew(r#","purpose":"reopen""#), "/purpose"),
        invalid("a purpose that is an object", renew(r#","purpose":{"resume":null}"#), "/purpose"),
        invalid("a purpose in upper case", renew(r#","purpose":"Resume""#), "/purpose"),
        invalid(
            "a channel for an existing session",
            renew(r#","purpose":"resume","channel":"web""#),
            "/channel",
        ),
        invalid(
            "a malformed session id",
            create_session(r#"{"sessionId":"7","purpose":"resume"}"#),
            "/sessionId",
        ),
        invalid(
            "a session id that is a number",
            create_session(r#"{"sessionId":7,"purpose":"resume"}"#),
            "/sessionId",
        ),
        row("a missing session", renew(r#","purpose":"resume""#), 404, "session_not_found", &[]),
    ]
}

/// An object with numbers of five characters, which PostgreSQL writes with 309 digits.
pub fn huge_numbers(count: usize) -> String {
    format!(r#"{{"n":[{}]}}"#, vec!["1e308"; count].join(","))
}

/// A body with an existing agent and these fields.
fn with(rest: &str) -> TestRequest {
    create_session(format!(r#"{{"agentId":"accounts_payable",{rest}}}"#))
}

fn with_metadata(metadata: &str) -> TestRequest {
    with(&format!(r#""metadata":{metadata}"#))
}

fn renew(rest: &str) -> TestRequest {
    create_session(format!("{{{SESSION_ID}{rest}}}"))
}
