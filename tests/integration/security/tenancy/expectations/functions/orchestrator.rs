//! Deliveries, escalations and transcripts, and the state for the doctor.

use super::{Function, Tenant};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "register_agent_server",
        tenant: Tenant::Organisation,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_url": "https://agents.example/new",
                   "p_tools": [{ "name": "pay" }], "p_routes": [{ "tool": "pay", "event_type": "custom_x" }] }"#,
        response: r#"{ "agent_server": { "org_id": "{org}", "url": "https://agents.example/new",
                                       "tools": [{ "name": "pay", "policy": "ask" }],
                                       "routes": [{ "tool": "pay", "event_type": "custom_x" }] } }"#,
        postcondition: "",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::RunningCall,
        // The agents of the other organisation differ. Other persons have as many deliveries as one
        // event may cause, with the same root event.
        setup: "update public.agents set allowed_org_roles = null where org_id = '{org}';
                 update public.agents set enabled = false where org_id <> '{org}' and id = 'accounts_payable';
                 begin; set local session_replication_role = replica;
                 insert into public.deliveries (id, org_id, user_id, session_id, event_id, seq, agent_id, tool,
                                                about_event_id, root_event_id)
                 select gen_random_uuid(), d.org_id, d.user_id, d.session_id, gen_random_uuid(), 1000 + n,
                        'accounts_payable', 'pay', d.about_event_id, r.root_event_id
                 from public.deliveries as d, public.deliveries as r, generate_series(1, 50) as n
                 where d.status = 'running' and (d.org_id, d.user_id) <> ('{org}', '{user}') and r.id = '{running}';
                 commit",
        arguments: r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
                   "kind": "completed", "message": "Paid", "output": { "paid": true },
                   "tasks": [{ "id": "{new}", "title": "Pay", "status": "running" }],
                   "follow_ups": [{ "agent_id": "accounts_payable", "objective": "Note it down" },
                                  { "agent_id": "cfo_strategy", "objective": "Think about it" }],
                   "handover": { "agent_id": "regulatory_filings" } } }"#,
        response: r#"{ "finished": true, "status": "done", "live_chatkit_session_ids": [] }"#,
        postcondition: "select (select string_agg(agent_id || ' ' || tool, ', ') = 'accounts_payable note'
                        from public.deliveries where session_id = '{session}' and depth = 1)
                  and (select due_at <= now() from public.delivery_queues where session_id = '{session}')",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::RunningCall,
        setup: "update public.agents set allowed_org_roles = null where (org_id, id) = ('{org}', 'cfo_strategy')",
        arguments: r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
                   "kind": "completed", "handover": { "agent_id": "cfo_strategy" } } }"#,
        response: r#"{ "finished": true, "status": "done", "live_chatkit_session_ids": ["{chatkit_session}"] }"#,
        postcondition: "select agent_id = 'cfo_strategy' from public.chat_sessions where id = '{session}'",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::RunningCall,
        setup: "",
        arguments: r#"{ "p_delivery_id": "{running}", "p_fence": {fence}, "p_outcome": {
                   "kind": "ask", "ask": { "reason": "Which account?", "decisions": ["respond"] } } }"#,
        response: r#"{ "finished": true, "status": "asked" }"#,
        postcondition: "",
    },
    Function {
        name: "finish_delivery",
        tenant: Tenant::RunningCall,
        // The first of five attempts. The other organisation's server has one.
        setup: "",
        arguments: r#"{ "p_delivery_id": "{running}", "p_fence": {fence},
                        "p_outcome": { "kind": "retry", "error": "busy" } }"#,
        response: r#"{ "finished": true, "status": "pending" }"#,
        postcondition: "",
    },
    Function {
        name: "list_dead_deliveries",
        tenant: Tenant::Organisation,
        // Of the organisation, only the user has a dead delivery.
        setup: "update public.deliveries set status = 'withdrawn'
                 where org_id = '{org}' and user_id <> '{user}' and status = 'dead'",
        arguments: r#"{ "p_org_id": "{org}", "p_limit": 10 }"#,
        response: r#"{ "deliveries": [{ "id": "{dead}", "org_id": "{org}", "user_id": "{user}", "status": "dead" }],
                     "next": null }"#,
        postcondition: "",
    },
    Function {
        name: "replay_delivery",
        tenant: Tenant::DeliveryOfOrganisation,
        // The queues of others are longer.
        setup: "update public.deliveries set seq = seq + 1000 where (org_id, user_id) <> ('{org}', '{user}')",
        arguments: r#"{ "p_org_id": "{org}", "p_delivery_id": "{dead}" }"#,
        response: r#"{ "replayed": true }"#,
        postcondition: "select seq = 5 from public.deliveries where id = '{dead}'",
    },
    Function {
        name: "decide_escalation",
        tenant: Tenant::EscalationOfPerson,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{ask}",
                   "p_decision": "approve", "p_subject_hash": "{subject_hash}" }"#,
        response: r#"{ "escalation": { "id": "{ask}", "decided_by": "{user}" }, "event": { "actor_id": "{user}" },
                     "replayed": false }"#,
        postcondition: "",
    },
    Function {
        name: "claim_escalation",
        tenant: Tenant::EscalationOfPerson,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{ask}",
                   "p_seconds": 60 }"#,
        response: r#"{ "escalation": { "id": "{ask}", "claimed_by": "{user}" } }"#,
        postcondition: "",
    },
    Function {
        name: "release_escalation",
        tenant: Tenant::EscalationOfPerson,
        // Others have claimed their own.
        setup: "update public.chat_escalations
                 set claimed_by = user_id, claimed_until = now() + interval '1 hour'
                 where status = 'open'",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_escalation_id": "{ask}" }"#,
        response: r#"{ "escalation": { "id": "{ask}", "claimed_by": null } }"#,
        postcondition: "",
    },
    Function {
        name: "record_thread_items",
        tenant: Tenant::SessionOfOrganisation,
        setup: "",
        arguments: r#"{ {session_of_org}, "p_thread_id": "cthr_{session}",
                   "p_items": [{ "id": "item_x", "role": "user", "content": "Pay invoice 42" }] }"#,
        response: r#"{ "added": 1 }"#,
        postcondition: "",
    },
    Function {
        name: "request_transcript",
        tenant: Tenant::SessionOfOrganisation,
        setup: "",
        arguments: r#"{ {ended_session_of_org} }"#,
        response: r#"{ "threads": 1 }"#,
        postcondition: "",
    },
    Function {
        name: "finish_transcript",
        tenant: Tenant::SessionOfOrganisation,
        // Those of others have had the last attempt.
        setup: "update public.transcripts_due set attempts = 20 where session_id <> '{ended_session}'",
        arguments: r#"{ {ended_session_of_org}, "p_retry_after_seconds": 60 }"#,
        response: r#"{ "due": true }"#,
        postcondition: "",
    },
    // Returns no ids of tenants: for example the ids of the sealing keys, and not whose secrets
    // they seal. The other organisation's agents differ, and its secrets have expired.
    Function {
        name: "deployment_state",
        tenant: Tenant::Schedule,
        setup: "update public.agents set enabled = false where org_id <> '{org}';
                 update public.chatkit_sessions set expires_at = now() - interval '1 hour'
                 where org_id <> '{org}' and expires_at is not null",
        arguments: "{}",
        response: r#"{ "sealing_key_ids": ["k1"], "agent_servers": [{ "agent_id": "accounts_payable", "agents": 1,
                     "url": "https://agents.example/here", "credential": null }] }"#,
        postcondition: "",
    },
    Function {
        name: "claim_deliveries",
        tenant: Tenant::Schedule,
        // The second of five attempts. The other organisation's server has one attempt, and the
        // other organisation has due deliveries and as many running calls as it may have. The
        // automatic total of the user permits the call, and those of others do not.
        setup: "update public.agent_tools set ask_above_total = 15 where org_id = '{org}' and name = 'pay';
                 update public.auto_call_amounts set amount = 1000 where (org_id, user_id) <> ('{org}', '{user}');
                 update public.agents set enabled = false, allowed_org_roles = '{owner}'
                 where org_id <> '{org}' and id = 'accounts_payable';
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
        arguments: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        response: r#"{ "deliveries": [{ "id": "{running}", "org_id": "{org}", "user_id": "{user}",
                                      "session": { "id": "{session}", "userId": "{user}" },
                                      "event": { "type": "custom_running" }, "agent_id": "accounts_payable",
                                      "tool": "pay", "idempotent": false, "attempt": 2, "max_attempts": 5,
                                      "url": "https://agents.example/here", "timeout_seconds": 20 }] }"#,
        postcondition: "",
    },
    Function {
        name: "claim_transcripts",
        tenant: Tenant::Schedule,
        setup: "update public.transcripts_due set due_at = now() - interval '1 minute'
                where session_id = '{ended_session}'",
        arguments: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        response: r#"{ "transcripts": [{ "org_id": "{org}", "user_id": "{user}", "session_id": "{ended_session}",
                                         "attempt": 1, "thread_ids": ["cthr_{ended_session}"] }] }"#,
        postcondition: "",
    },
];
