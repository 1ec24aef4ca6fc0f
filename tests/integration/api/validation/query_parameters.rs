//! Query parameters and cursors. The pointer of an error is the name of the parameter.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::test_request::{list_messages, list_sessions};
use super::{Row, invalid, row};

const CURSOR: &str = "malformed_cursor";

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        invalid("an unknown parameter", list_sessions("?page=2"), "page"),
        invalid("a parameter in another spelling", list_sessions("?agent_id=accounts_payable"), "agent_id"),
        invalid("an unknown status", list_sessions("?status=open"), "status"),
        invalid("an unknown scope", list_sessions("?scope=everyone"), "scope"),
        row(
            "the scope of the organisation, for a member",
            list_sessions("?scope=organisation"),
            403,
            "scope_forbidden",
            &[],
        ),
        invalid("a malformed agent", list_sessions("?agentId=The%20CFO"), "agentId"),
        invalid("a null character", list_sessions("?agentId=%00"), "agentId"),
        invalid("bytes that are not UTF-8", list_sessions("?agentId=%FF"), "agentId"),
        invalid(
            "a filter of PostgREST as an agent",
            list_sessions("?agentId=neq.accounts_payable"),
            "agentId",
        ),
        invalid("a filter of PostgREST", list_sessions("?user_id=neq.x"), "user_id"),
    ];
    for (name, limit) in [
        ("zero", "0"),
        ("101", "101"),
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("more than 64 bits", "99999999999999999999"),
        ("a word", "ten"),
        ("an empty string", ""),
    ] {
        let query = format!("?limit={limit}");
        rows.push(invalid(&format!("a limit of {name}"), list_sessions(&query), "limit"));
        rows.push(invalid(&format!("a limit of {name}, of messages"), list_messages(&query), "limit"));
    }
    rows.push(invalid("a limit given twice", list_sessions("?limit=5&limit=6"), "limit"));
    rows.push(invalid("a kind of messages", list_messages("?kinds=widget"), "kinds"));
    rows.push(invalid("no kind of messages", list_messages("?kinds="), "kinds"));
    rows.push(invalid("a parameter of another list", list_messages("?status=active"), "status"));
    rows.extend(cursors());
    rows
}

fn cursors() -> Vec<Row> {
    let id = "01981d3c-0000-7000-8000-000000000000";
    let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
    let by_time = [
        ("an empty string", String::new()),
        ("invalid base64", "!!!".to_owned()),
        ("base64 of zero bytes", "AAAA".to_owned()),
        ("padded base64", format!("{}==", encode(format!("1795341600000000.{id}")))),
        ("a malformed id", encode("1795341600000000.x".to_owned())),
        ("a malformed time", encode(format!("yesterday.{id}"))),
        ("a time beyond the calendar", encode(format!("9223372036854775807.{id}"))),
        ("a time beyond PostgreSQL's range", encode(format!("-377705000000000000.{id}"))),
        ("a time with a plus sign", encode(format!("+1795341600000000.{id}"))),
        ("a time with a leading zero", encode(format!("01795341600000000.{id}"))),
        ("an id without hyphens", encode("1795341600000000.01981d3c000070008000000000000000".to_owned())),
        ("an id in braces", encode(format!("1795341600000000.{{{id}}}"))),
        ("a filter after the id", encode(format!("1795341600000000.{id},status.eq.ended"))),
        ("a position in a list of messages", encode("7".to_owned())),
    ];
    let by_number = [
        ("an empty string", String::new()),
        ("a negative number", encode("-1".to_owned())),
        ("more than 63 bits", encode("9223372036854775808".to_owned())),
        ("a number with a plus sign", encode("+7".to_owned())),
        ("a number with a leading zero", encode("07".to_owned())),
        // One byte, `7`, whose last four bits are not zero.
        ("bits left over", "Nx".to_owned()),
        ("a position in a list of sessions", encode(format!("1795341600000000.{id}"))),
    ];
    let sessions = by_time.iter().map(|(name, cursor)| {
        row(&format!("a cursor of {name}"), list_sessions(&format!("?cursor={cursor}")), 400, CURSOR, &[])
    });
    let messages = by_number.iter().map(|(name, cursor)| {
        row(
            &format!("a cursor of {name}, of messages"),
            list_messages(&format!("?cursor={cursor}")),
            400,
            CURSOR,
            &[],
        )
    });
    sessions.chain(messages).collect()
}
