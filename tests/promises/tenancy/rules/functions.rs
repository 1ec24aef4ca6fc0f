//! What is expected, function by function.

/// A function of `public`. The service calls it, nobody else does, and a call touches rows of the tenant it names.
pub struct Function {
    pub name: &'static str,
    /// Whom its arguments name.
    pub tenant: Tenant,
    /// What has happened before the call, as SQL: something of the person's for it to find, and of others' for it to leave
    /// alone. Empty where it finds that anyway.
    pub before: &'static str,
    /// A good call, as JSON. What is in braces is filled in for the person whom it is about.
    pub call: &'static str,
    /// What its answer holds, at least, as JSON.
    pub answer: &'static str,
}

/// Whom a call is about, and so what becomes of one that mixes up two tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// An organisation as a whole. There is nothing to mix up.
    Organisation,
    /// A person. Not of that organisation: 403 `not_a_member`. With another's session: 409 `session_id_taken`.
    Person,
    /// A session of an organisation. In another one: 404 `session_not_found`.
    SessionOfOrganisation,
    /// A session of a person in an organisation. With any other person: 404 `session_not_found`.
    SessionOfPerson,
    /// Nobody: it is for the schedule, and touches what is due, of whichever tenant. Of a tenant with nothing due it
    /// touches nothing, and no row of one is mixed up with another's.
    Due,
}

