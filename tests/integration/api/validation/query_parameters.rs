//! Query parameters and cursors. A pointer is the name of a parameter there.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::request_builder::{messages, sessions};
use super::{Row, invalid, row};

const CURSOR: &str = "malformed_cursor";

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        invalid("an unknown parameter", sessions("?page=2"), "page"),
        invalid("a parameter in another spelling", sessions("?agent_id=accounts_payable"), "agent_id"),
        invalid("an unknown status", sessions("?status=open"), "status"),
        invalid("an unknown scope", sessions("?scope=everybody"), "scope"),
        row("the organisation's, for a member", sessions("?scope=organisation"), 403, "scope_forbidden", &[]),
        invalid("an agent that no agent can be", sessions("?agentId=The%20CFO"), "agentId"),
        invalid("a null character", sessions("?agentId=%00"), "agentId"),
        invalid("bytes that are no text", sessions("?agentId=%FF"), "agentId"),
        invalid("a filter in an agent's place", sessions("?agentId=neq.accounts_payable"), "agentId"),
        invalid("a filter of PostgREST's own", sessions("?user_id=neq.x"), "user_id"),
    ];
    for (name, limit) in [
        ("none at all", "0"),
        ("more than a hundred", "101"),
        ("less than none", "-1"),
        ("a half", "1.5"),
        ("more than any number", "99999999999999999999"),
        ("no number", "ten"),
        ("nothing", ""),
    ] {
        let query = format!("?limit={limit}");
        rows.push(invalid(&format!("a limit of {name}"), sessions(&query), "limit"));
        rows.push(invalid(&format!("a limit of {name}, of messages"), messages(&query), "limit"));
    }
    rows.push(invalid("a limit given twice", sessions("?limit=5&limit=6"), "limit"));
    rows.push(invalid("a parameter of another list", messages("?status=active"), "status"));
    rows.extend(cursors());
    rows
}

fn cursors() -> Vec<Row> {
    let id = "01981d3c-0000-7000-8000-000000000000";
    let of = |text: String| URL_SAFE_NO_PAD.encode(text);
    let by_time = [
        ("nothing", String::new()),
        ("no base64", "!!!".to_owned()),
        ("base64 of nothing", "AAAA".to_owned()),
        ("padded base64", format!("{}==", of(format!("1795341600000000.{id}")))),
        ("no id", of("1795341600000000.x".to_owned())),
        ("no time", of(format!("yesterday.{id}"))),
        ("a time that no calendar has", of(format!("9223372036854775807.{id}"))),
        ("a time that no database has", of(format!("-377705000000000000.{id}"))),
        ("a time with a plus sign", of(format!("+1795341600000000.{id}"))),
        ("a time with a zero in front", of(format!("01795341600000000.{id}"))),
        ("an id without hyphens", of("1795341600000000.01981d3c000070008000000000000000".to_owned())),
        ("an id in braces", of(format!("1795341600000000.{{{id}}}"))),
        ("another filter behind its id", of(format!("1795341600000000.{id},status.eq.ended"))),
        ("a place in a list of messages", of("7".to_owned())),
    ];
    let by_number = [
        ("nothing", String::new()),
        ("less than none", of("-1".to_owned())),
        ("more than any number", of("9223372036854775808".to_owned())),
        ("a number with a plus sign", of("+7".to_owned())),
        ("a number with a zero in front", of("07".to_owned())),
        // One byte, `7`, whose last four bits are not zero.
        ("bits left over", "Nx".to_owned()),
        ("a place in a list of sessions", of(format!("1795341600000000.{id}"))),
    ];
    let sessions = by_time.iter().map(|(name, cursor)| {
        row(&format!("a cursor of {name}"), sessions(&format!("?cursor={cursor}")), 400, CURSOR, &[])
    });
    let messages = by_number.iter().map(|(name, cursor)| {
        row(
            &format!("a cursor of {name}, of messages"),
            messages(&format!("?cursor={cursor}")),
            400,
            CURSOR,
            &[],
        )
    });
    sessions.chain(messages).collect()
}
