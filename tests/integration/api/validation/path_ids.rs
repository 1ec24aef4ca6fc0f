//! Ids in paths. A path id is read the same way at both doors.

use super::request_builder::{Ask, cancel, messages, read, record};
use super::{Row, row};

const CLICK: &str =
    r#"{"id":"3f0c7f4e-58b5-4d3a-9a53-0d3f6c1f2b11","type":"button_click","payload":{"action":"a"}}"#;

pub fn rows() -> Vec<Row> {
    let everywhere = |name: &str, id: &str, status: u16, code: &'static str| {
        let each: [(&str, Ask); 4] =
            [("read", read()), ("messages", messages("")), ("cancel", cancel()), ("events", record(CLICK))];
        each.map(|(what, ask)| row(&format!("{name}: {what}"), ask.id(id), status, code, &[]))
    };
    let at_read = |name: &str, id: &str| row(name, read().id(id), 400, "malformed_id", &[]);
    let mut rows = vec![
        at_read("an id without hyphens", "01981d3c000070008000000000000000"),
        at_read("an id in braces", "%7B01981d3c-0000-7000-8000-000000000000%7D"),
        at_read("an id with its scheme", "urn:uuid:01981d3c-0000-7000-8000-000000000000"),
        at_read("an id with one letter too many", "01981d3c-0000-7000-8000-0000000000000"),
        at_read("an id of 36 letters that is none", "zzzzzzzz-0000-7000-8000-000000000000"),
        at_read("an id of 36 bytes that is none", "%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9%C3%A9"),
        at_read("an id with a null character", "01981d3c-0000-7000-8000-00000000000%00"),
        at_read("an id that goes up", "%2e%2e%2fagents"),
        at_read("an id with a quote", "x'%20or%20'1'='1"),
        at_read("a filter of PostgREST's", "neq.01981d3c-0000-7000-8000-000000000000"),
        at_read("an id that looks like a list", "(01981d3c-0000-7000-8000-000000000000)"),
    ];
    rows.extend(everywhere("a number", "7", 400, "malformed_id"));
    rows.extend(everywhere("nobody's", "01981d3c-0000-7000-8000-000000000000", 404, "session_not_found"));
    rows.extend(everywhere("nought", "00000000-0000-0000-0000-000000000000", 404, "session_not_found"));
    rows
}
