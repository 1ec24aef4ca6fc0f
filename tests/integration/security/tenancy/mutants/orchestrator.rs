//! The same of what tells agents, asks people and copies transcripts.
//!
//! Not among them is what is asked a second time. That whoever decides may see the escalation: who may not has not found it. That a
//! head of a queue is due: its queue was. (With neither, calls would be begun twice; that is one.) And what finds one thing by
//! another's own id, of which nobody else has one, where nothing is written by it.

use super::predicates::Noticed::{Called, Guessed, Waited};
use super::predicates::{Weaker, weaker};

/// All of them.
pub const WEAKER: &[Weaker] = &[
    // Whose server, tools and routes.
    weaker(
        "public.register_agent_server",
        "t.org_id = p_org_id and t.agent_id = p_agent_id",
        "t.agent_id = p_agent_id",
        Called("register_agent_server"),
    ),
    weaker("public.register_agent_server", "t.org_id = a.org_id and", "", Called("register_agent_server")),
    weaker("public.register_agent_server", "r.org_id = a.org_id and", "", Called("register_agent_server")),
    weaker(
        "public.register_agent_server",
        "where a.org_id = p_org_id and",
        "where",
        Called("register_agent_server"),
    ),
    weaker(
        "chatkit_private.callable_tool",
        "t.org_id = p_delivery.org_id",
        "t.org_id <> p_delivery.org_id",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.callable_tool",
        "a.org_id = t.org_id",
        "a.org_id <> t.org_id",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.delivery_payload",
        "t.org_id = p_delivery.org_id",
        "t.org_id <> p_delivery.org_id",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.delivery_payload",
        "v.org_id = t.org_id",
        "v.org_id <> t.org_id",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.begin_call",
        "v.org_id = p_delivery.org_id",
        "v.org_id <> p_delivery.org_id",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.retry_delivery",
        "v.org_id = p_delivery.org_id",
        "v.org_id <> p_delivery.org_id",
        Called("finish_delivery"),
    ),
    // Who is told of an event.
    weaker("chatkit_private.route_event", "r.org_id = p_event.org_id\n", "true\n", Called("record_events")),
    weaker(
        "chatkit_private.agent_is_open_to",
        "a.org_id = p_org_id",
        "a.org_id <> p_org_id",
        Called("record_events"),
    ),
    weaker("chatkit_private.route_event", "s.id = p_event.session_id", "true", Called("record_events")),
    weaker(
        "chatkit_private.next_delivery_seq",
        "d.session_id = p_session_id",
        "true",
        Called("record_events"),
    ),
    weaker(
        "chatkit_private.remaining_fan_out",
        "d.session_id = p_session_id and",
        "",
        Called("finish_delivery"),
    ),
    weaker(
        "chatkit_private.follow_up_tool",
        "r.org_id = p_session.org_id",
        "true",
        Called("finish_delivery"),
    ),
    weaker(
        "chatkit_private.follow_up_tool",
        "a.org_id = r.org_id",
        "a.org_id <> r.org_id",
        Called("finish_delivery"),
    ),
    // Whose queue.
    weaker(
        "chatkit_private.refresh_queue_heads",
        "d.session_id = v_session.session_id and",
        "",
        Called("finish_delivery"),
    ),
    weaker(
        "chatkit_private.refresh_queue_heads",
        "q.session_id = v_session.session_id",
        "true",
        Called("cancel_session"),
    ),
    weaker("chatkit_private.withdraw_deliveries", "d.session_id = new.id and", "", Called("cancel_session")),
    // What is due, and no more of an organisation than its share.
    weaker("chatkit_private.free_slots", "d.org_id = p_org_id and", "", Called("claim_deliveries")),
    weaker(
        "chatkit_private.lock_due_sessions",
        "q.org_id = v_org_id and q.due_at <= p_now\n",
        "q.due_at <= p_now\n",
        Called("claim_deliveries"),
    ),
    weaker(
        "public.claim_deliveries",
        "v_now timestamptz := clock_timestamp()",
        "v_now timestamptz := 'infinity'",
        Called("claim_deliveries"),
    ),
    weaker("chatkit_private.begun_by_claim", "d.claim_id = p_claim_id and", "", Called("claim_deliveries")),
    weaker(
        "chatkit_private.lock_due_sessions",
        "for update of s, q skip locked",
        "for update of s, q",
        Waited("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.begin_call",
        "where d.id = p_delivery.id",
        "where true",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.delivery_payload",
        "x.id = coalesce(p_delivery.answer_id, p_delivery.escalation_id)",
        "true",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.requester_rejection",
        "a.org_id = p_delivery.org_id",
        "a.org_id <> p_delivery.org_id",
        Called("claim_deliveries"),
    ),
    // What was called unasked today.
    weaker(
        "chatkit_private.add_to_auto_total",
        "o.org_id = p_delivery.org_id\n    and o.user_id = p_delivery.user_id",
        "o.user_id = p_delivery.user_id",
        Called("claim_deliveries"),
    ),
    weaker(
        "chatkit_private.add_to_auto_total",
        "o.user_id = p_delivery.user_id",
        "true",
        Called("claim_deliveries"),
    ),
    // Whose call is finished, and what is said of it.
    weaker(
        "chatkit_private.lock_delivery",
        "where d.id = p_delivery_id for update",
        "for update",
        Called("finish_delivery"),
    ),
    weaker(
        "public.finish_delivery",
        "(v_delivery.fence = p_fence) is not true",
        "false",
        Called("finish_delivery"),
    ),
    weaker("public.finish_delivery", "where d.id = p_delivery_id", "", Called("finish_delivery")),
    weaker("chatkit_private.close_delivery", "where d.id = p_delivery_id", "", Called("finish_delivery")),
    weaker("chatkit_private.escalate_for_agent", "where d.id = p_delivery.id", "", Called("finish_delivery")),
    weaker("chatkit_private.retry_delivery", "where d.id = p_delivery.id", "", Called("finish_delivery")),
    weaker(
        "chatkit_private.append_agent_message",
        "where s.id = p_delivery.session_id",
        "",
        Called("finish_delivery"),
    ),
    weaker(
        "chatkit_private.complete_delivery",
        "s where s.id = p_delivery.session_id",
        "s",
        Called("finish_delivery"),
    ),
    weaker(
        "chatkit_private.complete_delivery",
        "'agent_id' where s.id = p_delivery.session_id",
        "'agent_id'",
        Called("finish_delivery"),
    ),
    // Whose dead letters.
    weaker(
        "public.list_dead_deliveries",
        "o.org_id = p_org_id\n      and",
        "",
        Called("list_dead_deliveries"),
    ),
    weaker(
        "public.list_dead_deliveries",
        "o.status in ('dead', 'unknown')",
        "true",
        Called("list_dead_deliveries"),
    ),
    weaker("public.replay_delivery", "and d.org_id = p_org_id", "", Called("replay_delivery")),
    weaker("public.replay_delivery", "x.delivery_id = p_delivery_id and", "", Called("replay_delivery")),
    weaker("chatkit_private.requeue_delivery", "where d.id = p_delivery_id", "", Called("replay_delivery")),
    weaker(
        "chatkit_private.requeue_delivery",
        "where o.session_id = d.session_id",
        "",
        Called("replay_delivery"),
    ),
    weaker("chatkit_private.requeue_delivery", "where r.id = d.resumes", "", Called("replay_delivery")),
    // Whose escalation.
    weaker("chatkit_private.decide_escalation", "and x.org_id = p_org_id", "", Called("decide_escalation")),
    weaker(
        "chatkit_private.decide_escalation",
        "and (x.user_id = p_user_id or v_role in ('owner', 'admin', 'approver'))",
        "",
        Waited("decide_escalation"),
    ),
    weaker(
        "chatkit_private.decide_escalation",
        "e.session_id = v_session_id and",
        "",
        Guessed("decide_escalation"),
    ),
    weaker(
        "chatkit_private.resolve_escalation",
        "where x.id = p_escalation.id",
        "",
        Called("decide_escalation"),
    ),
    weaker(
        "chatkit_private.resolve_escalation",
        "where d.id = v_escalation.delivery_id",
        "",
        Called("decide_escalation"),
    ),
    weaker(
        "chatkit_private.decide_by_event",
        "and x.session_id = p_event.session_id",
        "",
        Guessed("record_events"),
    ),
    // Whose transcript.
    weaker("chatkit_private.enqueue_transcript", "where h.session_id = new.id", "", Called("expire_session")),
    weaker(
        "public.record_thread_items",
        "t.session_id = p_session_id and",
        "",
        Guessed("record_thread_items"),
    ),
    weaker("public.record_thread_items", "s.id = p_session_id and", "", Called("record_thread_items")),
    weaker("public.claim_transcripts", "t.due_at <= v_now", "true", Called("claim_transcripts")),
    weaker("public.claim_transcripts", "t.session_id = m.session_id and", "", Called("claim_transcripts")),
    weaker("public.claim_transcripts", "h.session_id = l.session_id", "true", Called("claim_transcripts")),
    weaker("public.claim_transcripts", "u.org_id = l.org_id and", "", Called("claim_transcripts")),
    weaker("public.claim_transcripts", "and u.user_id = l.user_id", "", Called("claim_transcripts")),
    weaker(
        "public.claim_transcripts",
        "for update of t skip locked",
        "for update of t",
        Waited("claim_transcripts"),
    ),
    weaker(
        "public.request_transcript",
        "where t.session_id = p_session_id",
        "",
        Called("request_transcript"),
    ),
    weaker(
        "public.finish_transcript",
        "t.session_id = p_session_id\n    and",
        "",
        Called("finish_transcript"),
    ),
    weaker("public.finish_transcript", "t.session_id = p_session_id and", "", Called("finish_transcript")),
];
