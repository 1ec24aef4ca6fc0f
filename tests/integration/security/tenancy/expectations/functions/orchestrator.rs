//! What brings events to agents, and asks people; and what the doctor is told.

use super::{Function, Tenant};

pub const FUNCTIONS: &[Function] = &[
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
        before: "update public.agents set allowed_org_roles = null where org_id = '{org}';
                 update public.agents set enabled = false where org_id <> '{org}' and id = 'accounts_payable';
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
                   "handover": { "agent_id": "regulatory_filings" } } }"#,
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
        // way as may be. What the user had the tool do today is all that it may do unasked; others had it do more.
        before: "update public.agent_tools set ask_above_total = 15 where org_id = '{org}' and name = 'pay';
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
        call: r#"{ "p_limit": 100, "p_lease_seconds": 60 }"#,
        answer: r#"{ "deliveries": [{ "id": "{running}", "org_id": "{org}", "user_id": "{user}",
                                      "session": { "id": "{session}", "userId": "{user}" },
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
];
