use super::test_request::{
    TestRequest, cancel_session, claim_escalation, get_escalation, get_session, list_events, list_messages,
    record_events, release_escalation, stop_response,
};
use super::{Row, row};

const CLICK: &str =
    r#"{"id":"3f0c7f4e-58b5-4d3a-9a53-0d3f6c1f2b11","type":"button_click","payload":{"action":"a"}}"#;

pub fn rows() -> Vec<Row> {
    let at_every_endpoint = |name: &str, id: &str, status: u16, code: &'static str| {
        let requests: [(&str, TestRequest); 6] = [
            ("read", get_session()),
            ("list of events", list_events("")),
            ("messages", list_messages("")),
            ("cancel", cancel_session()),
            ("stop", stop_response()),
            ("events", record_events(CLICK)),
        ];
        requests
            .map(|(what, request)| row(&format!("{name}: {what}"), request.session_id(id), status, code, &[]))
    };
    let at_every_escalation = |name: &str, id: &str, status: u16, code: &'static str| {
        [("read", get_escalation()), ("claim", claim_escalation()), ("release", release_escalation())].map(
            |(what, request)| {
                let name = format!("{name} of an escalation: {what}");
                row(&name, request.escalation_id(id), status, code, &[])
            },
        )
    };
    let at_get_session =
        |name: &str, id: &str| row(name, get_session().session_id(id), 400, "malformed_id", &[]);
    let mut rows = vec![
        at_get_session("an id without hyphens", "01981d3c000070008000000000000000"),
        at_get_session("an id in braces", "%7B01981d3c-0000-7000-8000-000000000000%7D"),
        at_get_session("an id with its scheme", "urn:uuid:01981d3c-0000-7000-8000-000000000000"),
        at_get_session("an id with one letter too many", "01981d3c-0000-7000-8000-0000000000000"),
        at_get_session("36 letters", "zzzzzzzz-0000-7000-8000-000000000000"),
        at_get_session("36 bytes", "%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9"),
        at_get_session("an id with a null character", "01981d3c-0000-7000-8000-00000000000%00"),
        at_get_session("a path to the parent", "%2e%2e%2fagents"),
        at_get_session("an id with a quote", "x'%20or%20'1'='1"),
        at_get_session("a filter of PostgREST", "neq.01981d3c-0000-7000-8000-000000000000"),
        at_get_session("an id in parentheses", "(01981d3c-0000-7000-8000-000000000000)"),
    ];
    rows.extend(at_every_endpoint("a number", "7", 400, "malformed_id"));
    rows.extend(at_every_endpoint(
        "an unknown id",
        "01981d3c-0000-7000-8000-000000000000",
        404,
        "session_not_found",
    ));
    rows.extend(at_every_endpoint(
        "the nil UUID",
        "00000000-0000-0000-0000-000000000000",
        404,
        "session_not_found",
    ));
    for id in ["7", "01981d3c000070008000000000000000", "%7B01981d3c-0000-7000-8000-000000000000%7D"] {
        rows.extend(at_every_escalation(id, id, 400, "malformed_id"));
    }
    for id in ["01981d3c-0000-7000-8000-000000000000", "00000000-0000-0000-0000-000000000000"] {
        rows.extend(at_every_escalation(id, id, 404, "escalation_not_found"));
    }
    rows
}
