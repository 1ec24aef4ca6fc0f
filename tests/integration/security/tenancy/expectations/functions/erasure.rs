//! What erases, and what is kept for how long.

use super::{Function, Tenant};

/// The user is being erased, and so are all others whom a call of theirs is to leave alone.
const ERASING: &str = "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
    select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now() + interval '1 day' from public.chatkit_users;
    update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null";

/// What is over has been so for longer than it is kept here, though not than elsewhere; and somebody is about to erase all of
/// it here but the user's.
const OVERDUE: &str = "begin; set local session_replication_role = replica;
    update public.chat_sessions set ended_at = now() - interval '60 days' where status = 'ended';
    update public.retention_leases set lease_until = now() - interval '1 minute'
    where session_id = '{over}' or org_id <> '{org}'; commit";

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "begin_erasure",
        tenant: Tenant::ErasedPerson,
        before: "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
                 select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now() from public.chatkit_users
                 where (org_id, user_id) <> ('{org}', '{user}')",
        call: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_requested_by": "ops", "p_reason": "asked" }"#,
        answer: r#"{ "erasure": { "org_id": "{org}", "user_id": "{user}", "finished_at": null }, "at_chatkit": true }"#,
        after: "",
    },
    Function {
        name: "end_erased_sessions",
        tenant: Tenant::ErasedPerson,
        before: ERASING,
        call: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_limit": 100 }"#,
        answer: r#"{ "ended": 2, "active": false,
                     "sessions": [{ "session_id": "{session}", "chatkit_session_ids": ["{upstream}"] }] }"#,
        after: "",
    },
    Function {
        name: "record_deleted_threads",
        tenant: Tenant::ErasedPerson,
        before: ERASING,
        call: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_thread_ids": ["cthr_{session}"] }"#,
        answer: r#"{ "threads": 1 }"#,
        after: "",
    },
    Function {
        name: "erase_batch",
        tenant: Tenant::ErasedPerson,
        before: ERASING,
        call: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_limit": 1000 }"#,
        // The session, its two events, its thread, its transcript and the lease on it.
        answer: r#"{ "left": true, "rows": 6, "wait_seconds": 0 }"#,
        after: "select not exists (select from public.chat_sessions where id = '{over}')",
    },
    Function {
        name: "finish_erasure",
        tenant: Tenant::ErasedPerson,
        // Of the user nothing is left that hangs off a session.
        before: "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
                 select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now() from public.chatkit_users;
                 begin; set local session_replication_role = replica;
                 delete from public.chat_sessions where (org_id, user_id) = ('{org}', '{user}'); commit",
        call: r#"{ "p_org_id": "{org}", "p_user_id": "{user}" }"#,
        answer: r#"{ "erasure": { "org_id": "{org}", "user_id": "{user}", "counts": { "threads": 0 } },
                     "chatkit_user": null }"#,
        after: "select not exists (select from public.chatkit_users where (org_id, user_id) = ('{org}', '{user}'))
                  and not exists (select from public.throttles where org_id = '{org}' and subject = '{user}')",
    },
    // Leases erasures.
    Function {
        name: "claim_erasures",
        tenant: Tenant::Due,
        before: "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
                 select gen_random_uuid(), org_id, user_id, 'ops', 'asked',
                        now() + case when (org_id, user_id) = ('{org}', '{user}') then '-1 minute' else '1 hour' end::interval
                 from public.chatkit_users",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "erasures": [{ "erasure": { "org_id": "{org}", "user_id": "{user}" }, "at_chatkit": true }] }"#,
        after: "",
    },
    Function {
        name: "set_retention",
        tenant: Tenant::Organisation,
        before: "",
        call: r#"{ "p_org_id": "{org}", "p_keep_days": 7 }"#,
        answer: r#"{ "retention": { "org_id": "{org}", "keep_days": 7 } }"#,
        after: "",
    },
    Function {
        name: "set_retention",
        tenant: Tenant::Organisation,
        before: "",
        call: r#"{ "p_org_id": "{org}" }"#,
        answer: r#"{ "retention": { "org_id": "{org}", "keep_days": null } }"#,
        after: "select count(*) = 1 from public.org_retention",
    },
    // Leases sessions.
    Function {
        name: "claim_overdue_sessions",
        tenant: Tenant::Due,
        before: OVERDUE,
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "sessions": [{ "org_id": "{org}", "session_id": "{over}", "thread_ids": ["cthr_{over}"] }] }"#,
        after: "",
    },
    Function {
        name: "erase_overdue_session",
        tenant: Tenant::SessionOfOrganisation,
        before: OVERDUE,
        call: r#"{ {the organisation's session that is over} }"#,
        answer: r#"{ "erased": true, "overdue": true, "wait_seconds": 0 }"#,
        after: "",
    },
    // Only the links of threads that are deleted.
    Function {
        name: "erase_overdue_session",
        tenant: Tenant::SessionOfOrganisation,
        // Others link threads of the same names.
        before: "begin; set local session_replication_role = replica;
            update public.chat_sessions set ended_at = now() - interval '60 days' where status = 'ended';
            update public.chatkit_threads set thread_id = 'cthr_{over}'; commit",
        call: r#"{ {the organisation's session that is over}, "p_thread_ids": ["cthr_{over}"] }"#,
        answer: r#"{ "erased": false, "overdue": true, "wait_seconds": 0 }"#,
        after: "select not exists (select from public.chatkit_threads where session_id = '{over}')",
    },
    // Counts, and names nobody.
    Function {
        name: "service_state",
        tenant: Tenant::Due,
        before: "",
        call: "{}",
        answer: r#"{ "oldest_undelivered_seconds": 0 }"#,
        after: "",
    },
];
