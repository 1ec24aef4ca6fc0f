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
    /// What is so then, as SQL that says true. Empty where the answer says it all.
    pub after: &'static str,
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
    /// A delivery of an organisation. In another one: 404 `delivery_not_found`.
    DeliveryOfOrganisation,
    /// An escalation, and the person who decides it. Not of the organisation: 403 `not_a_member`. Not theirs, and they don't
    /// decide for others: 404 `escalation_not_found`.
    EscalationOfPerson,
    /// A person of an organisation, whom an operator erases, whoever it is. Those whom nobody erases are left alone.
    ErasedPerson,
    /// A call under way, which whoever began it knows by its delivery and fence. With another's fence it is not finished.
    CallUnderWay,
    /// Nobody: it is for the schedule, and touches what is due, of whichever tenant. Of a tenant with nothing due it
    /// touches nothing, and no row of one is mixed up with another's.
    Due,
}

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

/// Every function, some of them with several calls.
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
        // The user has no secret at hand, some others do, and the rest have one that ran out.
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null
                 where session_id = '{session}';
                 update public.chatkit_sessions set expires_at = now() - interval '1 hour'
                 where org_id <> '{org}' and sealed_secret is not null",
        call: r#"{ {the user's session}, "p_purpose": "resume", "p_min_life_seconds": 60,
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
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null, failed_at = now()
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
        // An agent of the same name is switched off elsewhere, others' sessions are with another one and their queues longer.
        before: "update public.agents set enabled = false where org_id <> '{org}' and id = 'accounts_payable';
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
        name: "note_upstream_activity",
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
        name: "claim_stale_chatkit",
        tenant: Tenant::Due,
        before: "update public.chatkit_sessions set sealed_secret = null, sealing_key_id = null where id = '{request}'",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "sessions": [{ "org_id": "{org}", "session_id": "{session}",
                                    "chatkit_session_ids": ["{upstream}"] }] }"#,
        after: "",
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
        after: "",
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
        after: "",
    },
    Function {
        name: "register_agent_server",
        tenant: Tenant::Organisation,
        before: "",
        call: r#"{ "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_url": "https://agents.example/new",
                   "p_tools": [{ "name": "pay" }], "p_routes": [{ "tool": "pay", "event_type": "custom_x" }] }"#,
        answer: r#"{ "agent_server": { "org_id": "{org}", "url": "https://agents.example/new",
                                       "tools": [{ "name": "pay", "policy": "ask" }],
                                       "routes": [{ "tool": "pay", "event_type": "custom_x" }] } }"#,
        after: "",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::CallUnderWay,
        // Agents elsewhere are others. As much as may come of one event has come of one with the same id.
        before: "update public.agents set enabled = false where org_id <> '{org}' and id = 'accounts_payable';
                 begin; set local session_replication_role = replica;
                 insert into public.deliveries (id, org_id, user_id, session_id, event_id, seq, agent_id, tool,
                                                about_event_id, root_event_id)
                 select gen_random_uuid(), d.org_id, d.user_id, d.session_id, gen_random_uuid(), 1000 + n,
                        'accounts_payable', 'pay', d.about_event_id, r.root_event_id
                 from public.deliveries as d, public.deliveries as r, generate_series(1, 50) as n
                 where d.status = 'running' and (d.org_id, d.user_id) <> ('{org}', '{user}') and r.id = '{running}';
                 commit",
        call: r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
                   "kind": "completed", "message": "Paid", "output": { "paid": true },
                   "tasks": [{ "id": "{new}", "title": "Pay", "status": "running" }],
                   "follow_ups": [{ "agent_id": "accounts_payable", "objective": "Note it down" },
                                  { "agent_id": "cfo_strategy", "objective": "Think about it" }],
                   "handover": { "agent_id": "cfo_strategy" } } }"#,
        answer: r#"{ "finished": true, "status": "done", "live_chatkit_session_ids": [] }"#,
        after: "select (select string_agg(agent_id || ' ' || tool, ', ') = 'accounts_payable note'
                        from public.deliveries where session_id = '{session}' and depth = 1)
                  and (select due_at <= now() from public.delivery_queues where session_id = '{session}')",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::CallUnderWay,
        before: "update public.agents set allowed_org_roles = null where (org_id, id) = ('{org}', 'cfo_strategy')",
        call: r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
                   "kind": "completed", "handover": { "agent_id": "cfo_strategy" } } }"#,
        answer: r#"{ "finished": true, "status": "done", "live_chatkit_session_ids": ["{upstream}"] }"#,
        after: "select agent_id = 'cfo_strategy' from public.chat_sessions where id = '{session}'",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::CallUnderWay,
        before: "",
        call: r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
                   "kind": "ask", "ask": { "reason": "Which account?", "decisions": ["respond"] } } }"#,
        answer: r#"{ "finished": true, "status": "asked" }"#,
        after: "",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::CallUnderWay,
        // The first of five attempts here, and of one elsewhere.
        before: "",
        call: r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": { "kind": "retry", "error": "busy" } }"#,
        answer: r#"{ "finished": true, "status": "pending" }"#,
        after: "",
    },
    Function {
        name: "list_dead_deliveries",
        tenant: Tenant::Organisation,
        // Of those here, only the user's is dead.
        before: "update public.deliveries set status = 'withdrawn'
                 where org_id = '{org}' and user_id <> '{user}' and status = 'dead'",
        call: r#"{ "p_org_id": "{org}", "p_limit": 10 }"#,
        answer: r#"{ "deliveries": [{ "id": "{dead}", "org_id": "{org}", "user_id": "{user}", "status": "dead" }],
                     "next": null }"#,
        after: "",
    },
    Function {
        name: "replay_delivery",
        tenant: Tenant::DeliveryOfOrganisation,
        // Others' queues are longer.
        before: "update public.deliveries set seq = seq + 1000 where (org_id, user_id) <> ('{org}', '{user}')",
        call: r#"{ "p_org_id": "{org}", "p_delivery_id": "{dead}" }"#,
        answer: r#"{ "replayed": true }"#,
        after: "select seq = 5 from public.deliveries where id = '{dead}'",
    },
    Function {
        name: "decide_escalation",
        tenant: Tenant::EscalationOfPerson,
        before: "",
        call: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{question}",
                   "p_decision": "approve", "p_subject_hash": "{subject_hash}" }"#,
        answer: r#"{ "escalation": { "id": "{question}", "decided_by": "{user}" }, "event": { "actor_id": "{user}" },
                     "replayed": false }"#,
        after: "",
    },
    Function {
        name: "record_thread_items",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session}, "p_thread_id": "cthr_{session}",
                   "p_items": [{ "id": "item_x", "role": "user", "content": "Pay invoice 42" }] }"#,
        answer: r#"{ "added": 1 }"#,
        after: "",
    },
    Function {
        name: "request_transcript",
        tenant: Tenant::SessionOfOrganisation,
        before: "",
        call: r#"{ {the organisation's session that is over} }"#,
        answer: r#"{ "threads": 1 }"#,
        after: "",
    },
    Function {
        name: "finish_transcript",
        tenant: Tenant::SessionOfOrganisation,
        // Others' were tried as often as they may be.
        before: "update public.transcripts_due set attempts = 20 where session_id <> '{over}'",
        call: r#"{ {the organisation's session that is over}, "p_retry_after_seconds": 60 }"#,
        answer: r#"{ "due": true }"#,
        after: "",
    },
    // Tells of the deployment and of nobody in it: which key seals a living secret, say, and not whose. Agents elsewhere are others,
    // and nobody has a living secret there.
    Function {
        name: "deployment_state",
        tenant: Tenant::Due,
        before: "update public.agents set enabled = false where org_id <> '{org}';
                 update public.chatkit_sessions set expires_at = now() - interval '1 hour'
                 where org_id <> '{org}' and expires_at is not null",
        call: "{}",
        answer: r#"{ "sealing_key_ids": ["k1"], "agent_servers": [{ "agent_id": "accounts_payable", "agents": 1,
                     "url": "https://agents.example/here", "credential": null }] }"#,
        after: "",
    },
    // Begins calls.
    Function {
        name: "claim_deliveries",
        tenant: Tenant::Due,
        // It is called for the second time, of five here and of one elsewhere. There calls are due as well, and as many under
        // way as may be.
        before: "update public.agents set enabled = false where org_id <> '{org}' and id = 'accounts_payable';
                 update public.deliveries
                 set status = 'pending', lease_until = null, next_attempt_at = now() - interval '1 minute'
                 where status = 'running' and (org_id <> '{org}' or id = '{running}');
                 begin; set local session_replication_role = replica;
                 insert into public.deliveries (id, org_id, user_id, session_id, event_id, seq, agent_id, tool,
                                                about_event_id, root_event_id, status, lease_until)
                 select gen_random_uuid(), s.org_id, s.user_id, gen_random_uuid(), gen_random_uuid(), 1,
                        'accounts_payable', 'pay', gen_random_uuid(), gen_random_uuid(), 'running',
                        now() + interval '1 hour'
                 from (select org_id, user_id from public.chat_sessions where org_id <> '{org}' limit 1) as s,
                   generate_series(1, 16);
                 commit",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "deliveries": [{ "id": "{running}", "org_id": "{org}", "user_id": "{user}",
                                      "session": { "id": "{session}", "user_id": "{user}" },
                                      "event": { "type": "custom_running" }, "agent_id": "accounts_payable",
                                      "tool": "pay", "idempotent": false, "attempt": 2, "max_attempts": 5,
                                      "url": "https://agents.example/here", "timeout_seconds": 20 }] }"#,
        after: "",
    },
    // Leases ended sessions.
    Function {
        name: "claim_transcripts",
        tenant: Tenant::Due,
        before: "update public.transcripts_due set due_at = now() - interval '1 minute' where session_id = '{over}'",
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "transcripts": [{ "org_id": "{org}", "user_id": "{user}", "session_id": "{over}", "attempt": 1,
                                       "thread_ids": ["cthr_{over}"] }] }"#,
        after: "",
    },
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
        name: "note_erased_threads",
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

/// The functions that signed-in callers execute themselves, and nobody else does. Whom they answer what is shown with the
/// promises of what they are for (`metrics`).
pub const CALLED_BY_CALLERS: &[&str] = &["session_metrics"];

/// The functions of `private` that a policy runs as the caller. All others there are for the functions above, which
/// run as their owner.
pub const RUN_BY_POLICIES: &[&str] =
    &["org_id_of", "org_role_of", "caller_org_id", "caller_org_role", "caller_is_approver"];
