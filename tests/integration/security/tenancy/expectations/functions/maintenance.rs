//! Maintenance: expiry, cancelled ChatKit sessions, abandoned requests and purges.

use super::{Function, Tenant};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "expire_session",
        tenant: Tenant::SessionOfOrganisation,
        // The ChatKit sessions of all sessions but this one are to be cancelled.
        setup: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null;
                 update public.chat_sessions set last_activity_at = '2020-01-01T00:00:00Z'
                 where id = '{idle_session}'",
        arguments: r#"{ {idle_session_of_org}, "p_last_activity_at": "2020-01-01T00:00:00Z" }"#,
        response: r#"{ "expired": true, "live_chatkit_session_ids": [] }"#,
        postcondition: "select not exists (select from public.transcripts_due where session_id = '{idle_session}')",
    },
    Function {
        name: "record_chatkit_activity",
        tenant: Tenant::SessionOfOrganisation,
        // Idle by the timeout of the agent, and not by that of the other organisation's.
        setup: "update public.chat_sessions set last_activity_at = now() - interval '2 days'
                where id = '{idle_session}'",
        arguments: r#"{ {idle_session_of_org}, "p_at": "2020-01-01T00:00:00Z" }"#,
        response: r#"{ "idle": true }"#,
        postcondition: "",
    },
    Function {
        name: "release_idle_session",
        tenant: Tenant::SessionOfOrganisation,
        setup: "",
        arguments: r#"{ {idle_session_of_org}, "p_retry_after_seconds": 60 }"#,
        response: "{}",
        postcondition: "",
    },
    Function {
        name: "claim_idle_sessions",
        tenant: Tenant::Schedule,
        setup: "update public.idle_checks set due_at = now() - interval '1 minute'
                where session_id = '{idle_session}'",
        arguments: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        response: r#"{ "sessions": [{ "org_id": "{org}", "user_id": "{user}", "session_id": "{idle_session}",
                                    "idle_timeout_seconds": 86400, "thread_ids": [] }] }"#,
        postcondition: "",
    },
    Function {
        name: "settle_chat_runs",
        tenant: Tenant::Schedule,
        setup: "update public.chat_runs set lease_until = now() - interval '1 minute' where id = '{run}'",
        arguments: r#"{ "p_limit": 100 }"#,
        response: r#"{ "settled": 1 }"#,
        postcondition: "select status = 'interrupted' from public.chat_runs where id = '{run}'",
    },
    Function {
        name: "expire_escalations",
        tenant: Tenant::Schedule,
        setup: "update public.chat_escalations
                 set created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
                 where id = '{escalation}'",
        arguments: r#"{ "p_limit": 100 }"#,
        response: r#"{ "expired": 1 }"#,
        postcondition: "",
    },
    Function {
        name: "claim_uncancelled_chatkit_sessions",
        tenant: Tenant::Schedule,
        setup: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null
                where id = '{request}'",
        arguments: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        response: r#"{ "sessions": [{ "org_id": "{org}", "session_id": "{session}",
                                    "chatkit_session_ids": ["{chatkit_session}"] }] }"#,
        postcondition: "",
    },
    Function {
        name: "fail_abandoned_requests",
        tenant: Tenant::Schedule,
        // The user's request is old and its lease has expired. For others of the organisation only
        // the first is true, and in the other organisation only the second.
        setup: "update public.chatkit_sessions set requested_at = now() - interval '1 hour' where org_id = '{org}';
                 update public.idempotency_keys set lease_until = now() - interval '1 minute'
                 where lease_until is not null and (org_id <> '{org}' or user_id = '{user}')",
        arguments: r#"{ "p_limit": 100, "p_older_than_seconds": 1800 }"#,
        response: r#"{ "settled": 1, "failed_sessions": 0 }"#,
        postcondition: "",
    },
    Function {
        name: "purge_expired",
        tenant: Tenant::Schedule,
        // Throttles are full again within seconds, so the setup empties those of others.
        setup: "update public.chatkit_sessions set expires_at = now() - interval '1 hour' where id = '{request}';
                 update public.idempotency_keys set last_used_at = now() - interval '2 days', lease_until = null
                 where (org_id, user_id) = ('{org}', '{user}');
                 update public.throttles set full_at = now() + interval '1 hour';
                 update public.throttles set full_at = now() - interval '1 minute'
                 where org_id = '{org}' and subject in ('{user}', '{session}');
                 update public.chat_runs set status = 'completed', last_item_seq = 3,
                   finished_at = now() - interval '1 hour' where id = '{run}'",
        arguments: r#"{ "p_limit": 100 }"#,
        response: r#"{ "secrets": 1, "keys": 3, "throttles": 7, "chunks": 1 }"#,
        postcondition: "",
    },
];
