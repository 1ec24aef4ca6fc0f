//! What users set going: sessions, secrets, events; and the registry that they rest on.

use super::{Function, Tenant};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "register_agent",
        tenant: Tenant::Organisation,
        before: "",
        // Another timeout than it had, which moves the checks of its sessions.
        call: r#"{ "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_display_name": "Payables",
                   "p_description": "", "p_chatkit_workflow_id": "wf_2", "p_idle_timeout_seconds": 3600 }"#,
        answer: r#"{ "agent": { "org_id": "{org}", "idle_timeout_seconds": 3600 } }"#,
        after: "",
    },
    Function {
        name: "set_org_limits",
        tenant: Tenant::Organisation,
        before: "",
        call: r#"{ "p_org_id": "{org}", "p_secrets_per_minute_user": 50 }"#,
        answer: r#"{ "limits": { "org_id": "{org}", "secrets_per_minute_user": 50, "secrets_per_minute_session": 20,
                                 "events_per_minute_user": 600, "events_per_minute_session": 300 } }"#,
        after: "",
    },
    Function {
        name: "open_session",
        tenant: Tenant::Person,
        before: "",
        call: r#"{ {the user's session}, "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {},
                   "p_chatkit_request_id": "{new}", "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        answer: r#"{ "session": { "id": "{session}" }, "live": null, "replayed": false, "limit": { "limit": 1000 } }"#,
        after: "",
    },
    Function {
        name: "renew_chatkit_session",
        tenant: Tenant::SessionOfPerson,
        // The user has no secret at hand, some others do, and the rest have one that ran out. All others are just asking for one.
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null
                 where session_id = '{session}';
                 update public.chatkit_sessions set expires_at = now() - interval '1 hour'
                 where org_id <> '{org}' and sealed_secret is not null;
                 update public.chatkit_sessions set recorded_at = now() - interval '1 minute'
                 where recorded_at is not null;
                 update public.chatkit_sessions
                 set requested_at = now() - case when session_id = '{session}' then interval '1 hour' else '0' end
                 where recorded_at is null",
        call: r#"{ {the user's session}, "p_purpose": "refresh", "p_rejected": true, "p_min_life_seconds": 60,
                   "p_chatkit_request_id": "{new}", "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        answer: r#"{ "session": { "id": "{session}" }, "live": null, "replayed": false, "limit": { "limit": 1000 } }"#,
        after: "",
    },
    Function {
        name: "record_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session}, "p_chatkit_request_id": "{pending}",
                   "p_chatkit_session_id": "cksess_{new}", "p_expires_at": "2030-01-01T00:00:00Z",
                   "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
        answer: r#"{ "recorded": true, "session": { "id": "{session}" } }"#,
        after: "",
    },
    Function {
        name: "fail_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        // The opening's own request failed already, so this one was the user's last chance to get in. Others have one yet.
        before:
            "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null, failed_at = now()
                 where id = '{request}'",
        call: r#"{ {the organisation's session}, "p_chatkit_request_id": "{pending}", "p_end_session": true }"#,
        answer: r#"{ "session": { "id": "{session}", "end_reason": "failed" } }"#,
        after: "",
    },
    Function {
        name: "cancel_session",
        tenant: Tenant::SessionOfPerson,
        // No call is under way, so that the session's queue becomes empty.
        before: "update public.deliveries set status = 'done', lease_until = null, finished_at = now()
                 where id = '{running}'",
        call: r#"{ {the user's session}, "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        answer: r#"{ "session": { "id": "{session}" }, "live_chatkit_session_ids": ["{upstream}"] }"#,
        after: "",
    },
    Function {
        name: "confirm_chatkit_cancelled",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session}, "p_chatkit_session_ids": ["{upstream}"] }"#,
        answer: "{}",
        after: "",
    },
    Function {
        name: "record_events",
        tenant: Tenant::SessionOfPerson,
        // An agent of the same name is switched off elsewhere, others' sessions are with another one and their queues longer. The
        // user may use both agents.
        before:
            "update public.agents set allowed_org_roles = null where org_id = '{org}';
                 update public.agents set enabled = false where org_id <> '{org}' and id = 'accounts_payable';
                 update public.chat_sessions set agent_id = 'cfo_strategy'
                 where (org_id, user_id) <> ('{org}', '{user}') and status = 'active';
                 update public.deliveries set seq = seq + 1000 where (org_id, user_id) <> ('{org}', '{user}')",
        call: r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}",
                   "p_events": [{ "id": "{new}", "type": "button_click", "payload": {} }] }"#,
        answer: r#"{ "events": [{ "actor_id": "{user}" }], "live_chatkit_session_ids": [], "limit": { "limit": 1000 } }"#,
        after: "select string_agg(concat_ws(' ', seq, agent_id, tool), ', ') = '5 accounts_payable note'
                from public.deliveries where session_id = '{session}' and seq > 4",
    },
    Function {
        name: "record_messages",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session},
                   "p_messages": [{ "id": "{new}", "role": "agent", "content": "Paid" }] }"#,
        answer: r#"{ "messages": [{}] }"#,
        after: "",
    },
    Function {
        name: "record_tasks",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session},
                   "p_tasks": [{ "id": "{new}", "title": "Pay", "status": "running" }] }"#,
        answer: r#"{ "tasks": [{ "title": "Pay" }] }"#,
        after: "",
    },
];
