//! The mutants of the rules for calls of models.

use super::generator::Theme::Chats;
use super::rules::{Rule, rule};

pub const CHAT_RULES: &[Rule] = &[
    rule("chatkit_private.offered_tools", "and t.policy <> 'never'", "", Chats),
    rule("chatkit_private.call_rejection", "and t.description is not null", "", Chats),
    rule("chatkit_private.call_rejection", "d.in_turn and d.run_id = p_run.id", "false", Chats),
    rule("chatkit_private.call_rejection", "and d.inputs = p_inputs", "", Chats),
    rule(
        "chatkit_private.call_rejection",
        "d.status in ('pending', 'running', 'asked')",
        "d.status in ('pending', 'running')",
        Chats,
    ),
    rule("chatkit_private.call_rejection", "and r.thread_id = p_run.thread_id", "", Chats),
    rule("chatkit_private.call_rejection", "d.status in ('dead', 'unknown')", "d.status = 'unknown'", Chats),
    rule(
        "chatkit_private.call_rejection",
        "where l.thread_id = p_run.thread_id",
        "where l.thread_id = p_run.thread_id and l.session_id = p_run.session_id",
        Chats,
    ),
    rule("chatkit_private.begin_due_call", "and v_delivery.status = 'running'", "and false", Chats),
    rule("chatkit_private.must_stop", "p_run.stop_requested_at is not null", "false", Chats),
    rule("public.begin_chat_call", "and d.status = 'dead'", "and false", Chats),
    rule(
        "chatkit_private.has_read_tool_output",
        "r.question_seq = p_run.question_seq and d.fence > 0",
        "false",
        Chats,
    ),
    rule(
        "public.begin_chat_call",
        "where d.run_id = p_run_id and d.call_id = p_call_id",
        "where false",
        Chats,
    ),
    rule(
        "chatkit_private.delivery_decision",
        "v_verdict = 'auto' and chatkit_private.is_influenced",
        "false and chatkit_private.is_influenced",
        Chats,
    ),
    rule("chatkit_private.is_influenced", "and not (p_tool).trusts_tool_output", "", Chats),
    rule("chatkit_private.is_influenced", "(p_tool).refuse_above", "null", Chats),
    rule(
        "chatkit_private.take_over_calls",
        "if chatkit_private.may_repeat_call(v_delivery) then",
        "if true then",
        Chats,
    ),
    rule("chatkit_private.take_over_calls", "and d.lease_until <= p_now", "", Chats),
    rule("public.finish_delivery", "if v_delivery.in_turn then", "if false then", Chats),
    rule("chatkit_private.resume_delivery", "p_delivery.follows_tool_output", "false", Chats),
    rule("chatkit_private.begin_due_call", "and not d.in_turn", "", Chats),
    rule(
        "chatkit_private.stop_runs",
        "where r.session_id = new.id and r.status = 'running'",
        "where false",
        Chats,
    ),
];
