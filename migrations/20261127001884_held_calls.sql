-- Held calls in the threads of the self-hosted chat: their cards are updated, decided
-- and continued.
--
-- The triggers below change the card and the task of a call in every transaction that changes its
-- escalation or the delivery that continues it.

-- Shows a held call in its thread: adds the task and the card, or brings them up to date. The
-- caller has locked the session of the escalation.
create or replace function chatkit_private.show_held_call(
  p_escalation public.chat_escalations,
  p_delivery public.deliveries default null,
  p_result text default null
) returns void
language plpgsql
set search_path = ''
as $$
declare
  v_call public.deliveries := chatkit_private.call_of_delivery(p_escalation.delivery_id);
  v_state jsonb := chatkit_private.held_call_state(p_escalation, p_delivery);
  v_session public.chat_sessions;
  v_thread_id text;
  v_item jsonb;
begin
  if v_call.call_id is null or exists (
    select from public.erasures as e
    where e.org_id = p_escalation.org_id and e.user_id = p_escalation.user_id
      and e.finished_at is null
  ) then
    return;
  end if;
  select r.thread_id into strict v_thread_id
  from public.chat_runs as r where r.id = v_call.run_id;
  select * into strict v_session
  from public.chat_sessions as s where s.id = p_escalation.session_id;
  perform from public.chat_threads as t where t.id = v_thread_id for update;
  foreach v_item in array array[
    jsonb_build_object(
      'type', 'task',
      'id', chatkit_private.task_item_id(v_call.call_id),
      'task', jsonb_build_object(
        'type', 'custom',
        'status_indicator',
        case when v_state -> 'icon' in ('"clock"', '"bolt"') and v_state -> 'ended' = 'false'
          then 'loading' else 'complete'
        end,
        'title', v_call.tool, 'icon', v_state -> 'icon', 'content', v_state -> 'text'
      )
    ),
    jsonb_build_object(
      'type', 'widget',
      'id', chatkit_private.card_item_id(p_escalation.id),
      'widget', chatkit_private.call_card(p_escalation, v_state, p_result),
      'copy_text', concat_ws(
        ' ', p_escalation.reason, p_escalation.subject ->> 'inputs', v_state ->> 'text'
      )
    )
  ] loop
    update public.chat_messages as m
    set item = m.item || v_item, content = chatkit_private.item_text(v_item)
    where m.thread_id = v_thread_id and m.chatkit_item_id = v_item ->> 'id';
    if not found and p_escalation.status = 'open' then
      perform chatkit_private.append_item(
        v_session, v_thread_id,
        v_item || jsonb_build_object('created_at', chatkit_private.utc_text(clock_timestamp()))
      );
    end if;
  end loop;
end
$$;

-- Shows an escalation that is opened or closed.
create or replace function chatkit_private.show_held_escalation() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  if tg_op = 'INSERT' or old.status <> new.status then
    perform chatkit_private.show_held_call(new);
  end if;
  return null;
end
$$;

create or replace trigger show_held_escalation
  after insert or update on public.chat_escalations
  for each row when (new.delivery_id is not null)
  execute function chatkit_private.show_held_escalation();

-- Shows the outcome of a call after the decision about it. If the call needs another decision, the
-- card of that one shows what follows.
create or replace function chatkit_private.show_held_delivery() returns trigger
language plpgsql
set search_path = ''
as $$
declare
  v_escalation public.chat_escalations;
begin
  if tg_op = 'INSERT'
     or (old.status <> new.status and (old.status <> 'asked' or new.status = 'pending')) then
    select * into strict v_escalation
    from public.chat_escalations as x
    where x.id = coalesce(new.retry_id, new.escalation_id);
    perform chatkit_private.show_held_call(v_escalation, new);
  end if;
  return null;
end
$$;

create or replace trigger show_held_delivery
  after insert or update on public.deliveries
  for each row when (
    new.run_id is not null and coalesce(new.retry_id, new.escalation_id) is not null
  )
  execute function chatkit_private.show_held_delivery();

-- Returns the items that show a held call: its task and its latest card. Empty if it was not held.
create or replace function chatkit_private.held_call_items(p_delivery public.deliveries)
returns jsonb
language sql stable
set search_path = ''
as $$
  select coalesce(jsonb_agg(m.item order by m.thread_seq), '[]')
  from (
    select x.id
    from public.chat_escalations as x
    where x.delivery_id = p_delivery.id
    order by x.created_at desc
    limit 1
  ) as e
  join public.chat_runs as r on r.id = p_delivery.run_id
  join public.chat_messages as m
    on m.thread_id = r.thread_id
    and m.chatkit_item_id in (
      chatkit_private.task_item_id(p_delivery.call_id), chatkit_private.card_item_id(e.id)
    )
$$;

-- Finds the cards whose calls have ended since the conversation went on.
create index if not exists chat_messages_closed_calls
  on public.chat_messages (thread_id)
  where kind = 'widget' and item #>> '{widget,id}' = 'closed_call';

