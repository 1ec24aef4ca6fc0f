-- Cards of held calls in the threads of the self-hosted chat.
--
-- Each escalation about a call of a model has a card: a widget in the thread of the call. What it
-- shows comes from the escalation's subject, so it is what the hash covers and the inbox shows.
--
-- Texts of models, agents and people are values of the components Text and Caption, which ChatKit
-- does not parse.

-- Returns the id of an escalation's card.
create or replace function chatkit_private.card_item_id(p_escalation_id uuid) returns text
language sql immutable parallel safe
set search_path = ''
return 'msg_' || replace(p_escalation_id::text, '-', '');

-- Returns the id of the task that shows a call of a model.
create or replace function chatkit_private.task_item_id(p_call_id text) returns text
language sql immutable parallel safe
set search_path = ''
return 'tsk_' || regexp_replace(p_call_id, '^call_', '');

-- Returns the delivery of the model's own call, which another one resumes, directly or not.
create or replace function chatkit_private.call_of_delivery(p_delivery_id uuid)
returns public.deliveries
language sql stable
set search_path = ''
as $$
  with recursive resumed as (
    select d.id, d.resumes from public.deliveries as d where d.id = p_delivery_id
    union all
    select d.id, d.resumes
    from resumed as r
    join public.deliveries as d on d.id = r.resumes
  )
  select d from public.deliveries as d
  where d.id = (select r.id from resumed as r where r.resumes is null)
$$;

-- Returns how a held call stands, as {icon, text, ended}. p_delivery is the one that continues the
-- call after the decision; null if there is none.
create or replace function chatkit_private.held_call_state(
  p_escalation public.chat_escalations,
  p_delivery public.deliveries
) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object('icon', s.state[1], 'text', s.state[2], 'ended', s.state[3] = 'ended')
  from (
    select
      case when x.kind in ('agent_failed', 'outcome_unknown') then 'Not repeated' else 'Not done' end
        as negative,
      x.decision = 'reject'
        and (x.kind <> 'agent_asked' or 'reject' <> all (x.decisions)) as is_refused
    from (select (p_escalation).*) as x
  ) as e
  cross join lateral (
    select case
      when p_escalation.status = 'open' then
        case p_escalation.kind
          when 'outcome_unknown'
            then array['circle-question', 'It is not known whether this was done.', 'open']
          when 'agent_failed' then array['user', 'Failed. Waits for a decision.', 'open']
          else array['user', 'Waits for a decision.', 'open']
        end
      when p_escalation.status = 'expired'
        then array['clock', e.negative || ': no decision was made in time.', 'ended']
      when p_escalation.status = 'withdrawn'
        then array['empty-circle', e.negative || ': the session ended.', 'ended']
      when e.is_refused then array[
        'empty-circle',
        e.negative || ': '
          || case p_escalation.decided_by
            when p_escalation.user_id then 'withdrawn.' else 'rejected.'
          end,
        'ended'
      ]
      else
        case p_delivery.status
          when 'running' then array['bolt', 'Running.', 'open']
          when 'asked' then array['user', 'Needs another decision: see the next card.', 'open']
          when 'done' then array['check-circle', 'Done.', 'ended']
          when 'unknown'
            then array['circle-question', 'It is not known whether this was done.', 'ended']
          when 'dead' then array['empty-circle', format('Failed (%s).', p_delivery.error), 'ended']
          when 'withdrawn'
            then array['empty-circle', format('%s (%s).', e.negative, p_delivery.error), 'ended']
          else array['clock', 'Waits to be called.', 'open']
        end
    end
  ) as s (state)
$$;

-- Returns a labelled text of a card.
create or replace function chatkit_private.card_field(p_label text, p_value text) returns jsonb
language sql immutable parallel safe
set search_path = ''
return jsonb_build_object('type', 'Col', 'gap', 0, 'children', jsonb_build_array(
  jsonb_build_object('type', 'Caption', 'value', p_label),
  jsonb_build_object('type', 'Text', 'value', p_value, 'size', 'sm')
));

-- Returns a button of a card.
create or replace function chatkit_private.card_button(
  p_label text,
  p_style text,
  p_action text,
  p_subject_hash text,
  p_streaming boolean
) returns jsonb
language sql immutable parallel safe
set search_path = ''
return jsonb_build_object(
  'type', 'Button', 'label', p_label, 'style', p_style,
  'onClickAction', jsonb_build_object(
    'type', p_action, 'payload', jsonb_build_object('subjectHash', p_subject_hash),
    'handler', 'server', 'loadingBehavior', 'self',
    -- ChatKit sends other actions also while an answer is streamed.
    'streaming', p_streaming
  )
);

