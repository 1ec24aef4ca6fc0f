-- Amounts of calls, and their totals of the last 24 hours.

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
