//! Pieces of functions' texts that are the rules of approval, and what stands there once a rule is taken out.
//!
//! Not among them is what is asked twice, so that either suffices, and what histories do not have: other requesters, and agents
//! with several tools (the rules of tenancy cover those). That a requester does not release a lower amount is one of the former:
//! without it no call goes out either, only the question comes later (`escalations/lowered.rs` has it).

use super::generator::Theme::{
    self, Anything, Asks, Confirms, Edits, FollowUps, Leases, Pages, People, Totals,
};

/// A rule, and its absence.
pub struct Rule {
    /// The function.
    pub of: &'static str,
    /// A piece of its text.
    pub text: &'static str,
    /// What stands there instead.
    pub instead: &'static str,
    /// The histories that look for it.
    pub theme: Theme,
}

const fn rule(of: &'static str, text: &'static str, instead: &'static str, theme: Theme) -> Rule {
    Rule { of, text, instead, theme }
}

/// All of them.
pub const RULES: &[Rule] = &[
    // Amounts, currencies and units.
    rule("private.amount_of", "abs(", "(", Totals),
    rule("private.amount_of", "p_tool.unit = 'major' or v_amount = trunc(v_amount)", "true", Anything),
    rule("private.amount_of", "'^-?[0-9]", "'^ ?-?[0-9]", Anything),
    rule(
        "private.comparable_amount",
        "when private.currency_of(p_tool, p_call) = coalesce(p_tool.currency, private.currency_of(p_tool, p_call))",
        "when true",
        Anything,
    ),
    rule("private.currency_of", "and v_found #>> '{}' ~ '^[A-Z]{3}$'", "", Anything),
    rule("private.currency_of", "if p_tool.currency_pointer is null then", "if true then", Totals),
    // Verdicts.
    rule(
        "private.verdict_on",
        "p_tool.name is null or p_tool.policy = 'never'",
        "p_tool.name is null",
        Anything,
    ),
    rule("private.verdict_on", "p_tool.refuse_above is not null and v_amount is null", "false", Anything),
    rule("private.verdict_on", "v_amount > p_tool.refuse_above", "false", Anything),
    rule("private.verdict_on", "v_amount > p_tool.refuse_above", "v_amount >= p_tool.refuse_above", Anything),
    rule(
        "private.verdict_on",
        "when p_tool.policy = 'ask' then 'ask'",
        "when p_tool.policy = 'ask' then 'auto'",
        Anything,
    ),
    rule(
        "private.verdict_on",
        "num_nonnulls(p_tool.ask_above, p_tool.ask_above_total) > 0 and v_amount is null",
        "false",
        Anything,
    ),
    rule(
        "private.verdict_on",
        "num_nonnulls(p_tool.ask_above, p_tool.ask_above_total) > 0",
        "p_tool.ask_above is not null",
        Totals,
    ),
    rule("private.verdict_on", "v_amount > p_tool.ask_above then", "false then", Anything),
    rule(
        "private.verdict_on",
        "v_amount > p_tool.ask_above then",
        "v_amount >= p_tool.ask_above then",
        Anything,
    ),
    rule("private.verdict_on", "else p_tool.policy", "else 'auto'", Confirms),
    // Totals.
    rule("private.keep_auto_total", "interval '24 hours'", "interval '1 hour'", Totals),
    rule(
        "private.keep_auto_total",
        "and (o.currency is null or v_currency is null or o.currency = v_currency)",
        "",
        Totals,
    ),
    rule(
        "private.keep_auto_total",
        "v_total + v_amount > p_tool.ask_above_total",
        "v_amount > p_tool.ask_above_total",
        Totals,
    ),
    rule("private.keep_auto_total", "and o.delivery_id <> p_delivery.id", "", Leases),
    rule("private.keep_auto_total", "bool_and(o.unit = p_tool.unit)", "bool_and(true)", Totals),
    // Approvals, where an approved call begins.
    rule("private.release_of", "p_delivery.released_hash = private.hash_of(p_call)", "true", Asks),
    rule(
        "private.release_of",
        "private.member_role(p_delivery.org_id, x.decided_by) in ('owner', 'admin', 'approver')",
        "true",
        People,
    ),
    rule(
        "private.release_of",
        "private.member_role(p_delivery.org_id, x.decided_by) in ('owner', 'admin', 'approver')",
        "private.member_role(p_delivery.org_id, x.decided_by) is not null",
        People,
    ),
    rule(
        "private.admit_call",
        "v_release = 'confirm' and v_verdict = 'confirm'",
        "v_release = 'confirm'",
        Confirms,
    ),
    rule("private.admit_call", "v_verdict in ('never', 'unreadable')", "v_verdict = 'never'", Confirms),
    // What is shown, hashed and sent.
    rule("private.call_of", "'metadata', s.metadata", "'metadata', '{}'::jsonb", Anything),
    rule("private.call_of", "'channel', s.channel", "'channel', 'none'", Anything),
    rule(
        "private.call_of",
        "where x.id = p_delivery.answer_id and d.decision ? 'answer'",
        "where false",
        Asks,
    ),
    rule(
        "private.decision_json",
        "p_escalation.kind = 'agent_asked' and p_escalation.decision <> 'reject'",
        "p_escalation.kind = 'agent_asked'",
        Asks,
    ),
    rule(
        "private.resolve_escalation",
        "private.hash_of(private.call_in(v_escalation.subject))",
        "private.hash_of(private.call_of(v_delivery))",
        Anything,
    ),
    // Who decides.
    rule("private.check_decider", "if v_own then", "if false then", Anything),
    rule("private.check_decider", "p_user_id = p_escalation.author_id", "false", Edits),
    rule(
        "private.check_decider",
        "or p_user_id::text = p_escalation.subject #>> '{decision,decidedBy}'",
        "",
        Asks,
    ),
    rule("private.check_decider", "p_escalation.kind = 'confirm' and not v_own", "false", Confirms),
    rule("private.check_decider", "if p_decision = 'reject' then", "if false then", Anything),
    rule(
        "private.check_decision",
        "(p_subject_hash = p_escalation.subject_hash) is not true",
        "false",
        Anything,
    ),
    rule("private.check_decision", "or p_escalation.expires_at <= clock_timestamp()", "", Asks),
    rule(
        "private.check_decision",
        "is not distinct from (p_user_id, p_decision, p_answer)",
        "is distinct from (null, null, null)",
        Anything,
    ),
    rule(
        "private.check_decision",
        "and (p_decision = 'reject' and p_user_id = p_escalation.user_id) is not true",
        "",
        Asks,
    ),
    rule(
        "private.check_decision",
        "(p_decision = any (p_escalation.decisions)) is not true",
        "false",
        Anything,
    ),
    rule("private.check_decision", "p_decision in ('edit', 'respond') and p_answer is null", "false", Asks),
    rule(
        "private.check_decision",
        "p_decision = 'edit' and jsonb_typeof(p_answer) <> 'object'",
        "false",
        Edits,
    ),
    // What somebody wrote.
    rule("private.resume_written", "v_verdict in ('never', 'unreadable')", "false", Edits),
    rule("private.resume_written", "if v_tool.release_lowered_amount", "if true", Edits),
    rule("private.resume_written", "p_escalation.revision >= 5", "false", Edits),
    rule(
        "private.resume_written",
        "if not private.has_other_approver(",
        "if false and not private.has_other_approver(",
        Anything,
    ),
    rule("private.needs_approval", "x.id = p_delivery.answer_id and x.answer is not null", "false", Asks),
    rule(
        "private.needs_approval",
        "coalesce(private.member_role(x.org_id, x.decided_by), '') not in ('owner', 'admin', 'approver')",
        "false",
        People,
    ),
    rule("private.needs_approval", "and x.decision <> 'reject'", "", Asks),
    rule("private.needs_approval", "and x.approver = 'other'", "", Asks),
    rule("private.resolve_escalation", "v_delivery.fence > 0", "false", Leases),
    rule("private.has_other_approver", "and u.id <> all (array_remove(p_not, null))", "", Anything),
    rule("private.only_lowers_amount", "(v_before #- v_path) = (v_after #- v_path)", "true", Edits),
    rule(
        "private.only_lowers_amount",
        "and p_before - '{inputs,decision}'::text[] = p_after - '{inputs,decision}'::text[]",
        "",
        Edits,
    ),
    rule(
        "private.only_lowers_amount",
        "(left(v_from #>> '{}', 1) = '-') = (left(v_to #>> '{}', 1) = '-')",
        "true",
        Edits,
    ),
    rule("private.keep_auto_total", ", begun_at = excluded.begun_at", "", Leases),
    rule("private.only_lowers_amount", "jsonb_typeof(v_from) = jsonb_typeof(v_to)", "true", Edits),
    rule("private.only_lowers_amount", "< private.comparable_amount", "<> private.comparable_amount", Edits),
    rule(
        "private.resume_delivery",
        "coalesce(p_author_id, p_delivery.author_id)",
        "p_delivery.author_id",
        Edits,
    ),
    rule(
        "private.resume_delivery",
        "then p_escalation.id else p_delivery.answer_id",
        "then null else p_delivery.answer_id",
        Asks,
    ),
    // The authority of an agent that asks.
    rule(
        "private.ask_people",
        "private.higher_risk(coalesce(v_tool.risk, 'high'), p_ask ->> 'risk')",
        "coalesce(p_ask ->> 'risk', v_tool.risk, 'high')",
        Asks,
    ),
    rule("private.ask_people", "least((p_ask", "coalesce((p_ask", Asks),
    rule(
        "private.ask_people",
        "when 'other' in (coalesce(v_tool.approver, 'other'), p_ask ->> 'approver') then 'other'",
        "when coalesce(p_ask ->> 'approver', v_tool.approver, 'other') = 'other' then 'other'",
        Asks,
    ),
    // Where a call begins.
    rule(
        "private.requester_refusal",
        "when m.role is null then 'requester_gone'",
        "when false then ''",
        People,
    ),
    rule(
        "private.requester_refusal",
        "when m.role <> all (a.allowed_org_roles) then 'agent_forbidden'",
        "",
        People,
    ),
    rule("private.tool_of", "and a.enabled", "", Anything),
    rule("private.begin_call", "p_delivery.attempts >= v_server.max_attempts", "false", Leases),
    rule("private.begin_call", "coalesce(v_tool.idempotent, false) and", "", Leases),
    // The ways to an agent.
    rule("private.agent_is_open_to", "m.role = any (a.allowed_org_roles)", "true", People),
    rule("private.agent_is_open_to", "and a.enabled", "", Anything),
    rule(
        "private.route_event",
        "where private.agent_is_open_to(",
        "where true or private.agent_is_open_to(",
        People,
    ),
    rule(
        "private.follow_ups_of",
        "when not private.agent_is_open_to(",
        "when false and not private.agent_is_open_to(",
        FollowUps,
    ),
    rule("private.follow_ups_of", "when p_delivery.depth >= 5", "when false", FollowUps),
    rule("private.openable_agent", "v_role <> all (v_agent.allowed_org_roles)", "false", Anything),
    rule("private.hand_over", "if v_from <> v_current then", "if false then", Anything),
    // Members.
    rule("private.member_role", "and not u.is_anonymous", "", People),
    rule("private.member_role", "and u.deleted_at is null", "", People),
    rule("private.member_role", "and (u.banned_until is null or u.banned_until <= now())", "", People),
    rule(
        "private.record_events",
        "if private.member_role(p_org_id, p_user_id) is null then",
        "if false then",
        People,
    ),
    // Ends.
    rule("private.withdraw_deliveries", "d.status in ('pending', 'asked')", "d.status = 'asked'", Anything),
    rule("public.expire_escalations", "and d.status = 'asked'", "and false", Asks),
    rule("public.replay_delivery", "x.delivery_id = p_delivery_id and", "false and", Leases),
    rule("public.replay_delivery", "and d.org_id = p_org_id", "", Leases),
    rule("private.open_escalation", "2592000", "25920000", Pages),
    rule("private.open_escalation", "v_of_session >= c_most_of_session or", "", Pages),
];

/// What the tests look for at every change.
pub const FEW: &[(&str, &str)] = &[
    ("private.amount_of", "abs("),
    ("private.verdict_on", "else p_tool.policy"),
    ("private.keep_auto_total", "v_total + v_amount > p_tool.ask_above_total"),
    ("private.check_decider", "if v_own then"),
    ("private.check_decider", "p_user_id = p_escalation.author_id"),
    ("private.call_of", "'metadata', s.metadata"),
    ("private.requester_refusal", "when m.role is null then 'requester_gone'"),
];
