//! What runs by itself, and puts right what was left behind.

use super::{Function, Tenant};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "expire_session",
        tenant: Tenant::SessionOfOrganisation,
        // Everybody's ChatKit sessions are to be cancelled, and none of them is this session's.
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null;
                 update public.chat_sessions set last_activity_at = '2020-01-01T00:00:00Z' where id = '{quiet}'",
        call: r#"{ {the organisation's quiet session}, "p_last_activity_at": "2020-01-01T00:00:00Z" }"#,
        answer: r#"{ "expired": true, "live_chatkit_session_ids": [] }"#,
        after: "select not exists (select from public.transcripts_due where session_id = '{quiet}')",
    },
    Function {
        name: "record_chatkit_activity",
        tenant: Tenant::SessionOfOrganisation,
        // Too long ago for the agent here, and not for the one of the same name elsewhere.
        before: "update public.chat_sessions set last_activity_at = now() - interval '2 days' where id = '{quiet}'",
        call: r#"{ {the organisation's quiet session}, "p_at": "2020-01-01T00:00:00Z" }"#,
        answer: r#"{ "idle": true }"#,
        after: "",
    },
    Function {
        name: "release_idle_session",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's quiet session}, "p_retry_after_seconds": 60 }"#,
        answer: "{}",
        after: "",
    },
    // Leases idle checks.
    Function {
        name: "claim_idle_sessions",
        tenant: Tenant::Due,
        before: "update public.idle_checks set due_at = now() - interval '1 minute' where session_id = '{quiet}'",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "sessions": [{ "org_id": "{org}", "user_id": "{user}", "session_id": "{quiet}",
                                    "idle_timeout_seconds": 86400, "thread_ids": [] }] }"#,
        after: "",
    },
    // Closes escalations, with an event in their sessions.
    Function {
        name: "expire_escalations",
        tenant: Tenant::Due,
        before: "update public.chat_escalations
                 set created_at = now() - interval '2 hours', expires_at = now() - interval '1 hour'
                 where id = '{escalation}'",
        call: r#"{ "p_limit": 100 }"#,
        answer: r#"{ "expired": 1 }"#,
        after: "",
    },
    // Leases ChatKit sessions without a secret.
    Function {
        name: "claim_uncancelled_chatkit_sessions",
        tenant: Tenant::Due,
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null where id = '{request}'",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "sessions": [{ "org_id": "{org}", "session_id": "{session}",
                                    "chatkit_session_ids": ["{upstream}"] }] }"#,
        after: "",
    },
    // Fails requests to OpenAI, and ends the sessions that were only being opened by them.
    Function {
        name: "fail_abandoned_requests",
        tenant: Tenant::Due,
        // What the user asked for is old, and its lease is over. Of the others here only the one is so, and elsewhere only
        // the other.
        before: "update public.chatkit_sessions set requested_at = now() - interval '1 hour' where org_id = '{org}';
                 update public.idempotency_keys set lease_until = now() - interval '1 minute'
                 where lease_until is not null and (org_id <> '{org}' or user_id = '{user}')",
        call: r#"{ "p_limit": 100, "p_older_than_seconds": 1800 }"#,
        answer: r#"{ "settled": 1, "failed_sessions": 0 }"#,
        after: "",
    },
    // Erases secrets, and deletes keys and throttles.
    Function {
        name: "purge_expired",
        tenant: Tenant::Due,
        // Throttles are full again within seconds, so those of others are emptied.
        before: "update public.chatkit_sessions set expires_at = now() - interval '1 hour' where id = '{request}';
                 update public.idempotency_keys set last_used_at = now() - interval '2 days', lease_until = null
                 where (org_id, user_id) = ('{org}', '{user}');
                 update public.throttles set full_at = now() + interval '1 hour';
                 update public.throttles set full_at = now() - interval '1 minute'
                 where org_id = '{org}' and subject in ('{user}', '{session}')",
        call: r#"{ "p_limit": 100 }"#,
        answer: r#"{ "secrets": 1, "keys": 3, "throttles": 5 }"#,
        after: "",
    },
];
