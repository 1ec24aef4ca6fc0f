//! Sessions, client secrets and events, and the registry of agents.

use super::{Function, Tenant};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "register_agent",
        tenant: Tenant::Organisation,
        setup: "",
        // A different timeout moves the idle checks of the agent's sessions.
        arguments: r#"{ "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_display_name": "Payables",
                   "p_description": "", "p_chatkit_workflow_id": "wf_2", "p_idle_timeout_seconds": 3600 }"#,
        response: r#"{ "agent": { "org_id": "{org}", "idle_timeout_seconds": 3600 } }"#,
        postcondition: "",
    },
    Function {
        name: "list_registrations",
        tenant: Tenant::Organisation,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_limit": 10 }"#,
        response: r#"{ "agents": [
                         { "id": "accounts_payable", "server": {
                             "url": "https://agents.example/here", "tools": [{}, {}, {}, {}],
                             "routes": [{}, {}, {}, {}, {}, {}, {}] } },
                         { "id": "cfo_strategy", "server": null },
                         { "id": "regulatory_filings", "server": null },
                         { "id": "treasury_chat", "server": null } ],
                       "next": null }"#,
        postcondition: "",
    },
    Function {
        name: "set_org_limits",
        tenant: Tenant::Organisation,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_secrets_per_minute_user": 50, "p_reset": ["events_per_minute_user"] }"#,
        response: r#"{ "limits": { "org_id": "{org}", "secrets_per_minute_user": 50, "secrets_per_minute_session": 1000,
                                 "events_per_minute_user": 600, "events_per_minute_session": 1000 } }"#,
        postcondition: "",
    },
    Function {
        name: "open_session",
        tenant: Tenant::Person,
        setup: "",
        arguments: r#"{ {session_of_user}, "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {},
                   "p_chatkit_request_id": "{new}", "p_providers": ["openai_hosted"],
                   "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        response: r#"{ "session": { "id": "{session}" }, "live": null, "replayed": false,
                       "limit": { "limit": 1000 } }"#,
        postcondition: "",
    },
    Function {
        name: "renew_chatkit_session",
        tenant: Tenant::SessionOfPerson,
        // The user has no secret. Others have one, in the other organisation an expired one, and
        // have a recent request.
        setup: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null
                 where session_id = '{session}';
                 update public.chatkit_sessions set expires_at = now() - interval '1 hour'
                 where org_id <> '{org}' and sealed_secret is not null;
                 update public.chatkit_sessions set recorded_at = now() - interval '1 minute'
                 where recorded_at is not null;
                 update public.chatkit_sessions
                 set requested_at = now() - case when session_id = '{session}' then interval '1 hour' else '0' end
                 where recorded_at is null",
        arguments: r#"{ {session_of_user}, "p_purpose": "refresh", "p_rejected": true, "p_min_life_seconds": 60,
                   "p_chatkit_request_id": "{new}", "p_providers": ["openai_hosted"],
                   "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        response: r#"{ "session": { "id": "{session}" }, "live": null, "replayed": false,
                       "limit": { "limit": 1000 } }"#,
        postcondition: "",
    },
    Function {
        name: "record_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        setup: "",
        arguments: r#"{ {session_of_org}, "p_chatkit_request_id": "{pending}",
                   "p_chatkit_session_id": "cksess_{new}", "p_expires_at": "2030-01-01T00:00:00Z",
                   "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
        response: r#"{ "recorded": true, "session": { "id": "{session}" } }"#,
        postcondition: "",
    },
    Function {
        name: "fail_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        // The first request has failed, so the session ends with this one. Others have a pending
        // one.
        setup:
            "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null, failed_at = now()
                 where id = '{request}'",
        arguments: r#"{ {session_of_org}, "p_chatkit_request_id": "{pending}", "p_end_session": true }"#,
        response: r#"{ "session": { "id": "{session}", "end_reason": "failed" } }"#,
        postcondition: "",
    },
    Function {
        name: "cancel_session",
        tenant: Tenant::SessionOfPerson,
        // No delivery is running, so the session's queue becomes empty.
        setup: "update public.deliveries set status = 'done', lease_until = null, finished_at = now()
                 where id = '{running}'",
        arguments: r#"{ {session_of_user}, "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        response: r#"{ "session": { "id": "{session}" }, "live_chatkit_session_ids": ["{chatkit_session}"] }"#,
        postcondition: "",
    },
    Function {
        name: "confirm_chatkit_cancelled",
        tenant: Tenant::SessionOfOrganisation,
        setup: "",
        arguments: r#"{ {session_of_org}, "p_chatkit_session_ids": ["{chatkit_session}"] }"#,
        response: "{}",
        postcondition: "",
    },
    Function {
        name: "record_events",
        tenant: Tenant::SessionOfPerson,
        setup: "",
        arguments: r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}",
                   "p_events": [{ "id": "{new}", "type": "session_updated",
                                  "payload": { "title": "Invoice 42" } }] }"#,
        response: r#"{ "events": [{ "actor_id": "{user}" }] }"#,
        postcondition: "select title = 'Invoice 42' from public.chat_sessions where id = '{session}'",
    },
    Function {
        name: "record_events",
        tenant: Tenant::SessionOfPerson,
        // The agent is disabled in the other organisation. Sessions of others have another agent,
        // and longer queues. The user may use both agents.
        setup:
            "update public.agents set allowed_org_roles = null where org_id = '{org}';
                 update public.agents set enabled = false where org_id <> '{org}' and id = 'accounts_payable';
                 update public.chat_sessions set agent_id = 'cfo_strategy'
                 where (org_id, user_id) <> ('{org}', '{user}') and status = 'active';
                 update public.deliveries set seq = seq + 1000 where (org_id, user_id) <> ('{org}', '{user}')",
        arguments: r#"{ {session_of_user}, "p_actor_type": "user", "p_actor_id": "{user}",
                   "p_events": [{ "id": "{new}", "type": "button_click", "payload": {} }] }"#,
        response: r#"{ "events": [{ "actor_id": "{user}" }], "live_chatkit_session_ids": [],
                       "limit": { "limit": 1000 } }"#,
        postcondition: "select string_agg(concat_ws(' ', seq, agent_id, tool), ', ') = '5 accounts_payable note'
                from public.deliveries where session_id = '{session}' and seq > 4",
    },
    Function {
        name: "record_messages",
        tenant: Tenant::SessionOfOrganisation,
        setup: "",
        arguments: r#"{ {session_of_org},
                   "p_messages": [{ "id": "{new}", "role": "agent", "content": "Paid" }] }"#,
        response: r#"{ "messages": [{}] }"#,
        postcondition: "",
    },
    Function {
        name: "record_tasks",
        tenant: Tenant::SessionOfOrganisation,
        setup: "",
        arguments: r#"{ {session_of_org},
                   "p_tasks": [{ "id": "{new}", "title": "Pay", "status": "running" }] }"#,
        response: r#"{ "tasks": [{ "title": "Pay" }] }"#,
        postcondition: "",
    },
];
