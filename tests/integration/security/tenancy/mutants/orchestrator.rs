//! Conditions on deliveries, escalations and transcripts.
//!
//! Redundant conditions are not listed: that a person who decides can see the escalation, because
//! it was found already; that the head of a queue is due, because its queue was (without both, a
//! call would begin twice, and that mutant is listed); and lookups by a unique id that write
//! nothing.

use super::bodies::DetectedBy::{Call, ForeignIds, LockWait};
use super::bodies::{BodyMutant, mutant};

pub const MUTANTS: &[BodyMutant] = &[
    // Servers, tools and routes.
    mutant(
        "public.register_agent_server",
        "t.org_id = p_org_id and t.agent_id = p_agent_id",
        "t.agent_id = p_agent_id",
        Call("register_agent_server"),
    ),
    mutant(
        "chatkit_private.agent_server_response",
        "t.org_id = a.org_id and",
        "",
        Call("register_agent_server"),
    ),
    mutant(
        "chatkit_private.agent_server_response",
        "r.org_id = a.org_id and",
        "",
        Call("register_agent_server"),
    ),
    mutant(
        "chatkit_private.agent_server_response",
        "where a.org_id = p_org_id and",
        "where",
        Call("register_agent_server"),
    ),
    mutant(
        "chatkit_private.callable_tool",
        "t.org_id = p_delivery.org_id",
        "t.org_id <> p_delivery.org_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.callable_tool",
        "a.org_id = t.org_id",
        "a.org_id <> t.org_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.delivery_payload",
        "t.org_id = p_delivery.org_id",
        "t.org_id <> p_delivery.org_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.build_call",
        "t.org_id = p_delivery.org_id",
        "t.org_id <> p_delivery.org_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.follow_up_schemas",
        "t.org_id = s.org_id",
        "t.org_id <> s.org_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.delivery_payload",
        "v.org_id = t.org_id",
        "v.org_id <> t.org_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.begin_call",
        "v.org_id = p_delivery.org_id",
        "v.org_id <> p_delivery.org_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.retry_delivery",
        "v.org_id = p_delivery.org_id",
        "v.org_id <> p_delivery.org_id",
        Call("finish_delivery"),
    ),
    // Routes of an event.
    mutant("chatkit_private.route_event", "r.org_id = p_event.org_id\n", "true\n", Call("record_events")),
    mutant(
        "chatkit_private.agent_is_open_to",
        "a.org_id = p_org_id",
        "a.org_id <> p_org_id",
        Call("record_events"),
    ),
    mutant("chatkit_private.route_event", "s.id = p_event.session_id", "true", Call("record_events")),
    mutant("chatkit_private.next_delivery_seq", "d.session_id = p_session_id", "true", Call("record_events")),
    mutant(
        "chatkit_private.remaining_fan_out",
        "d.session_id = p_session_id and",
        "",
        Call("finish_delivery"),
    ),
    mutant("chatkit_private.follow_up_tool", "r.org_id = p_session.org_id", "true", Call("finish_delivery")),
    mutant(
        "chatkit_private.follow_up_tool",
        "a.org_id = r.org_id",
        "a.org_id <> r.org_id",
        Call("finish_delivery"),
    ),
    // Queues.
    mutant(
        "chatkit_private.next_due_delivery",
        "d.session_id = p_session_id and",
        "",
        Call("finish_delivery"),
    ),
    mutant(
        "chatkit_private.refresh_queue_heads",
        "q.session_id = v_session.session_id",
        "true",
        Call("cancel_session"),
    ),
    mutant("chatkit_private.withdraw_deliveries", "d.session_id = new.id and", "", Call("cancel_session")),
    // Due deliveries, and the share of an organisation.
    mutant("chatkit_private.free_slots", "d.org_id = p_org_id and", "", Call("claim_deliveries")),
    mutant(
        "public.claim_deliveries",
        "v_now timestamptz := clock_timestamp()",
        "v_now timestamptz := 'infinity'",
        Call("claim_deliveries"),
    ),
    mutant("chatkit_private.begun_by_claim", "d.claim_id = p_claim_id and", "", Call("claim_deliveries")),
    mutant(
        "chatkit_private.lock_due_sessions",
        "for update of s, q skip locked",
        "for update of s, q",
        LockWait("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.begin_call",
        "where d.id = p_delivery.id",
        "where true",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.delivery_payload",
        "x.id = coalesce(p_delivery.answer_id, p_delivery.escalation_id)",
        "true",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.requester_rejection",
        "a.org_id = p_delivery.org_id",
        "a.org_id <> p_delivery.org_id",
        Call("claim_deliveries"),
    ),
    // The total of automatic calls of a day.
    mutant(
        "chatkit_private.add_to_auto_total",
        "o.org_id = p_delivery.org_id\n    and o.user_id = p_delivery.user_id",
        "o.user_id = p_delivery.user_id",
        Call("claim_deliveries"),
    ),
    mutant(
        "chatkit_private.add_to_auto_total",
        "o.user_id = p_delivery.user_id",
        "true",
        Call("claim_deliveries"),
    ),
    // Results of calls.
    mutant(
        "chatkit_private.lock_delivery",
        "where d.id = p_delivery_id for update",
        "for update",
        Call("finish_delivery"),
    ),
    mutant(
        "public.finish_delivery",
        "(v_delivery.fence = p_fence) is not true",
        "false",
        Call("finish_delivery"),
    ),
    mutant("public.finish_delivery", "where d.id = p_delivery_id", "", Call("finish_delivery")),
    mutant("chatkit_private.close_delivery", "where d.id = p_delivery_id", "", Call("finish_delivery")),
    mutant("chatkit_private.escalate_for_agent", "where d.id = p_delivery.id", "", Call("finish_delivery")),
    mutant("chatkit_private.retry_delivery", "where d.id = p_delivery.id", "", Call("finish_delivery")),
    mutant(
        "chatkit_private.append_agent_message",
        "where s.id = p_delivery.session_id",
        "",
        Call("finish_delivery"),
    ),
    mutant(
        "chatkit_private.complete_delivery",
        "s where s.id = p_delivery.session_id",
        "s",
        Call("finish_delivery"),
    ),
    mutant("chatkit_private.change_agent", "where s.id = p_session_id", "", Call("finish_delivery")),
    mutant(
        "chatkit_private.hand_over_by_agent",
        "a.org_id = p_session.org_id and",
        "",
        Call("finish_delivery"),
    ),
    // Dead letters.
    mutant("public.list_dead_deliveries", "o.org_id = p_org_id\n      and", "", Call("list_dead_deliveries")),
    mutant(
        "public.list_dead_deliveries",
        "o.status in ('dead', 'unknown')",
        "true",
        Call("list_dead_deliveries"),
    ),
    mutant("public.replay_delivery", "and d.org_id = p_org_id", "", Call("replay_delivery")),
    mutant("public.replay_delivery", "x.delivery_id = p_delivery_id and", "", Call("replay_delivery")),
    mutant("chatkit_private.requeue_delivery", "where d.id = p_delivery_id", "", Call("replay_delivery")),
    mutant(
        "chatkit_private.requeue_delivery",
        "where o.session_id = d.session_id",
        "",
        Call("replay_delivery"),
    ),
    mutant("chatkit_private.requeue_delivery", "where r.id = d.resumes", "", Call("replay_delivery")),
    // Escalations.
    mutant("chatkit_private.decide_escalation", "and x.org_id = p_org_id", "", Call("decide_escalation")),
    mutant(
        "chatkit_private.decide_escalation",
        "and (x.user_id = p_user_id or v_role in ('owner', 'admin', 'approver'))",
        "",
        LockWait("decide_escalation"),
    ),
    mutant(
        "chatkit_private.decide_escalation",
        "e.session_id = v_session_id and",
        "",
        ForeignIds("decide_escalation"),
    ),
    mutant("chatkit_private.lock_claimable", "and x.org_id = p_org_id", "", Call("claim_escalation")),
    mutant(
        "chatkit_private.lock_claimable",
        "and (x.user_id = p_user_id or p_role in ('owner', 'admin', 'approver'))",
        "",
        LockWait("claim_escalation"),
    ),
    mutant(
        "chatkit_private.claim_escalation",
        "where x.id = p_escalation_id",
        "where x.status = 'open'",
        Call("claim_escalation"),
    ),
    mutant(
        "chatkit_private.release_escalation",
        "where x.id = p_escalation_id and x.status = 'open' and",
        "where x.status = 'open' and",
        Call("release_escalation"),
    ),
    mutant(
        "chatkit_private.resolve_escalation",
        "where x.id = p_escalation.id",
        "",
        Call("decide_escalation"),
    ),
    mutant(
        "chatkit_private.resolve_escalation",
        "where d.id = v_escalation.delivery_id",
        "",
        Call("decide_escalation"),
    ),
    mutant(
        "chatkit_private.decide_by_event",
        "and x.session_id = p_event.session_id",
        "",
        ForeignIds("record_events"),
    ),
    // Transcripts.
    mutant("chatkit_private.enqueue_transcript", "where h.session_id = new.id", "", Call("expire_session")),
    mutant(
        "public.record_thread_items",
        "t.session_id = p_session_id and",
        "",
        ForeignIds("record_thread_items"),
    ),
    mutant("public.record_thread_items", "s.id = p_session_id and", "", Call("record_thread_items")),
    mutant("public.claim_transcripts", "t.due_at <= v_now", "true", Call("claim_transcripts")),
    mutant("public.claim_transcripts", "t.session_id = m.session_id and", "", Call("claim_transcripts")),
    mutant("public.claim_transcripts", "h.session_id = l.session_id", "true", Call("claim_transcripts")),
    mutant("public.claim_transcripts", "u.org_id = l.org_id and", "", Call("claim_transcripts")),
    mutant("public.claim_transcripts", "and u.user_id = l.user_id", "", Call("claim_transcripts")),
    mutant(
        "public.claim_transcripts",
        "for update of t skip locked",
        "for update of t",
        LockWait("claim_transcripts"),
    ),
    mutant("public.request_transcript", "where t.session_id = p_session_id", "", Call("request_transcript")),
    mutant("public.finish_transcript", "t.session_id = p_session_id\n    and", "", Call("finish_transcript")),
    mutant("public.finish_transcript", "t.session_id = p_session_id and", "", Call("finish_transcript")),
];
