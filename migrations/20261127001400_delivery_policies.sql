-- What a call is, exactly, and whether it may be made: by the registry as it is in the transaction that would begin it.

-- The value at a JSON pointer (RFC 6901); null if there is none. PostgreSQL's own `#>` would take -1 for the last of an array.
create or replace function chatkit_private.json_at_pointer(p_document jsonb, p_pointer text) returns jsonb
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
      when 'array' then case when v_token ~ '^(0|[1-9][0-9]{0,8})$' then v_found -> v_token::integer end
    end;
  end loop;
  return v_found;
end
$$;

-- The tool, if it may be called at all now: listed, and its agent enabled. Otherwise a row of nulls.
create or replace function chatkit_private.callable_tool(p_delivery public.deliveries) returns public.agent_tools
language sql stable
set search_path = ''
as $$
  select t
  from public.agent_tools as t
  join public.agents as a on a.org_id = t.org_id and a.id = t.agent_id and a.enabled
  where t.org_id = p_delivery.org_id and t.agent_id = p_delivery.agent_id and t.name = p_delivery.tool
$$;

-- A decision as a tool is sent it. The answer goes along where it is meant for the tool: what was edited, and what was answered to
-- the agent's own question. A rejection carries none.
create or replace function chatkit_private.decision_payload(p_escalation public.chat_escalations) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'escalationId', p_escalation.id, 'decision', p_escalation.decision, 'decidedBy', p_escalation.decided_by,
    'decidedAt', chatkit_private.utc_text(p_escalation.decided_at)
  ) || case
    when p_escalation.answer is not null
      and (p_escalation.decision = 'edit' or (p_escalation.kind = 'agent_asked' and p_escalation.decision <> 'reject'))
      then jsonb_build_object('answer', p_escalation.answer)
    else '{}'
  end
$$;

