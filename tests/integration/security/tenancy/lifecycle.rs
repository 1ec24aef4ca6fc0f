//! What has happened to everybody before anything is tried, as calls of the RPC functions.

/// What leaves a row in every table.
pub const LIFE: &[(&str, &str)] = &[
    // Everybody's first key is the same.
    (
        "open_session",
        r#"{ {the user's session}, "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {},
             "p_chatkit_request_id": "{request}", "p_idempotency_key": "1", "p_request_hash": "{hash}" }"#,
    ),
    (
        "record_chatkit_session",
        r#"{ {the organisation's session}, "p_chatkit_request_id": "{request}",
             "p_chatkit_session_id": "{upstream}", "p_expires_at": "2030-01-01T00:00:00Z",
             "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
    ),
    // Nobody finishes this one, so its key is held all day.
    (
        "renew_chatkit_session",
        r#"{ {the user's session}, "p_purpose": "refresh", "p_min_life_seconds": 2147483647,
             "p_chatkit_request_id": "{pending}", "p_idempotency_key": "{key}", "p_request_hash": "{hash}",
             "p_lease_seconds": 86400 }"#,
    ),
    (
        "record_events",
        r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "thread_changed", "payload": { "threadId": "cthr_{session}" } },
             { "id": "{event}", "type": "hitl_escalation", "escalation_id": "{escalation}",
               "payload": { "reason": "above 10 000 EUR", "decisions": ["approve", "reject"] } } ],
             "p_idempotency_key": "{key}", "p_request_hash": "{hash}" }"#,
    ),
    (
        "record_messages",
        r#"{ {the organisation's session},
             "p_messages": [{ "id": "{message}", "role": "user", "content": "Pay invoice 42" }] }"#,
    ),
    (
        "record_thread_items",
        r#"{ {the organisation's session}, "p_thread_id": "cthr_{session}",
             "p_items": [{ "id": "item_{session}", "role": "agent", "content": "Paid" }] }"#,
    ),
    (
        "record_tasks",
        r#"{ {the organisation's session},
             "p_tasks": [{ "id": "pay-42", "title": "Pay invoice 42", "status": "running" }] }"#,
    ),
    // The escalation keeps the other session from becoming idle, so only this one is checked.
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{quiet}",
             "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {} }"#,
    ),
    // One that has ended.
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{over}",
             "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {} }"#,
    ),
    (
        "record_events",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{over}", "p_actor_type": "agent",
             "p_events": [
             { "id": "{new}", "type": "thread_changed", "payload": { "threadId": "cthr_{over}" } }] }"#,
    ),
    ("cancel_session", r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{over}" }"#),
    // What agents are told: it fails, is asked about, is under way, and waits.
    (
        "record_events",
        r#"{ {the user's session}, "p_actor_type": "agent", "p_events": [
             { "id": "{new}", "type": "custom_failed", "payload": {} },
             { "id": "{new}", "type": "custom_asked", "payload": { "amount": 7 } },
             { "id": "{new}", "type": "custom_running", "payload": { "amount": 8 } },
             { "id": "{new}", "type": "custom_waiting", "payload": {} } ] }"#,
    ),
];

/// How many sessions each of them has.
pub const SESSIONS_EACH: usize = 3;

/// Agents' servers: on the same terms in both organisations while everybody moves in,
pub const SERVERS: &[&str] = &[r#"{
    "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_url": "https://agents.example/here",
    "p_tools": [
        { "name": "pay", "policy": "auto", "amount_pointer": "/amount", "risk": "low", "approver": "self" },
        { "name": "note", "policy": "auto" },
        { "name": "order", "policy": "auto" }, { "name": "forbidden", "policy": "never" } ],
    "p_routes": [
        { "tool": "forbidden", "event_type": "custom_failed" },
        { "tool": "pay", "event_type": "custom_asked" },
        { "tool": "pay", "event_type": "custom_running" },
        { "tool": "pay", "event_type": "custom_waiting" },
        { "tool": "note", "event_type": "button_click" },
        { "tool": "order", "event_type": "button_click", "session_agent_id": "cfo_strategy" },
        { "tool": "note", "event_type": "agent_follow_up" } ]
}"#];

/// and on others elsewhere then, where another agent has a server too.
pub const SERVERS_ELSEWHERE: &[&str] = &[
    r#"{
        "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_url": "https://agents.example/elsewhere",
        "p_tools": [{ "name": "pay", "policy": "never", "idempotent": true }],
        "p_routes": [{ "tool": "pay", "event_type": "custom_running" }],
        "p_timeout_seconds": 7, "p_max_attempts": 1
    }"#,
    r#"{
        "p_org_id": "{org}", "p_agent_id": "cfo_strategy", "p_url": "https://agents.example/elsewhere",
        "p_tools": [{ "name": "note", "policy": "auto" }],
        "p_routes": [
            { "tool": "note", "event_type": "button_click" }, { "tool": "note", "event_type": "agent_follow_up" } ]
    }"#,
];

/// What the agents answer to their first call.
pub const ASKS: &str = r#"{
    "kind": "ask", "request_state": { "step": 1 },
    "ask": { "reason": "Which account?", "decisions": ["approve", "respond"], "risk": "low", "approver": "self" }
}"#;
