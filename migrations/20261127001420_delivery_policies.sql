-- Delivery policies: decides whether a call may be made. The decision uses the agent's registration
-- as it is in the transaction that would begin the call.

-- Returns the decision of a tool's registered policy on a call, without the total of the last 24
-- hours (see authorize_call):
--   never       the tool is not called, and no decision can release the call
--   unreadable  the amount cannot be compared with refuse_above; only an edit can release the call
--   ask         another person must approve first
--   confirm     the requester must confirm first
--   auto        the tool is called
create or replace function chatkit_private.policy_decision(p_tool public.agent_tools, p_call jsonb)
returns text
language plpgsql immutable
set search_path = ''
as $$
declare
  v_amount numeric := chatkit_private.comparable_amount(p_tool, p_call);
begin
  return case
    when p_tool.name is null or p_tool.policy = 'never' then 'never'
    when p_tool.refuse_above is not null and v_amount is null then 'unreadable'
    when v_amount > p_tool.refuse_above then 'never'
    when p_tool.policy = 'ask' then 'ask'
    when num_nonnulls(p_tool.ask_above, p_tool.ask_above_total) > 0 and v_amount is null then 'ask'
    when v_amount > p_tool.ask_above then 'ask'
    else p_tool.policy
  end;
end
$$;

-- Reports whether another person must approve a call because of earlier decisions about it,
-- whatever its policy is. This is so if the call contains an answer to a question that the
-- requester could not decide alone, or if the person who decided such a question may no longer
-- decide.
create or replace function chatkit_private.needs_approval(p_delivery public.deliveries)
returns boolean
language sql stable
set search_path = ''
as $$
  select exists (
    select from public.chat_escalations as x
    where x.id in (p_delivery.answer_id, p_delivery.retry_id)
      and x.approver = 'other'
      and x.decision <> 'reject'
      and (
        (x.id = p_delivery.answer_id and x.answer is not null)
        or coalesce(chatkit_private.member_role(x.org_id, x.decided_by), '') not in ('owner', 'admin', 'approver')
      )
  )
$$;

-- Reports whether another person must approve a call because a model wrote it after it had read the
-- output of a tool. That output may contain instructions of a third party. It applies to tools with
-- a limit, unless their registration trusts such calls.
create or replace function chatkit_private.is_influenced(
  p_delivery public.deliveries,
  p_tool public.agent_tools
) returns boolean
language sql immutable
set search_path = ''
as $$
  select p_delivery.follows_tool_output
    and not (p_tool).trusts_tool_output
    and num_nonnulls((p_tool).ask_above, (p_tool).ask_above_total, (p_tool).refuse_above) > 0
$$;

-- Returns the policy decision on a delivery's call. Differs from policy_decision if earlier
-- decisions, or what the model had read, require an approval for a call that the tool's policy
-- allows.
create or replace function chatkit_private.delivery_decision(
  p_delivery public.deliveries,
  p_tool public.agent_tools,
  p_call jsonb
) returns text
language plpgsql stable
set search_path = ''
as $$
declare
  v_verdict text := chatkit_private.policy_decision(p_tool, p_call);
begin
  return case
    when v_verdict in ('auto', 'confirm') and chatkit_private.needs_approval(p_delivery) then 'ask'
    when v_verdict = 'auto' and chatkit_private.is_influenced(p_delivery, p_tool) then 'ask'
    else v_verdict
  end;
end
$$;

-- Returns the kind of the escalation that releases exactly this call, or null. The person who
-- decided it must still be allowed to: an approver for an approval, the requester for a
-- confirmation.
create or replace function chatkit_private.release_kind(p_delivery public.deliveries, p_call jsonb)
returns text
language sql stable
set search_path = ''
as $$
  select x.kind
  from public.chat_escalations as x
  where x.id = p_delivery.release_id
    and p_delivery.released_hash = chatkit_private.content_hash(p_call)
    and case x.kind
      when 'confirm' then x.decided_by = p_delivery.user_id
        and chatkit_private.member_role(p_delivery.org_id, x.decided_by) is not null
      else x.decided_by <> p_delivery.user_id
        and chatkit_private.member_role(p_delivery.org_id, x.decided_by) in ('owner', 'admin', 'approver')
    end
$$;

-- Decides whether a call may begin now. Every call passes through here: first deliveries, retries,
-- deliveries that a decision resumed, replays by an operator, and follow-ups. Returns `admitted`,
-- or the policy decision that prevents the call: never, unreadable, ask or confirm (see
-- policy_decision).
create or replace function chatkit_private.authorize_call(
  p_delivery public.deliveries,
  p_tool public.agent_tools,
  p_call jsonb
) returns text
language plpgsql
set search_path = ''
as $$
declare
  v_verdict text := chatkit_private.delivery_decision(p_delivery, p_tool, p_call);
  v_release text;
begin
  if v_verdict in ('never', 'unreadable') then
    return v_verdict;
  end if;
  v_release := chatkit_private.release_kind(p_delivery, p_call);
  if v_release <> 'confirm' or (v_release = 'confirm' and v_verdict = 'confirm') then
    return 'admitted';
  end if;
  if v_verdict = 'auto' then
    return case
      when chatkit_private.add_to_auto_total(p_delivery, p_tool, p_call) then 'admitted' else 'ask'
    end;
  end if;
  return v_verdict;
end
$$;

-- Reports whether an organisation has an approver other than the people in p_not: the requester,
-- the author of the edited call, and the author of an answer that the call contains.
create or replace function chatkit_private.has_other_approver(p_org_id uuid, p_not uuid[])
returns boolean
language sql stable
set search_path = ''
as $$
  select exists (
    select from auth.users as u
    where chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id
      and u.id <> all (array_remove(p_not, null))
      and chatkit_private.member_role(p_org_id, u.id) in ('owner', 'admin', 'approver')
  )
$$;

-- Returns why a requester may not have an agent called now: they left the organisation, or the
-- agent does not allow their role. Null if the requester may. A disabled agent is not checked here
-- but by callable_tool.
create or replace function chatkit_private.requester_rejection(p_delivery public.deliveries)
returns text
language sql stable
set search_path = ''
as $$
  select case
    when m.role is null then 'requester_gone'
    when m.role <> all (a.allowed_org_roles) then 'agent_forbidden'
  end
  from public.agents as a
  cross join lateral chatkit_private.member_role(p_delivery.org_id, p_delivery.user_id) as m (role)
  where a.org_id = p_delivery.org_id and a.id = p_delivery.agent_id
$$;