-- Returns whether a card offers to continue the conversation.
create or replace function chatkit_private.offers_continuation(p_thread_id text, p_item_id text)
returns boolean
language sql stable
set search_path = ''
as $$
  select exists (
    select from public.chat_messages as m
    where m.thread_id = p_thread_id
      and m.chatkit_item_id = p_item_id
      and m.hidden_at is null
      and m.kind = 'widget'
      and m.item #>> '{widget,id}' = 'closed_call'
  )
$$;

-- Removes the offers to continue from the cards of a thread, because an answer begins whose model
-- receives the results.
create or replace function chatkit_private.withdraw_continuations() returns trigger
language plpgsql
set search_path = ''
as $$
begin
  update public.chat_messages as m
  set item = m.item || jsonb_build_object(
    'widget', m.item -> 'widget' || jsonb_build_object(
      'id', 'held_call', 'children', (m.item #> '{widget,children}') - -1
    )
  )
  where m.thread_id = new.thread_id
    and m.kind = 'widget'
    and m.item #>> '{widget,id}' = 'closed_call';
  return null;
end
$$;

create or replace trigger withdraw_continuations
  after insert on public.chat_runs
  for each row execute function chatkit_private.withdraw_continuations();

create or replace function chatkit_private.get_chat_card(
  p_session_id uuid,
  p_secret_hash text,
  p_thread_id text,
  p_item_id text
) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
declare
  v_thread public.chat_threads := chatkit_private.readable_thread(p_session_id, p_thread_id);
  v_item jsonb;
  v_escalation_id uuid;
begin
  select m.item into v_item
  from public.chat_messages as m
  where m.thread_id = p_thread_id and m.chatkit_item_id = p_item_id and m.hidden_at is null;
  if not found then
    raise sqlstate 'PT404' using message = 'item_not_found';
  end if;
  select x.id into v_escalation_id
  from public.chat_escalations as x
  where x.id = case when p_item_id ~ '^msg_[0-9a-f]{32}$' then substr(p_item_id, 5)::uuid end
    and x.org_id = v_thread.org_id
    and x.user_id = v_thread.user_id;
  return jsonb_build_object(
    'item', v_item,
    'escalation_id', v_escalation_id,
    -- The same for every request that continues after this end of the call.
    'continuation_key', 'continue:' || p_item_id || ':' || md5((
      case v_item #>> '{widget,id}'
        when 'closed_call' then (v_item #> '{widget,children}') - -1
        else v_item #> '{widget,children}'
      end
    )::text),
    'assurance', (
      select jsonb_build_object('aal', c.aal, 'client_id', c.client_id)
      from public.chatkit_sessions as c
      where c.secret_hash = p_secret_hash
    )
  );
end
$$;

create or replace function public.get_chat_card(
  p_secret_hash text,
  p_thread_id text,
  p_item_id text
) returns jsonb
language sql
set search_path = ''
as $$
  select chatkit_private.get_chat_card(
    (chatkit_private.readable_chat_session(p_secret_hash)).id, p_secret_hash, p_thread_id, p_item_id
  )
$$;

comment on function public.get_chat_card is
  'Returns an item of a thread and, if it is the card of a held call, the escalation that it shows. '
  '`assurance` has the claims `aal` and `client_id` of the token with which the client secret was '
  'requested, and `continuation_key` the key of the answer that continues after the call.';

-- Decides the escalation of a card. The caller has found it, and has checked the row policies.
create or replace function chatkit_private.decide_chat_card(
  p_session_id uuid,
  p_escalation_id uuid,
  p_decision text,
  p_subject_hash text
) returns jsonb
language sql security definer
set search_path = ''
as $$
  select chatkit_private.decide_escalation(
    s.org_id, s.user_id, p_escalation_id, p_decision, p_subject_hash
  )
  from public.chat_sessions as s
  where s.id = p_session_id
$$;

create or replace function public.decide_chat_card(
  p_secret_hash text,
  p_thread_id text,
  p_item_id text,
  p_decision text,
  p_subject_hash text
) returns jsonb
language plpgsql
set search_path = ''
as $$
declare
  v_session_id uuid := (chatkit_private.readable_chat_session(p_secret_hash)).id;
  v_id uuid := (
    chatkit_private.get_chat_card(v_session_id, p_secret_hash, p_thread_id, p_item_id)
      ->> 'escalation_id'
  )::uuid;
begin
  if v_id is null then
    raise sqlstate 'PT404' using message = 'item_not_found';
  end if;
  -- An escalation that the policies hide is replaced by a random id, as in decide_escalation.
  return chatkit_private.decide_chat_card(
    v_session_id,
    case
      when v_id = any (chatkit_private.readable_ids(
        chatkit_private.claims_of_secret(p_secret_hash), '{}', array[v_id]
      )) then v_id
      else gen_random_uuid()
    end,
    p_decision, p_subject_hash
  );
end
$$;

comment on function public.decide_chat_card is
  'Decides the escalation of a card in a thread as the user of the client secret, like '
  'decide_escalation. p_subject_hash is the hash that the card has shown.';
