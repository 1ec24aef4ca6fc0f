//! Calls of RPC functions with ids of another tenant in their arguments.

/// A function, its arguments, and the status of the response. `{…}` is an id of the caller, `<…>`
/// an id of another person.
pub const CALLS_WITH_FOREIGN_IDS: &[(&str, &str, u16)] = &[
    (
        "record_chatkit_session",
        r#"{ {session_of_org}, "p_chatkit_request_id": "<pending>",
             "p_chatkit_session_id": "cksess_x", "p_expires_at": "2030-01-01T00:00:00Z",
             "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
        404,
    ),
    (
        "fail_chatkit_session",
        r#"{ {session_of_org}, "p_chatkit_request_id": "<pending>", "p_end_session": true }"#,
        404,
    ),
    (
        "confirm_chatkit_cancelled",
        r#"{ {session_of_org}, "p_chatkit_session_ids": ["<chatkit_session>"] }"#,
        200,
    ),
    (
        "record_events",
        r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "<event>", "type": "thread_changed", "payload": { "threadId": "cthr_<session>" } }] }"#,
        200,
    ),
    (
        "record_events",
        r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "hitl_resolved", "payload": {
               "escalationId": "<ask>", "decision": "approve", "subjectHash": "<subject_hash>" } }] }"#,
        404,
    ),
    (
        "decide_escalation",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{ask}",
             "p_decision": "approve", "p_subject_hash": "{subject_hash}", "p_event_id": "<event>" }"#,
        200,
    ),
    (
        "finish_delivery",
        r#"{ "p_delivery_id": "{running}", "p_fence": <fence>, "p_outcome": { "kind": "completed" } }"#,
        200,
    ),
    ("record_thread_items", r#"{ {session_of_org}, "p_thread_id": "cthr_<session>", "p_items": [] }"#, 404),
    (
        "record_thread_items",
        r#"{ {session_of_org}, "p_thread_id": "cthr_{session}",
             "p_items": [{ "id": "item_<session>", "role": "user", "content": "x" }] }"#,
        200,
    ),
    (
        "record_messages",
        r#"{ {session_of_org},
             "p_messages": [{ "id": "<message>", "role": "user", "content": "x" }] }"#,
        200,
    ),
    (
        "record_tasks",
        r#"{ {session_of_org},
             "p_tasks": [{ "id": "<session>", "title": "x", "status": "running" }] }"#,
        200,
    ),
    // An idempotency key is unique per user.
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{new}", "p_agent_id": "accounts_payable",
             "p_channel": "web", "p_metadata": {}, "p_chatkit_request_id": "{new}", "p_providers": ["openai_hosted"],
             "p_idempotency_key": "<key>", "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "renew_chatkit_session",
        r#"{ {session_of_user}, "p_purpose": "resume", "p_min_life_seconds": 0,
             "p_chatkit_request_id": "{new}", "p_providers": ["openai_hosted"],
             "p_idempotency_key": "<key>", "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "record_events",
        r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}",
             "p_events": [{ "id": "{new}", "type": "button_click", "payload": {} }],
             "p_idempotency_key": "<key>", "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "cancel_session",
        r#"{ {session_of_user}, "p_idempotency_key": "<key>", "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "decide_escalation",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{ask}",
             "p_decision": "approve", "p_subject_hash": "{subject_hash}", "p_idempotency_key": "<key>",
             "p_request_hash": "{hash}" }"#,
        200,
    ),
    (
        "begin_chat_run",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{pending}", "p_request_key": "<key>",
             "p_request_hash": "{hash}", "p_key_is_explicit": true,
             "p_thread_id": "thr_00000000000000000000000000000001", "p_is_new_thread": true, "p_items": [
             { "type": "user_message", "id": "msg_x", "thread_id": "thr_00000000000000000000000000000001",
               "content": [{ "type": "input_text", "text": "Hello" }] }] }"#,
        200,
    ),
    // Threads, items and runs of the self-hosted chat.
    (
        "begin_chat_run",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{new}", "p_request_key": "{new}",
             "p_request_hash": "{hash}", "p_key_is_explicit": true, "p_thread_id": "<thread>",
             "p_is_new_thread": false, "p_items": [] }"#,
        404,
    ),
    (
        "list_chat_items",
        r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "<thread>", "p_limit": 10, "p_descending": true }"#,
        404,
    ),
    (
        "list_chat_items",
        r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}", "p_limit": 10, "p_descending": true,
             "p_after": "<item>" }"#,
        404,
    ),
    (
        "list_chat_threads",
        r#"{ "p_secret_hash": "{chat_secret}", "p_limit": 10, "p_descending": true, "p_after": "<thread>" }"#,
        404,
    ),
    (
        "rename_chat_thread",
        r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "<thread>", "p_title": "x" }"#,
        404,
    ),
    ("delete_chat_thread", r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "<thread>" }"#, 404),
    (
        "record_chat_feedback",
        r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}", "p_item_ids": ["<item>"],
             "p_rating": "positive", "p_feedback_id": "00000000-0000-4000-8000-000000000001" }"#,
        404,
    ),
    (
        "get_chat_card",
        r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}", "p_item_id": "<item>" }"#,
        404,
    ),
    (
        "decide_chat_card",
        r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "<thread>", "p_item_id": "<item>",
             "p_decision": "reject", "p_subject_hash": "<subject_hash>" }"#,
        404,
    ),
    (
        "follow_chat_run",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "<run>", "p_after_chunk_seq": 0 }"#,
        404,
    ),
    (
        "append_chat_run",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "<run>", "p_chunk_seq": 2, "p_events": [] }"#,
        404,
    ),
    (
        "begin_chat_call",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "<run>", "p_call_id": "call_x", "p_tool": "pay",
             "p_inputs": {}, "p_call_item": { "type": "function_call", "id": "call_x" } }"#,
        404,
    ),
    (
        "finish_chat_run",
        r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "<run>", "p_status": "completed", "p_chunk_seq": 2,
             "p_events": [] }"#,
        404,
    ),
    // The id of an agent is unique per organisation.
    (
        "register_agent_server",
        r#"{ "p_org_id": "{org}", "p_agent_id": "<agent>", "p_url": "https://agents.example", "p_tools": [],
             "p_routes": [] }"#,
        422,
    ),
    (
        "finish_delivery",
        r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
             "kind": "completed", "handover": { "agent_id": "<agent>" } } }"#,
        200,
    ),
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{new}", "p_agent_id": "<agent>",
             "p_channel": "web", "p_metadata": {} }"#,
        422,
    ),
    (
        "record_events",
        r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "handover", "payload": { "agentId": "<agent>" } }] }"#,
        422,
    ),
];

/// Ids that are unique in the whole table, and the code that the function returns if the id exists.
/// Only the service generates such ids.
pub const CALLS_WITH_EXISTING_IDS: &[(&str, &str, &str)] = &[
    (
        "open_session",
        r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "<session>",
             "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {} }"#,
        "session_id_taken",
    ),
    (
        "renew_chatkit_session",
        r#"{ {session_of_user}, "p_purpose": "resume", "p_min_life_seconds": 2147483647,
             "p_chatkit_request_id": "<request>", "p_providers": ["openai_hosted"] }"#,
        "chatkit_request_taken",
    ),
    (
        "record_chatkit_session",
        r#"{ {session_of_org}, "p_chatkit_request_id": "{pending}",
             "p_chatkit_session_id": "<chatkit_session>", "p_expires_at": "2030-01-01T00:00:00Z",
             "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
        "chatkit_session_taken",
    ),
    (
        "record_events",
        r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}", "p_events": [
             { "id": "{new}", "type": "hitl_escalation", "escalation_id": "<escalation>",
               "payload": { "reason": "x", "decisions": ["approve"] } }] }"#,
        "escalation_id_taken",
    ),
];