-- Returns the fields of a card that show a call: first those that the tool's registration labels,
-- then every other member of the inputs. What is not a string is shown as JSON.
create or replace function chatkit_private.card_call_fields(p_subject jsonb) returns jsonb
language sql stable
set search_path = ''
as $$
  with labelled as (
    select h.position, h.hint ->> 'pointer' as pointer, h.hint ->> 'label' as label,
           concat_ws(
             ' ',
             f.found #>> '{}',
             case when f.found = 'null' then 'null' end,
             case h.hint ->> 'kind' when 'money' then
               chatkit_private.json_at_pointer(p_subject, h.hint ->> 'currencyPointer') #>> '{}'
             end,
             case when h.hint ->> 'unit' = 'minor' then '(in minor units)' end
           ) as text
    from jsonb_array_elements(p_subject -> 'display') with ordinality as h (hint, position)
    cross join lateral chatkit_private.json_at_pointer(p_subject, h.hint ->> 'pointer') as f (found)
    where f.found is not null
  ),
  others as (
    select i.position, i.key, coalesce(i.value #>> '{}', 'null') as text
    from jsonb_each(p_subject -> 'inputs') with ordinality as i (key, value, position)
    where not exists (
      select from labelled as l
      where l.pointer = '/inputs/' || replace(replace(i.key, '~', '~0'), '/', '~1')
    )
  )
  select coalesce(
    (
      select jsonb_agg(chatkit_private.card_field(l.label, l.text) order by l.position)
      from labelled as l
    ),
    '[]'
  ) || coalesce(
    case
      -- An item has at most 1 MiB, and each field needs some bytes of its own.
      when (select count(*) from others) > 100 then jsonb_build_array(
        chatkit_private.card_field('inputs', p_subject ->> 'inputs')
      )
      else (
        select jsonb_agg(chatkit_private.card_field(o.key, o.text) order by o.position)
        from others as o
      )
    end,
    '[]'
  )
$$;

-- Returns the fields of a card that follow the call: who may decide and until when, or the decision
-- and the outcome of the call.
create or replace function chatkit_private.card_state_fields(
  p_escalation public.chat_escalations,
  p_state text,
  p_result text
) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_agg(chatkit_private.card_field(f.label, f.text) order by f.position)
  from (
    values
      (
        1, 'Who decides',
        case
          when p_escalation.status <> 'open' then null
          when p_escalation.kind = 'confirm' then 'You confirm or withdraw it.'
          when p_escalation.approver = 'other'
            then 'Another person with the role of an approver decides in the inbox. '
              || 'You can withdraw it.'
          else 'You or an approver decides.'
        end
      ),
      (
        2, 'Expires',
        case when p_escalation.status = 'open' then
          to_char(p_escalation.expires_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')
        end
      ),
      (
        3, 'Decision',
        case p_escalation.decision
          when 'approve' then
            case p_escalation.kind when 'confirm' then 'Confirmed' else 'Approved' end
          when 'edit' then 'Changed'
          when 'respond' then 'Answered'
          when 'reject' then
            case p_escalation.decided_by
              when p_escalation.user_id then 'Withdrawn' else 'Rejected'
            end
        end || ' by ' || coalesce(
          chatkit_private.person_name(p_escalation.org_id, p_escalation.decided_by),
          'a former member'
        )
      ),
      (4, 'Comment', p_escalation.comment),
      (5, 'Call', p_state),
      (
        6, 'Result',
        case when char_length(p_result) > 4000 then left(p_result, 4000) || '…' else p_result end
      )
  ) as f (position, label, text)
  where f.text <> ''
$$;

-- Returns the card of an escalation as a widget. While the call can still begin, its id is
-- `held_call`. A call that has ended has `closed_call` until the conversation continues, and its
-- last component is the button that continues it.
create or replace function chatkit_private.call_card(
  p_escalation public.chat_escalations,
  p_state jsonb,
  p_result text
) returns jsonb
language sql stable
set search_path = ''
as $$
  select jsonb_build_object(
    'type', 'Card',
    'id', case when b.ended then 'closed_call' else 'held_call' end,
    'size', 'full',
    'status', jsonb_build_object('text', p_state -> 'text', 'icon', p_state -> 'icon'),
    'children',
    jsonb_build_array(
      jsonb_build_object(
        'type', 'Title', 'size', 'sm', 'value',
        case p_escalation.kind
          when 'policy' then 'Approval of a call'
          when 'confirm' then 'Confirmation of a call'
          when 'agent_asked' then 'Question of the agent'
          when 'agent_failed' then 'Failed call'
          else 'Call with an unknown outcome'
        end
      ),
      jsonb_build_object('type', 'Text', 'value', p_escalation.reason),
      chatkit_private.card_field('Agent', p_escalation.subject ->> 'agentId'),
      chatkit_private.card_field('Tool', p_escalation.subject ->> 'tool')
    )
    || chatkit_private.card_call_fields(p_escalation.subject)
    || case
      when p_escalation.subject #>> '{decision,answer}' is null then '[]'
      else jsonb_build_array(
        chatkit_private.card_field('Answer', p_escalation.subject #>> '{decision,answer}')
      )
    end
    || jsonb_build_array(
      chatkit_private.card_field('Fingerprint', left(p_escalation.subject_hash, 16)),
      jsonb_build_object('type', 'Divider')
    )
    || chatkit_private.card_state_fields(p_escalation, p_state ->> 'text', p_result)
    || case when b.buttons = '[]' then '[]' else jsonb_build_array(
      jsonb_build_object('type', 'Row', 'gap', 2, 'children', b.buttons)
    ) end
  )
  from (
    select
      (p_state ->> 'ended')::boolean as ended,
      case
        when p_escalation.status = 'open' then
          case
            -- A question with a schema needs an answer, which the inbox can take.
            when p_escalation.answer_schema is null and chatkit_private.decision_rejection(
              p_escalation, p_escalation.user_id,
              chatkit_private.member_role(p_escalation.org_id, p_escalation.user_id), 'approve'
            ) is null then jsonb_build_array(chatkit_private.card_button(
              case p_escalation.kind when 'confirm' then 'Confirm' else 'Approve' end, 'primary',
              'call.confirm', p_escalation.subject_hash, false
            ))
            else '[]'
          end
          || jsonb_build_array(chatkit_private.card_button(
            case when p_escalation.kind in ('policy', 'confirm') then 'Withdraw' else 'Reject' end,
            'secondary', 'call.withdraw', p_escalation.subject_hash, false
          ))
        when (p_state ->> 'ended')::boolean then jsonb_build_array(chatkit_private.card_button(
          'Continue', 'primary', 'call.continue', p_escalation.subject_hash, true
        ))
        else '[]'
      end as buttons
  ) as b
$$;
