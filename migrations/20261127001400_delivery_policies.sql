-- Delivery policies: builds the document that describes a call and decides whether the call may be
-- made. The decision uses the agent's registration as it is in the transaction that would begin
-- the call.

-- Returns the value at a JSON pointer (RFC 6901), or null if there is none. Does not use
-- PostgreSQL's operator `#>`, which accepts -1 as the index of the last array element.
create or replace function chatkit_private.json_at_pointer(p_document jsonb, p_pointer text)
returns jsonb
language plpgsql immutable strict
set search_path = ''
as $$
declare
  v_token text;
  v_found jsonb := p_document;
begin
  foreach v_token in array (string_to_array(p_pointer, '/'))[2:] loop
    v_token := replace(replace(v_token, '~1', '/'), '~0', '~');
    v_found := case jsonb_typeof(v_found)
      when 'object' then v_found -> v_token
      when 'array' then
        case when v_token ~ '^(0|[1-9][0-9]{0,8})$' then v_found -> v_token::integer end
    end;
  end loop;
  return v_found;
end
$$;

-- Returns the tool of a delivery if it may be called now: it is registered and its agent is
-- enabled. Otherwise returns a row of nulls.
create or replace function chatkit_private.callable_tool(p_delivery public.deliveries)
returns public.agent_tools
language sql stable
set search_path = ''
as $$
  select t
  from public.agent_tools as t
  join public.agents as a on a.org_id = t.org_id and a.id = t.agent_id and a.enabled
  where t.org_id = p_delivery.org_id
    and t.agent_id = p_delivery.agent_id
    and t.name = p_delivery.tool
$$;

-- Returns a decision in the form in which the tool receives it. The answer is included where it is
-- meant for the tool: an edited call, or the answer to the agent's own question. A rejection has
-- no answer.
create or replace function chatkit_private.decision_payload(p_escalation public.chat_escalations)
returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'escalationId', p_escalation.id,
    'decision', p_escalation.decision,
    'decidedBy', p_escalation.decided_by,
    'decidedAt', chatkit_private.utc_text(p_escalation.decided_at)
  ) || case
    when p_escalation.answer is not null
      and (
        p_escalation.decision = 'edit'
        or (p_escalation.kind = 'agent_asked' and p_escalation.decision <> 'reject')
      )
      then jsonb_build_object('answer', p_escalation.answer)
    else '{}'
  end
$$;

-- Returns the call document: what the tool receives, without the idempotency key and without the
-- decision that releases the call. One document serves four purposes: the policy checks it, people
-- see it, the hash of an approval covers it, and the dispatcher sends it.
create or replace function chatkit_private.build_call(p_delivery public.deliveries) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'agentId', p_delivery.agent_id,
    'tool', p_delivery.tool,
    'objective', case e.type when 'agent_follow_up' then e.payload -> 'objective' end
  )) || jsonb_build_object(
    'session', jsonb_build_object(
      'id', s.id, 'orgId', s.org_id, 'userId', s.user_id, 'agentId', s.agent_id,
      'channel', s.channel, 'metadata', s.metadata
    ),
    'event', jsonb_build_object(
      'id', e.id, 'seq', e.seq, 'type', e.type, 'payload', e.payload,
      'actorType', e.actor_type, 'actorId', e.actor_id,
      'occurredAt', chatkit_private.utc_text(e.occurred_at),
      'createdAt', chatkit_private.utc_text(e.created_at)
    )
  ) || case
    when p_delivery.inputs is not null then jsonb_build_object('inputs', p_delivery.inputs)
    when e.type = 'agent_follow_up' and jsonb_typeof(e.payload -> 'inputs') = 'object'
      then jsonb_build_object('inputs', e.payload -> 'inputs')
    else '{}'
  end || coalesce((
    select jsonb_build_object('decision', d.decision)
    from public.chat_escalations as x
    cross join lateral chatkit_private.decision_payload(x) as d (decision)
    where x.id = p_delivery.answer_id and d.decision ? 'answer'
  ), '{}')
  from public.chat_sessions as s
  join public.chat_events as e on e.session_id = s.id and e.id = p_delivery.about_event_id
  where s.id = p_delivery.session_id
