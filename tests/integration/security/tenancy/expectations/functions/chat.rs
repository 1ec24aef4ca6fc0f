//! The self-hosted chat: threads, items and answers.

use super::{Function, Tenant};

/// The user's answer has ended.
const FINISHED: &str = "update public.chat_runs
    set status = 'completed', finished_at = now(), last_item_seq = 3 where id = '{run}'";

/// The user's message becomes the card of the user's escalation.
const CARD: &str = "update public.chat_messages
    set chatkit_item_id = '{card}', item = item || jsonb_build_object('id', '{card}')
    where chatkit_item_id = '{item}'";

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "begin_chat_run",
        tenant: Tenant::ThreadOfSecret,
        setup: FINISHED,
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{new}", "p_request_key": "{new}",
                   "p_request_hash": "{hash}", "p_key_is_explicit": true, "p_thread_id": "{thread}",
                   "p_is_new_thread": false, "p_items": [
                   { "type": "user_message", "id": "msg_x", "thread_id": "{thread}",
                     "content": [{ "type": "input_text", "text": "And invoice 43?" }] }] }"#,
        response: r#"{ "outcome": "begun", "thread": { "id": "{thread}" }, "question": { "id": "msg_x" },
                     "removed_item_ids": [], "settings": { "session_id": "{chat_session}" },
                     "history": { "items": [{ "id": "{item}" }, {}, {}, { "id": "msg_x" }], "complete": true },
                     "limit": { "limit": 20 } }"#,
        postcondition: "",
    },
    // Another answer stops, in this thread only.
    Function {
        name: "begin_chat_run",
        tenant: Tenant::ThreadOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{new}", "p_request_key": "{new}",
                   "p_request_hash": "{hash}", "p_key_is_explicit": true, "p_thread_id": "{thread}",
                   "p_is_new_thread": false, "p_items": [] }"#,
        response: r#"{ "outcome": "busy" }"#,
        postcondition: "select stop_requested_at is not null from public.chat_runs where id = '{run}'",
    },
    Function {
        name: "append_chat_run",
        tenant: Tenant::RunOfProcess,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{run}", "p_chunk_seq": 2, "p_events": [{}] }"#,
        response: r#"{ "running": true, "stop": false, "has_tokens": true }"#,
        postcondition: "",
    },
    Function {
        name: "begin_chat_call",
        tenant: Tenant::RunOfProcess,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{run}", "p_call_id": "call_x",
                        "p_tool": "none", "p_inputs": {}, "p_call_item": { "type": "function_call", "id": "call_x" } }"#,
        response: r#"{ "outcome": "refused", "error": "tool_unavailable" }"#,
        postcondition: "",
    },
    Function {
        name: "finish_chat_run",
        tenant: Tenant::RunOfProcess,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{run}", "p_status": "completed",
                        "p_chunk_seq": 2, "p_events": [{}] }"#,
        response: r#"{ "finished": true }"#,
        postcondition: "",
    },
    Function {
        name: "follow_chat_run",
        tenant: Tenant::RunOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_run_id": "{run}", "p_after_chunk_seq": 0 }"#,
        response: r#"{ "status": "running", "chunk_seq": 1, "events": [{ "text": "{run}" }] }"#,
        postcondition: "",
    },
    Function {
        name: "list_chat_threads",
        tenant: Tenant::Secret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_limit": 100, "p_descending": true }"#,
        response: r#"{ "rows": [{ "id": "{thread}" }], "more": false }"#,
        postcondition: "",
    },
    Function {
        name: "list_chat_threads",
        tenant: Tenant::ThreadOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_limit": 100, "p_descending": false,
                        "p_after": "{thread}" }"#,
        response: r#"{ "rows": [], "more": false }"#,
        postcondition: "",
    },
    Function {
        name: "list_chat_items",
        tenant: Tenant::ThreadOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}", "p_limit": 100,
                        "p_descending": false }"#,
        response: r#"{ "thread": { "id": "{thread}" }, "rows": [{ "id": "{item}" }, { "id": "msg_{run}" }],
                     "more": false }"#,
        postcondition: "",
    },
    Function {
        name: "get_chat_card",
        tenant: Tenant::ThreadOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}", "p_item_id": "{item}" }"#,
        response: r#"{ "item": { "id": "{item}" }, "escalation_id": null, "assurance": { "aal": null } }"#,
        postcondition: "",
    },
    // The item shows the user's escalation.
    Function {
        name: "decide_chat_card",
        tenant: Tenant::ThreadOfSecret,
        setup: CARD,
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}",
                        "p_item_id": "{card}", "p_decision": "reject", "p_subject_hash": "{subject_hash}" }"#,
        response: r#"{ "escalation": { "id": "{ask}", "decision": "reject" }, "replayed": false }"#,
        postcondition: "select status = 'resolved' from public.chat_escalations where id = '{ask}'",
    },
    Function {
        name: "rename_chat_thread",
        tenant: Tenant::ThreadOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}", "p_title": "Invoices" }"#,
        response: r#"{ "thread": { "id": "{thread}", "title": "Invoices" } }"#,
        postcondition: "",
    },
    Function {
        name: "delete_chat_thread",
        tenant: Tenant::ThreadOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}" }"#,
        response: "{}",
        postcondition: "select t.hidden_at is not null and r.stop_requested_at is not null
                from public.chat_threads as t join public.chat_runs as r on r.thread_id = t.id
                where t.id = '{thread}'",
    },
    Function {
        name: "record_chat_feedback",
        tenant: Tenant::ThreadOfSecret,
        setup: "",
        arguments: r#"{ "p_secret_hash": "{chat_secret}", "p_thread_id": "{thread}",
                        "p_item_ids": ["msg_{run}"], "p_rating": "positive", "p_feedback_id": "{run}" }"#,
        response: "{}",
        postcondition: "select count(*) = 1 from public.chat_events
                where session_id = '{chat_session}' and type = 'feedback'",
    },
    Function {
        name: "stop_response",
        tenant: Tenant::SessionOfPerson,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_session_id": "{chat_session}" }"#,
        response: r#"{ "session": { "id": "{chat_session}" }, "stopping": 1 }"#,
        postcondition: "select stop_requested_at is not null from public.chat_runs where id = '{run}'",
    },
];
