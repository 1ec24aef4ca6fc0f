//! The mutants: pieces of SQL functions that implement approval rules, and their replacements.
//!
//! The list excludes rules that are checked twice, and cases that histories do not contain: other
//! requesters, and agents with several tools, which the tenancy tests cover. Without the rule that
//! a requester cannot release a lower amount, no call is made either; only the escalation opens
//! later.

use super::chat_rules::CHAT_RULES;
use super::generator::Theme;
use super::generator::Theme::{Anything, Asks, Confirms, Edits, FollowUps, Leases, Pages, People, Totals};

/// A rule and its mutation.
pub struct Rule {
    /// The SQL function that the mutant changes.
    pub of: &'static str,
    /// The text that implements the rule.
    pub text: &'static str,
    pub instead: &'static str,
    /// The theme of the histories that detect it.
    pub theme: Theme,
}

pub const fn rule(of: &'static str, text: &'static str, instead: &'static str, theme: Theme) -> Rule {
    Rule { of, text, instead, theme }
}

pub fn all_rules() -> impl Iterator<Item = &'static Rule> {
    CHAT_RULES.iter().chain(RULES)
}

pub const COUNT: usize = RULES.len() + CHAT_RULES.len();

const RULES: &[Rule] = &[
    // Amounts, currencies and units.
    rule("chatkit_private.call_amount", "abs(", "(", Totals),
    rule(
        "chatkit_private.call_amount",
        "p_tool.unit = 'major' or v_amount = trunc(v_amount)",
        "true",
        Anything,
    ),
    rule("chatkit_private.call_amount", "'^-?[0-9]", "'^ ?-?[0-9]", Anything),
    rule(
        "chatkit_private.comparable_amount",
        "when chatkit_private.call_currency(p_tool, p_call) = coalesce(p_tool.currency, chatkit_private.call_currency(p_tool, p_call))",
        "when true",
        Anything,
    ),
    rule("chatkit_private.call_currency", "and v_found #>> '{}' ~ '^[A-Z]{3}$'", "", Anything),
    rule("chatkit_private.call_currency", "if p_tool.currency_pointer is null then", "if true then", Totals),
    // Policy decisions.
    rule(
        "chatkit_private.policy_decision",
        "p_tool.name is null or p_tool.policy = 'never'",
        "p_tool.name is null",
        Anything,
    ),
    rule(
        "chatkit_private.policy_decision",
        "p_tool.refuse_above is not null and v_amount is null",
        "false",
        Anything,
    ),
    rule("chatkit_private.policy_decision", "v_amount > p_tool.refuse_above", "false", Anything),
    rule(
        "chatkit_private.policy_decision",
        "v_amount > p_tool.refuse_above",
        "v_amount >= p_tool.refuse_above",
        Anything,
    ),
    rule(
        "chatkit_private.policy_decision",
        "when p_tool.policy = 'ask' then 'ask'",
        "when p_tool.policy = 'ask' then 'auto'",
        Anything,
    ),
    rule(
        "chatkit_private.policy_decision",
        "num_nonnulls(p_tool.ask_above, p_tool.ask_above_total) > 0 and v_amount is null",
        "false",
        Anything,
    ),
    rule(
        "chatkit_private.policy_decision",
        "num_nonnulls(p_tool.ask_above, p_tool.ask_above_total) > 0",
        "p_tool.ask_above is not null",
        Totals,
    ),
    rule("chatkit_private.policy_decision", "v_amount > p_tool.ask_above then", "false then", Anything),
    rule(
        "chatkit_private.policy_decision",
        "v_amount > p_tool.ask_above then",
        "v_amount >= p_tool.ask_above then",
        Anything,
    ),
    rule("chatkit_private.policy_decision", "else p_tool.policy", "else 'auto'", Confirms),
    // Totals.
    rule("chatkit_private.add_to_auto_total", "interval '24 hours'", "interval '1 hour'", Totals),
    rule(
        "chatkit_private.add_to_auto_total",
        "and (o.currency is null or v_currency is null or o.currency = v_currency)",
        "",
        Totals,
    ),
    rule(
        "chatkit_private.add_to_auto_total",
        "v_total + v_amount > p_tool.ask_above_total",
        "v_amount > p_tool.ask_above_total",
        Totals,
    ),
    rule("chatkit_private.add_to_auto_total", "and o.delivery_id <> p_delivery.id", "", Leases),
    rule("chatkit_private.add_to_auto_total", "bool_and(o.unit = p_tool.unit)", "bool_and(true)", Totals),
    // Approvals at the start of a call.
    rule(
        "chatkit_private.release_kind",
        "p_delivery.released_hash = chatkit_private.content_hash(p_call)",
        "true",
        Asks,
    ),
    rule(
        "chatkit_private.release_kind",
        "chatkit_private.member_role(p_delivery.org_id, x.decided_by) in ('owner', 'admin', 'approver')",
        "true",
        People,
    ),
    rule(
        "chatkit_private.release_kind",
        "chatkit_private.member_role(p_delivery.org_id, x.decided_by) in ('owner', 'admin', 'approver')",
        "chatkit_private.member_role(p_delivery.org_id, x.decided_by) is not null",
        People,
    ),
    rule(
        "chatkit_private.authorize_call",
        "v_release = 'confirm' and v_verdict = 'confirm'",
        "v_release = 'confirm'",
        Confirms,
    ),
    rule(
        "chatkit_private.authorize_call",
        "v_verdict in ('never', 'unreadable')",
        "v_verdict = 'never'",
        Confirms,
    ),
    // The displayed, hashed and sent call.
    rule("chatkit_private.build_call", "'metadata', s.metadata", "'metadata', '{}'::jsonb", Anything),
    rule("chatkit_private.build_call", "'channel', s.channel", "'channel', 'none'", Anything),
    rule(
        "chatkit_private.build_call",
        "where x.id = p_delivery.answer_id and d.decision ? 'answer'",
        "where false",
        Asks,
    ),
    rule(
        "chatkit_private.decision_payload",
        "p_escalation.kind = 'agent_asked' and p_escalation.decision <> 'reject'",
        "p_escalation.kind = 'agent_asked'",
        Asks,
    ),
    rule(
        "chatkit_private.resolve_escalation",
        "chatkit_private.content_hash(chatkit_private.subject_call(v_escalation.subject))",
        "chatkit_private.content_hash(chatkit_private.build_call(v_delivery))",
        Anything,
    ),
    // Who may decide.
    rule(
        "chatkit_private.decision_rejection",
        "p_escalation.approver = 'other' and r.is_own",
        "false",
        Anything,
    ),
    rule(
        "chatkit_private.decision_rejection",
        "p_user_id is not distinct from p_escalation.author_id",
        "false",
        Edits,
    ),
    rule(
        "chatkit_private.decision_rejection",
        "or p_user_id::text is not distinct from p_escalation.subject #>> '{decision,decidedBy}'",
        "",
        Asks,
    ),
    rule(
        "chatkit_private.decision_rejection",
        "p_escalation.kind = 'confirm' and not r.is_own",
        "false",
        Confirms,
    ),
    rule(
        "chatkit_private.decision_rejection",
        "p_decision <> 'reject' and p_escalation.approver = 'other' and r.is_author",
        "p_escalation.approver = 'other' and r.is_author",
        Edits,
    ),
    rule(
        "chatkit_private.check_decision",
        "(p_subject_hash = p_escalation.subject_hash) is not true",
        "false",
        Anything,
    ),
    rule(
        "chatkit_private.decision_rejection",
        "when p_escalation.expires_at <= clock_timestamp() then 'expired'",
        "",
        Asks,
    ),
    rule(
        "chatkit_private.check_decision",
        "is not distinct from (p_user_id, p_decision, p_answer, p_comment)",
        "is distinct from (null, null, null, null)",
        Anything,
    ),
    rule("chatkit_private.decision_rejection", "when p_decision = 'reject' and r.is_own then null", "", Asks),
    rule(
        "chatkit_private.decision_rejection",
        "(p_decision = any (p_escalation.decisions)) is not true",
        "false",
        Anything,
    ),
    rule(
        "chatkit_private.check_decision",
        "p_decision in ('edit', 'respond') and p_answer is null",
        "false",
        Asks,
    ),
    rule(
        "chatkit_private.check_decision",
        "p_decision = 'edit' and jsonb_typeof(p_answer) <> 'object'",
        "false",
        Edits,
    ),
    // Edits and answers.
    rule("chatkit_private.resume_with_new_call", "v_verdict in ('never', 'unreadable')", "false", Edits),
    rule("chatkit_private.resume_with_new_call", "if v_tool.release_lowered_amount", "if true", Edits),
    rule("chatkit_private.resume_with_new_call", "p_escalation.revision >= 5", "false", Edits),
    rule(
        "chatkit_private.resume_with_new_call",
        "if not chatkit_private.has_other_approver(",
        "if false and not chatkit_private.has_other_approver(",
        Anything,
    ),
    rule(
        "chatkit_private.needs_approval",
        "x.id = p_delivery.answer_id and x.answer is not null",
        "false",
        Asks,
    ),
    rule(
        "chatkit_private.needs_approval",
        "coalesce(chatkit_private.member_role(x.org_id, x.decided_by), '') not in ('owner', 'admin', 'approver')",
        "false",
        People,
    ),
    rule("chatkit_private.needs_approval", "and x.decision <> 'reject'", "", Asks),
    rule("chatkit_private.needs_approval", "and x.approver = 'other'", "", Asks),
    rule("chatkit_private.resolve_escalation", "v_delivery.fence > 0", "false", Leases),
    rule("chatkit_private.has_other_approver", "and u.id <> all (array_remove(p_not, null))", "", Anything),
    rule("chatkit_private.only_lowers_amount", "(v_before #- v_path) = (v_after #- v_path)", "true", Edits),
    rule(
        "chatkit_private.only_lowers_amount",
        "and p_before - '{inputs,decision}'::text[] = p_after - '{inputs,decision}'::text[]",
        "",
        Edits,
    ),
    rule(
        "chatkit_private.only_lowers_amount",
        "(left(v_from #>> '{}', 1) = '-') = (left(v_to #>> '{}', 1) = '-')",
        "true",
        Edits,
    ),
    rule("chatkit_private.add_to_auto_total", ", begun_at = excluded.begun_at", "", Leases),
    rule("chatkit_private.only_lowers_amount", "jsonb_typeof(v_from) = jsonb_typeof(v_to)", "true", Edits),
    rule(
        "chatkit_private.only_lowers_amount",
        "< chatkit_private.comparable_amount",
        "<> chatkit_private.comparable_amount",
        Edits,
    ),
    rule(
        "chatkit_private.resume_delivery",
        "coalesce(p_author_id, p_delivery.author_id)",
        "p_delivery.author_id",
        Edits,
    ),
    rule(
        "chatkit_private.resume_delivery",
        "then p_escalation.id else p_delivery.answer_id",
        "then null else p_delivery.answer_id",
        Asks,
    ),
    // The authority of an agent's request.
    rule(
        "chatkit_private.open_delivery_escalation",
        "chatkit_private.higher_risk(coalesce(v_tool.risk, 'high'), p_ask ->> 'risk')",
        "coalesce(p_ask ->> 'risk', v_tool.risk, 'high')",
        Asks,
    ),
    rule(
        "chatkit_private.open_delivery_escalation",
        "v_seconds integer := least(",
        "v_seconds integer := coalesce(",
        Asks,
    ),
    rule(
        "chatkit_private.open_delivery_escalation",
        "when 'other' in (coalesce(v_tool.approver, 'other'), p_ask ->> 'approver') then 'other'",
        "when coalesce(p_ask ->> 'approver', v_tool.approver, 'other') = 'other' then 'other'",
        Asks,
    ),
    // The start of a call.
    rule(
        "chatkit_private.requester_rejection",
        "when m.role is null then 'requester_gone'",
        "when false then ''",
        People,
    ),
    rule(
        "chatkit_private.requester_rejection",
        "when m.role <> all (a.allowed_org_roles) then 'agent_forbidden'",
        "",
        People,
    ),
    rule("chatkit_private.callable_tool", "and a.enabled", "", Anything),
    rule("chatkit_private.begin_call", "p_delivery.attempts >= v_server.max_attempts", "false", Leases),
    rule(
        "chatkit_private.may_repeat_call",
        "coalesce((chatkit_private.callable_tool(p_delivery)).idempotent, false)",
        "true",
        Leases,
    ),
    // Routes to an agent.
    rule("chatkit_private.agent_is_open_to", "m.role = any (a.allowed_org_roles)", "true", People),
    rule("chatkit_private.agent_is_open_to", "and a.enabled", "", Anything),
    rule(
        "chatkit_private.route_event",
        "where chatkit_private.agent_is_open_to(",
        "where true or chatkit_private.agent_is_open_to(",
        People,
    ),
    rule(
        "chatkit_private.plan_follow_ups",
        "when not chatkit_private.agent_is_open_to(",
        "when false and not chatkit_private.agent_is_open_to(",
        FollowUps,
    ),
    rule("chatkit_private.plan_follow_ups", "when p_delivery.depth >= 5", "when false", FollowUps),
    rule("chatkit_private.openable_agent", "v_role <> all (v_agent.allowed_org_roles)", "false", Anything),
    rule("chatkit_private.hand_over", "if v_from <> v_session.agent_id then", "if false then", Anything),
    // Membership.
    rule("chatkit_private.member_role", "and not u.is_anonymous", "", People),
    rule("chatkit_private.member_role", "and u.deleted_at is null", "", People),
    rule(
        "chatkit_private.member_role",
        "and (u.banned_until is null or u.banned_until <= now())",
        "",
        People,
    ),
    rule(
        "chatkit_private.record_events",
        "if chatkit_private.member_role(p_org_id, p_user_id) is null then",
        "if false then",
        People,
    ),
    // Ends of sessions and escalations.
    rule(
        "chatkit_private.withdraw_deliveries",
        "d.status in ('pending', 'asked')",
        "d.status = 'asked'",
        Anything,
    ),
    rule("public.expire_escalations", "and d.status = 'asked'", "and false", Asks),
    rule("public.replay_delivery", "x.delivery_id = p_delivery_id and", "false and", Leases),
    rule("public.replay_delivery", "and d.org_id = p_org_id", "", Leases),
    rule("chatkit_private.open_escalation", "2592000", "25920000", Pages),
    rule("chatkit_private.open_escalation", "v_of_session >= c_most_of_session or", "", Pages),
];

/// The mutants of a small run.
pub const FEW: &[(&str, &str)] = &[
    ("chatkit_private.is_influenced", "and not (p_tool).trusts_tool_output"),
    ("public.begin_chat_call", "and d.status = 'dead'"),
    ("chatkit_private.call_amount", "abs("),
    ("chatkit_private.policy_decision", "else p_tool.policy"),
    ("chatkit_private.add_to_auto_total", "v_total + v_amount > p_tool.ask_above_total"),
    ("chatkit_private.decision_rejection", "p_escalation.approver = 'other' and r.is_own"),
    ("chatkit_private.decision_rejection", "p_user_id is not distinct from p_escalation.author_id"),
    ("chatkit_private.build_call", "'metadata', s.metadata"),
    ("chatkit_private.requester_rejection", "when m.role is null then 'requester_gone'"),
];