$$;

-- Returns the object in which the pointers to the amount and the currency are resolved.
create or replace function chatkit_private.call_inputs(p_call jsonb) returns jsonb
language sql immutable
set search_path = ''
return coalesce(p_call -> 'inputs', p_call -> 'event' -> 'payload');

-- Returns the absolute value of a call's amount, or null if it cannot be read. The amount is a
-- JSON number, or a string that contains only a plain decimal number. An amount in minor units
-- must be an integer.
create or replace function chatkit_private.call_amount(p_tool public.agent_tools, p_call jsonb)
returns numeric
language plpgsql immutable
set search_path = ''
as $$
declare
  v_found jsonb :=
    chatkit_private.json_at_pointer(chatkit_private.call_inputs(p_call), p_tool.amount_pointer);
  v_amount numeric;
begin
  if jsonb_typeof(v_found) = 'number'
     or (
       jsonb_typeof(v_found) = 'string'
       and v_found #>> '{}' ~ '^-?[0-9]{1,100}(\.[0-9]{1,100})?$'
     ) then
    v_amount := abs((v_found #>> '{}')::numeric);
  end if;
  return case when p_tool.unit = 'major' or v_amount = trunc(v_amount) then v_amount end;
end
$$;

-- Returns the currency of a call: the one in the call if the tool has a currency pointer,
-- otherwise the tool's. Null if there is no valid currency.
create or replace function chatkit_private.call_currency(p_tool public.agent_tools, p_call jsonb)
returns text
language plpgsql immutable
set search_path = ''
as $$
declare
  v_found jsonb;
begin
  if p_tool.currency_pointer is null then
    return p_tool.currency;
  end if;
  v_found := chatkit_private.json_at_pointer(
    chatkit_private.call_inputs(p_call), p_tool.currency_pointer
  );
  return case
    when jsonb_typeof(v_found) = 'string' and v_found #>> '{}' ~ '^[A-Z]{3}$' then v_found #>> '{}'
  end;
end
$$;

-- Returns the amount of a call if it can be compared with the tool's limits. Null if its currency
-- differs from that of the limits, or if a required currency is missing.
create or replace function chatkit_private.comparable_amount(
  p_tool public.agent_tools,
  p_call jsonb
) returns numeric
language sql immutable
set search_path = ''
as $$
  select case
    when p_tool.currency_pointer is null then chatkit_private.call_amount(p_tool, p_call)
    when chatkit_private.call_currency(p_tool, p_call) = coalesce(p_tool.currency, chatkit_private.call_currency(p_tool, p_call))
      then chatkit_private.call_amount(p_tool, p_call)
  end
$$;

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

-- Returns the policy decision on a delivery's call. Differs from policy_decision if earlier
-- decisions require an approval for a call that the tool's policy allows.
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
    else v_verdict
  end;
end
$$;

-- Reports whether an edited call differs from the displayed one only by a lower amount, with the
-- same JSON type and sign and at the same place. The edit's own answer is not compared, because it
-- equals the edited inputs.
create or replace function chatkit_private.only_lowers_amount(
  p_tool public.agent_tools,
  p_before jsonb,
  p_after jsonb
) returns boolean
language plpgsql immutable
set search_path = ''
as $$
declare
  v_before jsonb := chatkit_private.call_inputs(p_before);
  v_after jsonb := chatkit_private.call_inputs(p_after);
  v_from jsonb := chatkit_private.json_at_pointer(v_before, p_tool.amount_pointer);
  v_to jsonb := chatkit_private.json_at_pointer(v_after, p_tool.amount_pointer);
  v_path text[] := array(
    select replace(replace(t.token, '~1', '/'), '~0', '~')
    from unnest((string_to_array(p_tool.amount_pointer, '/'))[2:])
      with ordinality as t (token, place)
    order by t.place
  );
begin
  return coalesce(
    chatkit_private.comparable_amount(p_tool, p_after)
        < chatkit_private.comparable_amount(p_tool, p_before)
      and jsonb_typeof(v_from) = jsonb_typeof(v_to)
      and (left(v_from #>> '{}', 1) = '-') = (left(v_to #>> '{}', 1) = '-')
      and (v_before #- v_path) = (v_after #- v_path)
      and p_before - '{inputs,decision}'::text[] = p_after - '{inputs,decision}'::text[],
    false
  );
end
$$;

create table if not exists public.auto_call_amounts (
  org_id uuid not null,
  user_id uuid not null,
  session_id uuid not null,
  delivery_id uuid primary key,
  agent_id text not null,
  tool text not null,
  currency text,
  unit text not null,
  amount numeric not null,
  begun_at timestamptz not null default clock_timestamp(),
  constraint auto_call_amounts_session_fkey
    foreign key (org_id, user_id, session_id) references public.chat_sessions (org_id, user_id, id),
  constraint auto_call_amounts_amount_is_a_magnitude check (amount >= 0)
);

comment on table public.auto_call_amounts is
  'The amounts of calls that were begun under the policy `auto`, which `ask_above_total` limits. A '
  'call has one row, however often it is attempted and whether or not it succeeds.';

-- Totals of one user and tool. The index begins with the tool and not with the user, for the same
-- reason as chatkit_threads_by_thread.
create index if not exists auto_call_amounts_by_tool_and_user
  on public.auto_call_amounts (tool, agent_id, org_id, user_id, begun_at);

-- Rows that are old enough to be purged.
create index if not exists auto_call_amounts_by_time on public.auto_call_amounts (begun_at);

-- Covers the foreign key.
create index if not exists auto_call_amounts_by_session on public.auto_call_amounts (session_id);

alter table public.auto_call_amounts enable row level security;
revoke all on table public.auto_call_amounts from public, anon, authenticated, service_role;

-- Records the amount of a call that is about to begin under `auto`, and returns true. Returns
-- false without recording it if the total of the last 24 hours would exceed the tool's limit. The
-- advisory lock is held until the transaction ends, so two calls never read the same total.
--
-- An amount in another currency is not added. An unknown currency matches every currency. Amounts
-- in another unit cannot be added, so the limit counts as exceeded while there are any.
create or replace function chatkit_private.add_to_auto_total(
  p_delivery public.deliveries,
  p_tool public.agent_tools,
  p_call jsonb
) returns boolean
language plpgsql
set search_path = ''
as $$
declare
  v_amount numeric := chatkit_private.comparable_amount(p_tool, p_call);
  v_currency text := chatkit_private.call_currency(p_tool, p_call);
  v_total numeric;
  v_can_be_added boolean;
begin
  if v_amount is null then
    return p_tool.ask_above_total is null;
  end if;
  perform pg_advisory_xact_lock(hashtextextended(
    concat_ws('/', p_delivery.org_id, p_delivery.user_id, p_delivery.agent_id, p_delivery.tool),
    140400
  ));
  select coalesce(sum(o.amount), 0), coalesce(bool_and(o.unit = p_tool.unit), true)
  into v_total, v_can_be_added
  from public.auto_call_amounts as o
  where o.org_id = p_delivery.org_id
    and o.user_id = p_delivery.user_id
    and o.agent_id = p_delivery.agent_id
    and o.tool = p_delivery.tool
    and o.begun_at > clock_timestamp() - interval '24 hours'
    and o.delivery_id <> p_delivery.id
    and (o.currency is null or v_currency is null or o.currency = v_currency);
  if p_tool.ask_above_total is not null
     and (not v_can_be_added or v_total + v_amount > p_tool.ask_above_total) then
    return false;
  end if;
  insert into public.auto_call_amounts (
    org_id, user_id, session_id, delivery_id, agent_id, tool, currency, unit, amount
  )
  values (p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, p_delivery.id,
          p_delivery.agent_id,
          p_delivery.tool, v_currency, p_tool.unit, v_amount)
  -- A repeated call counts once, with the time at which it last began.
  on conflict (delivery_id) do update
  set currency = excluded.currency, unit = excluded.unit,
      amount = excluded.amount, begun_at = excluded.begun_at;
  return true;
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
