//! Query parameters and cursors. The pointer of an error is the name of the parameter.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::test_request::{
    get_escalation, list_changes, list_escalations, list_events, list_messages, list_sessions,
};
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
        rows.push(invalid(&format!("a limit of {name}, of events"), list_events(&query), "limit"));
    }
    rows.push(invalid("an unknown sort of events", list_events("?sort=seq"), "sort"));
    rows.push(invalid("a filter of events", list_events("?type=handover"), "type"));
    rows.push(invalid("an unknown scope of changes", list_changes("?scope=everyone"), "scope"));
    rows.push(invalid("a limit of changes", list_changes("?limit=5"), "limit"));
    rows.push(invalid("a cursor of changes in another parameter", list_changes("?cursor=MToxOg"), "cursor"));
    let whole = "?scope=organisation";
    rows.push(row(
        "changes of the organisation, for a member",
        list_changes(whole),
        403,
        "scope_forbidden",
        &[],
    ));
    let escalation = get_escalation();
    let path = format!("{}?include=none", escalation.path);
    rows.push(row("a parameter of an escalation", escalation.path(&path), 404, "escalation_not_found", &[]));
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
    let by_snapshot = [
        ("an empty string", String::new()),
        ("a number", encode("7".to_owned())),
        ("half a snapshot", encode("7:9".to_owned())),
        ("the transaction 0", encode("0:9:".to_owned())),
        ("an end before its start", encode("9:7:".to_owned())),
        ("a running transaction before its start", encode("7:9:6".to_owned())),
        ("running transactions in another order", encode("7:99:20,10".to_owned())),
        ("a snapshot with a space", encode("7: 9:".to_owned())),
        ("more than 63 bits", encode("1:9223372036854775808:".to_owned())),
    ];
    let changes = by_snapshot.iter().map(|(name, since)| {
        row(&format!("since {name}"), list_changes(&format!("?since={since}")), 400, CURSOR, &[])
    });
    let by_order = [
        ("a negative number", "newest.-1"),
        ("a number with a leading zero", "oldest.07"),
        ("an unknown order", "seq.7"),
        ("a position in a list of messages", "7"),
    ];
    let events = by_order.iter().map(|(name, cursor)| {
        let query = format!("?sort=newest&cursor={}", encode((*cursor).to_owned()));
        row(&format!("a cursor of {name}, of events"), list_events(&query), 400, CURSOR, &[])
    });
    let by_escalation = encode(format!("newest.1795341600000000.{id}"));
    let other_orders = [
        invalid(
            "a cursor of another order, of escalations",
            list_escalations(&format!("?cursor={by_escalation}")),
            "cursor",
        ),
        invalid(
            "a cursor of another order, of events",
            list_events(&format!("?cursor={}", encode("newest.7".to_owned()))),
            "cursor",
        ),
    ];
    sessions.chain(messages).chain(changes).chain(events).chain(other_orders).collect()
}
