//! The RPC calls that create the rows of each person, and the agent servers.

/// A row in every table. [`super::person::Person::fill`] replaces the placeholders.
pub const SEED_CALLS: &[(&str, &str)] = &[
    // Every person uses the same first key.
    (
        "open_session",
        r#"{ {session_of_user}, "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {},
             "p_chatkit_request_id": "{request}", "p_providers": ["openai_hosted"], "p_idempotency_key": "1",
             "p_request_hash": "{hash}" }"#,
    ),
    (
        "record_chatkit_session",
        r#"{ {session_of_org}, "p_chatkit_request_id": "{request}",
             "p_chatkit_session_id": "{chatkit_session}", "p_expires_at": "2030-01-01T00:00:00Z",
             "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
    ),
    // Never completed, so the key stays leased for a day.
    (
        "renew_chatkit_session",
        r#"{ {session_of_user}, "p_purpose": "refresh", "p_min_life_seconds": 2147483647,
             "p_chatkit_request_id": "{pending}", "p_providers": ["openai_hosted"],
             "p_idempotency_key": "{key}", "p_request_hash": "{hash}", "p_lease_seconds": 86400 }"#,
    ),
    (
        "record_events",
        r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "thread_changed", "payload": { "threadId": "cthr_{session}" } },
             { "id": "{event}", "type": "hitl_escalation", "escalation_id": "{escalation}",
               "payload": { "reason": "above 10 000 EUR", "decisions": ["approve", "reject"] } } ],
             "p_idempotency_key": "{key}", "p_request_hash": "{hash}" }"#,
    ),
    (
        "record_messages",
        r#"{ {session_of_org},
             "p_messages": [{ "id": "{message}", "role": "user", "content": "Pay invoice 42" }] }"#,
    ),
    (
        "record_thread_items",
        r#"{ {session_of_org}, "p_thread_id": "cthr_{session}",
             "p_items": [{ "id": "item_{session}", "role": "agent", "content": "Paid" }] }"#,
    ),
    (
        "record_tasks",
        r#"{ {session_of_org},
             "p_tasks": [{ "id": "pay-42", "title": "Pay invoice 42", "status": "running" }] }"#,
    ),
    // The escalation prevents the first session from becoming idle, so only this one is due.
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{idle_session}",
             "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {} }"#,
    ),
    // The session that has ended.
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{ended_session}",
             "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {} }"#,
    ),
    (
        "record_events",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{ended_session}",
             "p_actor_type": "agent", "p_events": [
             { "id": "{new}", "type": "thread_changed", "payload": { "threadId": "cthr_{ended_session}" } }] }"#,
    ),
    (
        "cancel_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{ended_session}" }"#,
    ),
    // The session of the self-hosted chat. Its answer is running, under the key that the person
    // uses elsewhere, too.
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{chat_session}",
             "p_agent_id": "treasury_chat", "p_channel": "web", "p_metadata": {},
             "p_chatkit_request_id": "{chat_request}", "p_providers": ["self_hosted"] }"#,
    ),
    (
        "record_chatkit_session",
        r#"{ "p_org_id": "{org}", "p_session_id": "{chat_session}", "p_chatkit_request_id": "{chat_request}",
             "p_chatkit_session_id": "cksess_{chat_session}", "p_expires_at": "2030-01-01T00:00:00Z",
             "p_sealed_secret": "sealed", "p_sealing_key_id": "k1", "p_secret_hash": "{chat_secret}" }"#,
    ),
    (
        "begin_chat_run",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{run}", "p_request_key": "{key}",
             "p_request_hash": "{hash}", "p_key_is_explicit": true, "p_thread_id": "{thread}",
             "p_is_new_thread": true, "p_title": "Pay invoice 42", "p_items": [
             { "type": "user_message", "id": "{item}", "thread_id": "{thread}",
               "content": [{ "type": "input_text", "text": "Pay invoice 42" }] }],
             "p_lease_seconds": 86400 }"#,
    ),
    (
        "append_chat_run",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{run}", "p_chunk_seq": 1,
             "p_events": [{ "type": "progress_update", "text": "{run}" }], "p_items": [
             { "type": "reasoning", "id": "rs_{run}", "summary": "Invoice 42" },
             { "type": "assistant_message", "id": "msg_{run}", "thread_id": "{thread}",
               "content": [{ "type": "output_text", "text": "Paid" }] }],
             "p_lease_seconds": 86400 }"#,
    ),
    // The deliveries: dead, asked, running and waiting.
    (
        "record_events",
        r#"{ {session_of_user}, "p_actor_type": "agent", "p_events": [
             { "id": "{new}", "type": "custom_failed", "payload": {} },
             { "id": "{new}", "type": "custom_asked", "payload": { "amount": 7 } },
             { "id": "{new}", "type": "custom_running", "payload": { "amount": 8 } },
             { "id": "{new}", "type": "custom_waiting", "payload": {} } ] }"#,
    ),
];

pub const SESSIONS_PER_PERSON: usize = 4;

/// The agent server of both organisations while the rows are created.
pub const AGENT_SERVERS: &[&str] = &[r#"{
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

/// The agent servers of the other organisation afterwards.
pub const OTHER_ORG_AGENT_SERVERS: &[&str] = &[
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

/// The result of an agent's first call.
pub const ASK_OUTCOME: &str = r#"{
    "kind": "ask", "request_state": { "step": 1 },
    "ask": { "reason": "Which account?", "decisions": ["approve", "respond"], "risk": "low", "approver": "self" }
}"#;
