use super::{Function, Tenant};

/// Every person is being erased, so a call without a condition on the person would change all of
/// them.
const ERASING: &str = "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
    select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now() + interval '1 day' from public.chatkit_users;
    update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null";

/// Ended sessions are overdue in the organisation, and not in the other one, which keeps them
/// longer. A lease holds those of all other members.
const OVERDUE: &str = "begin; set local session_replication_role = replica;
    update public.chat_sessions set ended_at = now() - interval '60 days' where status = 'ended';
    update public.retention_leases set lease_until = now() - interval '1 minute'
    where session_id = '{ended_session}' or org_id <> '{org}'; commit";

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "begin_erasure",
        tenant: Tenant::ManagedPerson,
        setup: "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
                 select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now() from public.chatkit_users
                 where (org_id, user_id) <> ('{org}', '{user}')",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_requested_by": "ops", "p_reason": "asked" }"#,
        response: r#"{ "erasure": { "org_id": "{org}", "user_id": "{user}", "finished_at": null },
                       "at_chatkit": true }"#,
        postcondition: "",
    },
    Function {
        name: "end_erased_sessions",
        tenant: Tenant::ManagedPerson,
        setup: ERASING,
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_limit": 100 }"#,
        response: r#"{ "ended": 3, "active": false,
                     "sessions": [{ "session_id": "{session}", "chatkit_session_ids": ["{chatkit_session}"] }] }"#,
        postcondition: "",
    },
    Function {
        name: "record_deleted_threads",
        tenant: Tenant::ManagedPerson,
        setup: ERASING,
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_thread_ids": ["cthr_{session}"] }"#,
        response: r#"{ "threads": 1 }"#,
        postcondition: "",
    },
    Function {
        name: "erase_batch",
        tenant: Tenant::ManagedPerson,
        setup: ERASING,
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_limit": 1000 }"#,
        // The session, its two events, its thread, its transcript and the lease on it.
        response: r#"{ "left": true, "rows": 6, "wait_seconds": 0 }"#,
        postcondition: "select not exists (select from public.chat_sessions where id = '{ended_session}')",
    },
    Function {
        name: "finish_erasure",
        tenant: Tenant::ManagedPerson,
        // The user has no sessions.
        setup: "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
                 select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now() from public.chatkit_users;
                 begin; set local session_replication_role = replica;
                 delete from public.chat_sessions where (org_id, user_id) = ('{org}', '{user}'); commit",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}" }"#,
        response: r#"{ "erasure": { "org_id": "{org}", "user_id": "{user}", "counts": { "threads": 0 } },
                     "chatkit_user": null }"#,
        postcondition:
            "select not exists (select from public.chatkit_users
                                           where (org_id, user_id) = ('{org}', '{user}'))
                  and not exists (select from public.throttles where org_id = '{org}' and subject = '{user}')",
    },
    Function {
        name: "claim_erasures",
        tenant: Tenant::Schedule,
        setup: "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until)
                 select gen_random_uuid(), org_id, user_id, 'ops', 'asked',
                        now() + case when (org_id, user_id) = ('{org}', '{user}')
                          then '-1 minute' else '1 hour' end::interval
                 from public.chatkit_users",
        arguments: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        response: r#"{ "erasures": [{ "erasure": { "org_id": "{org}", "user_id": "{user}" },
                                      "at_chatkit": true }] }"#,
        postcondition: "",
    },
    Function {
        name: "set_retention",
        tenant: Tenant::Organisation,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_keep_days": 7 }"#,
        response: r#"{ "retention": { "org_id": "{org}", "keep_days": 7 } }"#,
        postcondition: "",
    },
    Function {
        name: "set_retention",
        tenant: Tenant::Organisation,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}" }"#,
        response: r#"{ "retention": { "org_id": "{org}", "keep_days": null } }"#,
        postcondition: "select count(*) = 1 from public.org_retention",
    },
    Function {
        name: "claim_overdue_sessions",
        tenant: Tenant::Schedule,
        setup: OVERDUE,
        arguments: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        response: r#"{ "sessions": [{ "org_id": "{org}", "session_id": "{ended_session}",
                                      "thread_ids": ["cthr_{ended_session}"] }] }"#,
        postcondition: "",
    },
    Function {
        name: "erase_overdue_session",
        tenant: Tenant::SessionOfOrganisation,
        setup: OVERDUE,
        arguments: r#"{ {ended_session_of_org} }"#,
        response: r#"{ "erased": true, "overdue": true, "wait_seconds": 0 }"#,
        postcondition: "",
    },
    // Deletes only the links of threads that are deleted at OpenAI.
    Function {
        name: "erase_overdue_session",
        tenant: Tenant::SessionOfOrganisation,
        // Other persons have links with the same thread id.
        setup: "begin; set local session_replication_role = replica;
            update public.chat_sessions set ended_at = now() - interval '60 days' where status = 'ended';
            update public.chatkit_threads set thread_id = 'cthr_{ended_session}'; commit",
        arguments: r#"{ {ended_session_of_org}, "p_thread_ids": ["cthr_{ended_session}"] }"#,
        response: r#"{ "erased": false, "overdue": true, "wait_seconds": 0 }"#,
        postcondition: "select not exists (select from public.chatkit_threads where session_id = '{ended_session}')",
    },
    // Returns names of jobs without ids.
    Function {
        name: "list_due_jobs",
        tenant: Tenant::Schedule,
        setup: OVERDUE,
        arguments: "{}",
        response: r#"{ "apply_retention": true, "resume_erasures": false }"#,
        postcondition: "",
    },
    // Returns counts without ids.
    Function {
        name: "service_state",
        tenant: Tenant::Schedule,
        setup: "",
        arguments: "{}",
        response: r#"{ "oldest_undelivered_seconds": 0 }"#,
        postcondition: "",
    },
];