/// Every function.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "register_agent",
        tenant: Tenant::Organisation,
        before: "",
        // Another timeout than it had, which moves the checks of its sessions.
        call: r#"{ "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_display_name": "Payables",
                   "p_description": "", "p_chatkit_workflow_id": "wf_2", "p_idle_timeout_seconds": 3600 }"#,
        answer: r#"{ "agent": { "org_id": "{org}", "idle_timeout_seconds": 3600 } }"#,
    },
    Function {
        name: "set_org_limits",
        tenant: Tenant::Organisation,
        before: "",
        call: r#"{ "p_org_id": "{org}", "p_secrets_per_minute_user": 50 }"#,
        answer: r#"{ "limits": { "org_id": "{org}", "secrets_per_minute_user": 50, "secrets_per_minute_session": 20,
                                 "events_per_minute_user": 600, "events_per_minute_session": 300 } }"#,
    },
    Function {
        name: "open_session",
        tenant: Tenant::Person,
        before: "",
        call: r#"{ {the user's session}, "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {},
                   "p_chatkit_request_id": "{new}", "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        answer: r#"{ "session": { "id": "{session}" }, "live": null, "replayed": false, "limit": { "limit": 1000 } }"#,
    },
    Function {
        name: "renew_chatkit_session",
        tenant: Tenant::SessionOfPerson,
        // The user has no secret at hand, some others do, and the rest have one that ran out.
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null
                 where session_id = '{session}';
                 update public.chatkit_sessions set expires_at = now() - interval '1 hour'
                 where org_id <> '{org}' and sealed_secret is not null",
        call: r#"{ {the user's session}, "p_purpose": "resume", "p_min_life_seconds": 60,
                   "p_chatkit_request_id": "{new}", "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        answer: r#"{ "session": { "id": "{session}" }, "live": null, "replayed": false, "limit": { "limit": 1000 } }"#,
    },
    Function {
        name: "record_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session}, "p_chatkit_request_id": "{pending}",
                   "p_chatkit_session_id": "cksess_{new}", "p_expires_at": "2030-01-01T00:00:00Z",
                   "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
        answer: r#"{ "recorded": true, "session": { "id": "{session}" } }"#,
    },
    Function {
        name: "fail_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        // The opening's own request failed already, so this one was the user's last chance to get in. Others have one yet.
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null, failed_at = now()
                 where id = '{request}'",
        call: r#"{ {the organisation's session}, "p_chatkit_request_id": "{pending}", "p_end_session": true }"#,
        answer: r#"{ "session": { "id": "{session}", "end_reason": "failed" } }"#,
    },
    Function {
        name: "cancel_session",
        tenant: Tenant::SessionOfPerson,
        before: "",
        call: r#"{ {the user's session}, "p_idempotency_key": "{new}", "p_request_hash": "{hash}" }"#,
        answer: r#"{ "session": { "id": "{session}" }, "live_chatkit_session_ids": ["{upstream}"] }"#,
    },
    Function {
        name: "confirm_chatkit_cancelled",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session}, "p_chatkit_session_ids": ["{upstream}"] }"#,
        answer: "{}",
    },
    Function {
        name: "record_events",
        tenant: Tenant::SessionOfPerson,
        before: "",
        call: r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}",
                   "p_events": [{ "id": "{new}", "type": "button_click", "payload": {} }] }"#,
        answer: r#"{ "events": [{ "actor_id": "{user}" }], "live_chatkit_session_ids": [], "limit": { "limit": 1000 } }"#,
    },
    Function {
        name: "record_messages",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session},
                   "p_messages": [{ "id": "{new}", "role": "agent", "content": "Paid" }] }"#,
        answer: r#"{ "messages": [{}] }"#,
    },
    Function {
        name: "record_tasks",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session},
                   "p_tasks": [{ "id": "{new}", "title": "Pay", "status": "running" }] }"#,
        answer: r#"{ "tasks": [{ "title": "Pay" }] }"#,
    },
    Function {
        name: "expire_session",
        tenant: Tenant::SessionOfOrganisation,
        // Everybody's ChatKit sessions are to be cancelled, and none of them is this session's.
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null;
                 update public.chat_sessions set last_activity_at = '2020-01-01T00:00:00Z' where id = '{quiet}'",
        call: r#"{ {the organisation's quiet session}, "p_last_activity_at": "2020-01-01T00:00:00Z" }"#,
        answer: r#"{ "expired": true, "live_chatkit_session_ids": [] }"#,
    },
    Function {
        name: "note_upstream_activity",
        tenant: Tenant::SessionOfOrganisation,
        // Too long ago for the agent here, and not for the one of the same name elsewhere.
        before: "update public.chat_sessions set last_activity_at = now() - interval '2 days' where id = '{quiet}'",
        call: r#"{ {the organisation's quiet session}, "p_at": "2020-01-01T00:00:00Z" }"#,
        answer: r#"{ "idle": true }"#,
    },
    Function {
        name: "release_idle_session",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's quiet session}, "p_retry_after_seconds": 60 }"#,
        answer: "{}",
    },
    // Leases idle checks.
    Function {
        name: "claim_idle_sessions",
        tenant: Tenant::Due,
        before: "update public.idle_checks set due_at = now() - interval '1 minute' where session_id = '{quiet}'",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "sessions": [{ "org_id": "{org}", "user_id": "{user}", "session_id": "{quiet}",
                                    "idle_timeout_seconds": 86400, "thread_ids": [] }] }"#,
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
    },
    // Leases ChatKit sessions without a secret.
    Function {
        name: "claim_stale_chatkit",
        tenant: Tenant::Due,
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null where id = '{request}'",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "sessions": [{ "org_id": "{org}", "session_id": "{session}",
                                    "chatkit_session_ids": ["{upstream}"] }] }"#,
    },
    // Fails requests to OpenAI, and ends the sessions that were only being opened by them.
    Function {
        name: "settle_abandoned",
        tenant: Tenant::Due,
        // What the user asked for is old, and its lease is over. Of the others here only the one is so, and elsewhere only
        // the other.
        before: "update public.chatkit_sessions set requested_at = now() - interval '1 hour' where org_id = '{org}';
                 update public.idempotency_keys set lease_until = now() - interval '1 minute'
                 where lease_until is not null and (org_id <> '{org}' or user_id = '{user}')",
        call: r#"{ "p_limit": 100, "p_older_than_seconds": 1800 }"#,
        answer: r#"{ "settled": 1, "failed_sessions": 0 }"#,
    },
    // Erases secrets, and deletes keys and throttles.
    Function {
        name: "sweep",
        tenant: Tenant::Due,
        // Throttles are full again within seconds, so those of others are emptied.
        before: "update public.chatkit_sessions set expires_at = now() - interval '1 hour' where id = '{request}';
                 update public.idempotency_keys set last_used_at = now() - interval '2 days', lease_until = null
                 where (org_id, user_id) = ('{org}', '{user}');
                 update public.throttles set full_at = now() + interval '1 hour';
                 update public.throttles set full_at = now() - interval '1 minute'
                 where org_id = '{org}' and subject in ('{user}', '{session}')",
        call: r#"{ "p_limit": 100 }"#,
        answer: r#"{ "secrets": 1, "keys": 3, "throttles": 4 }"#,
    },
];

/// The functions of `private` that a policy runs as the caller. All others there are for the functions above, which
/// run as their owner.
pub const RUN_BY_POLICIES: &[&str] =
    &["org_id_of", "org_role_of", "caller_org_id", "caller_org_role", "caller_is_approver"];