-- The call: what the tool is sent, less the idempotency key and the decision that releases the call itself. This document is what
-- the policy judges, what people are shown, what the hash of an approval covers, and what the router sends.
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
      'id', s.id, 'orgId', s.org_id, 'userId', s.user_id, 'agentId', s.agent_id, 'channel', s.channel, 'metadata', s.metadata
    ),
    'event', jsonb_build_object(
      'id', e.id, 'seq', e.seq, 'type', e.type, 'payload', e.payload, 'actorType', e.actor_type, 'actorId', e.actor_id,
      'occurredAt', chatkit_private.utc_text(e.occurred_at), 'createdAt', chatkit_private.utc_text(e.created_at)
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

-- What the amount and the currency of a call are looked for in.
create or replace function chatkit_private.call_inputs(p_call jsonb) returns jsonb
language sql immutable
set search_path = ''
return coalesce(p_call -> 'inputs', p_call -> 'event' -> 'payload');

-- The magnitude of the amount that a call is about: a number, or a text that is a plain decimal number and nothing else. Null if
-- none can be read. An amount in minor units is an integer.
create or replace function chatkit_private.call_amount(p_tool public.agent_tools, p_call jsonb) returns numeric
language plpgsql immutable
set search_path = ''
as $$
declare
  v_found jsonb := chatkit_private.json_at_pointer(chatkit_private.call_inputs(p_call), p_tool.amount_pointer);
  v_amount numeric;
begin
  if jsonb_typeof(v_found) = 'number'
     or (jsonb_typeof(v_found) = 'string' and v_found #>> '{}' ~ '^-?[0-9]{1,100}(\.[0-9]{1,100})?$') then
    v_amount := abs((v_found #>> '{}')::numeric);
  end if;
  return case when p_tool.unit = 'major' or v_amount = trunc(v_amount) then v_amount end;
end
$$;

-- The currency that a call is in: what it says itself where the tool has a pointer to it, otherwise the tool's. Null if none is
-- said.
create or replace function chatkit_private.call_currency(p_tool public.agent_tools, p_call jsonb) returns text
language plpgsql immutable
set search_path = ''
as $$
declare
  v_found jsonb;
begin
  if p_tool.currency_pointer is null then
    return p_tool.currency;
  end if;
  v_found := chatkit_private.json_at_pointer(chatkit_private.call_inputs(p_call), p_tool.currency_pointer);
  return case when jsonb_typeof(v_found) = 'string' and v_found #>> '{}' ~ '^[A-Z]{3}$' then v_found #>> '{}' end;
end
$$;

-- The amount of a call as far as it can be compared with the tool's limits: null in another currency than theirs, or in none where
-- one is demanded.
create or replace function chatkit_private.comparable_amount(p_tool public.agent_tools, p_call jsonb) returns numeric
language sql immutable
set search_path = ''
as $$
  select case
    when p_tool.currency_pointer is null then chatkit_private.call_amount(p_tool, p_call)
    when chatkit_private.call_currency(p_tool, p_call) = coalesce(p_tool.currency, chatkit_private.call_currency(p_tool, p_call))
      then chatkit_private.call_amount(p_tool, p_call)
  end
$$;

-- The registry's verdict on a call, without the total of the last day (see authorize_call).
-- never: not called, and no decision can release it. unreadable: released by no decision but an edit, because its amount cannot be
-- compared with a limit that holds for everybody. ask: another person approves first. confirm: the requester confirms first.
create or replace function chatkit_private.policy_decision(p_tool public.agent_tools, p_call jsonb) returns text
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

-- Whether another person has to approve a call for what was decided on it before, whatever its policy says: it holds an answer to a
-- question that was not the requester's own to decide, or the person who decided such a question may not decide any more.
create or replace function chatkit_private.needs_approval(p_delivery public.deliveries) returns boolean
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

-- The verdict on a delivery's call: the registry's or, where it would let the call pass, what was decided before.
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

-- Whether the written call differs from the one that was shown in nothing but a lower amount: of the same JSON type and sign, at
-- the same place. The answer that wrote it is not compared: it is those inputs.
create or replace function chatkit_private.only_lowers_amount(p_tool public.agent_tools, p_before jsonb, p_after jsonb)
returns boolean
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
    from unnest((string_to_array(p_tool.amount_pointer, '/'))[2:]) with ordinality as t (token, place)
    order by t.place
  );
begin
  return coalesce(
    chatkit_private.comparable_amount(p_tool, p_after) < chatkit_private.comparable_amount(p_tool, p_before)
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
  'The amounts of the calls that were begun under `auto`: what `ask_above_total` adds up. A call is '
  'kept once, however often it is tried, and whether or not it succeeds.';

-- What one user had a tool do lately. The tool stands first, for the same reason as in chatkit_threads_by_thread.
create index if not exists auto_call_amounts_by_tool_and_user
  on public.auto_call_amounts (tool, agent_id, org_id, user_id, begun_at);

-- Those of before the last day.
create index if not exists auto_call_amounts_by_time on public.auto_call_amounts (begun_at);

-- Covers the foreign key.
create index if not exists auto_call_amounts_by_session on public.auto_call_amounts (session_id);

alter table public.auto_call_amounts enable row level security;
revoke all on table public.auto_call_amounts from public, anon, authenticated, service_role;

-- Keeps the amount of a call that `auto` is about to begin, unless the total of the last 24 hours would exceed the tool's limit:
-- false then. The lock is held until the transaction ends, so that two calls never read the same total.
-- Amounts of another currency do not count; those without one count for each. Amounts kept in another unit cannot be added up, so
-- there is no total then that is below a limit.
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
    concat_ws('/', p_delivery.org_id, p_delivery.user_id, p_delivery.agent_id, p_delivery.tool), 140400
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
  if p_tool.ask_above_total is not null and (not v_can_be_added or v_total + v_amount > p_tool.ask_above_total) then
    return false;
  end if;
  insert into public.auto_call_amounts (org_id, user_id, session_id, delivery_id, agent_id, tool, currency, unit, amount)
  values (p_delivery.org_id, p_delivery.user_id, p_delivery.session_id, p_delivery.id, p_delivery.agent_id,
          p_delivery.tool, v_currency, p_tool.unit, v_amount)
  -- A repeat of the call is the same call, kept with the time of its last beginning.
  on conflict (delivery_id) do update
  set currency = excluded.currency, unit = excluded.unit, amount = excluded.amount, begun_at = excluded.begun_at;
  return true;
end
$$;

-- The kind of the escalation that releases exactly this call, if one does and the person who decided it may still decide: an
-- approver for an approval, the requester for a confirmation.
create or replace function chatkit_private.release_kind(p_delivery public.deliveries, p_call jsonb) returns text
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

-- Whether a call may be begun now, and if not, why. Every way to a call goes through here: a first delivery, a retry, one that was
-- resumed by a decision or replayed by an operator, a follow-up.
-- admitted, or what it takes: never, unreadable, ask, confirm (see policy_decision).
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
    return case when chatkit_private.add_to_auto_total(p_delivery, p_tool, p_call) then 'admitted' else 'ask' end;
  end if;
  return v_verdict;
end
$$;

-- Whether anybody in the organisation may decide what this person wrote for that requester: an approver who is neither of them, nor
-- the author of an answer that the call holds.
create or replace function chatkit_private.has_other_approver(p_org_id uuid, p_not uuid[]) returns boolean
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

-- Why a requester may not have an agent do anything now: they left the organisation, or the agent is not open to their role. Null
-- if they may, and for an agent that is disabled, of which more is said later.
create or replace function chatkit_private.requester_rejection(p_delivery public.deliveries) returns text
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
