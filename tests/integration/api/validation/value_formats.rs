//! Nonstandard formats of numbers, times and ids, in every field and parameter of the type.

use serde_json::json;
use uuid::Uuid;

use super::test_request::{
    create_session, get_metrics, get_session, list_agents, list_escalations, list_events, list_messages,
    list_sessions, record_events,
};
use super::{Row, invalid, row};

/// Not permitted by RFC 3339.
const TIMES: &[&str] = &[
    "",
    "2026-11-22",
    "2026-11-22T10:00Z",
    "2026-11-22T10:00:00",
    "2026-11-22 10:00:00Z",
    "2026-11-22T24:00:00Z",
    "2026-11-22T10:00:60Z",
    "2026-02-30T10:00:00Z",
    "+002026-11-22T10:00:00Z",
    "2026-11-22T10:00:00.Z",
    "2026-11-22T10:00:00,5Z",
    "2026-11-22T10:00:00+01",
    "2026-11-22T10:00:00+0100",
    "2026-11-22T10:00:00+24:00",
    "2026-11-22T10:00:00Z[UTC]",
    "20261122T100000Z",
    "2026-W47-7T10:00:00Z",
    "1795341600",
    "infinity",
];

/// Not the canonical form of an integer.
const INTEGERS: &[&str] =
    &["", "+5", "05", "00", "5.0", "5e1", "-0", " 5", "5 ", "0x5", "5_0", "\u{ff15}", "1e400"];

/// Not the canonical form of a UUID.
const IDS: &[&str] = &[
    "01981d3c000070008000000000000000",
    "{01981d3c-0000-7000-8000-000000000000}",
    "urn:uuid:01981d3c-0000-7000-8000-000000000000",
    "01981d3c-0000-7000-8000-00000000000g",
    "01981d3c-00007-000-8000-000000000000",
    "01981d3c-0000-7000-8000-000000000000 ",
];

pub fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for time in TIMES {
        let event = json!({ "id": Uuid::new_v4(), "type": "custom_t", "occurredAt": time });
        rows.push(invalid(&format!("{time:?} in an event"), record_events(event.to_string()), "/occurredAt"));
        for name in ["from", "to"] {
            let query = format!("?{name}={}", percent_encode(time));
            rows.push(invalid(&format!("{time:?} in {name}"), get_metrics(&query), name));
        }
    }
    for integer in INTEGERS {
        let query = |name: &str| format!("?{name}={}", percent_encode(integer));
        for (place, request) in [
            ("of sessions", list_sessions(&query("limit"))),
            ("of messages", list_messages(&query("limit"))),
            ("of events", list_events(&query("limit"))),
            ("of escalations", list_escalations(&query("limit"))),
            ("of agents", list_agents().path(&format!("/chatkit/agents{}", query("limit")))),
        ] {
            rows.push(invalid(&format!("{integer:?} {place}"), request, "limit"));
        }
        let name = "serviceLevelSeconds";
        rows.push(invalid(&format!("{integer:?} of metrics"), get_metrics(&query(name)), name));
    }
    for id in IDS {
        rows.push(row(
            &format!("{id:?} in a path"),
            get_session().session_id(&percent_encode(id)),
            400,
            "malformed_id",
            &[],
        ));
        let event = json!({ "id": id, "type": "custom_x" });
        rows.push(invalid(&format!("{id:?} of an event"), record_events(event.to_string()), "/id"));
        let decision = json!({ "id": Uuid::new_v4(), "type": "hitl_resolved",
            "payload": { "escalationId": id, "decision": "approve", "subjectHash": "ab".repeat(32) } });
        let place = "/payload/escalationId";
        rows.push(invalid(&format!("{id:?} of an escalation"), record_events(decision.to_string()), place));
        let resume = json!({ "sessionId": id, "purpose": "resume" });
        rows.push(invalid(&format!("{id:?} of a session"), create_session(resume.to_string()), "/sessionId"));
    }
    for value in ["%", "%4", "%zz", "%FF", "%ED%A0%80"] {
        rows.push(invalid(
            &format!("{value} in a query"),
            list_sessions(&format!("?agentId={value}")),
            "agentId",
        ));
    }
    rows
}

fn percent_encode(value: &str) -> String {
    value.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
