-- The change feed: which sessions and escalations changed since a cursor, and how many escalations
-- are open.
--
-- A page polls the feed. It must find a change that commits late, after another one that a poll has
-- already returned. A sequence or a time cannot do that: both are assigned before the commit. A
-- lock that orders the commits would make the writers of an organisation wait for each other.
--
-- Each row therefore stores the id of the transaction that changed it last (change_xid), and a
-- cursor is a snapshot: it contains exactly which transactions had been committed when the poll
-- read. A row has changed since if its transaction is not visible in that snapshot. So a change is
-- returned once, however late it commits, and writers take no lock. Older transactions than the
-- oldest one that was running are visible in the snapshot, so an index on change_xid finds the
-- candidates. A poll that finds nothing returns the cursor of the caller. The cursor then stays the
-- same for an If-None-Match, and its candidates are the rows that the caller already has.
--
-- There is no log of changes, so nothing has to be deleted, and a cursor does not expire. Every
-- change of a session's events, messages and tasks also updates its row in chat_sessions. A
-- deletion leaves no row, and is not a change.
--
-- A database that is restored from a dump counts transactions from the beginning. A cursor from
-- before names transactions that have not begun, and the response is then `incomplete`. Restored
-- rows name such transactions, too. A change that a poll can read has been committed, so its
-- transaction is below the xmax of the poll's snapshot. A row that names a later transaction was
-- not changed since the restore, and is not read. When the count has reached that transaction, the
-- row is returned as if it had changed.
--
-- As in escalation_lists.sql, changes_since reads as its owner, and returns rows of the caller's
-- organisation only. readable_changes returns those that the policies let the caller read. Most
-- polls find nothing and do not call it. All functions are stable, so they read the snapshot that
-- becomes the cursor.

-- Returns a snapshot that is short enough for a URL. Transactions that are left out count as not
-- visible, so their changes are returned again.
create or replace function chatkit_private.snapshot_cursor(p_snapshot pg_snapshot) returns text
language sql immutable
set search_path = ''
as $$
  select case
    when cardinality(r.running) > 100 then format(
      '%s:%s:%s',
      pg_snapshot_xmin(p_snapshot), r.running[101], array_to_string(r.running[1:100], ',')
    )
    else p_snapshot::text
  end
  -- The transactions of a snapshot are in ascending order.
  from (select array(select pg_snapshot_xip(p_snapshot))) as r (running)
$$;

-- Returns the caller's open escalations, the oldest first, as [{id, created_at, expires_at,
-- decidable}]. An escalation is decidable if the caller may take every decision.
create or replace function chatkit_private.open_escalations() returns jsonb
language plpgsql stable security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  v_org_id uuid := chatkit_private.caller_org_id();
  v_user_id uuid := auth.uid();
  v_role text := chatkit_private.member_role(v_org_id, v_user_id);
  v_is_approver boolean := chatkit_private.caller_is_approver();
begin
  return (
    select coalesce(jsonb_agg(o.escalation), '[]')
    from (
      select jsonb_build_object(
        'id', e.id, 'created_at', e.created_at, 'expires_at', e.expires_at,
        'decidable', chatkit_private.may_decide(e, v_user_id, v_role) ->> 'because' is null
      ) as escalation
      from public.chat_escalations as e
      where e.org_id = v_org_id
        and e.status = 'open'
        and (v_is_approver or e.user_id = v_user_id)
      order by e.created_at, e.id
      limit 500
    ) as o
  );
end
$$;

-- Returns {changes, incomplete, cursor, open}: the sessions and escalations of the caller's
-- organisation that changed since a snapshot, and the cursor for the next poll. An approver gets
-- the escalations of the organisation, and with p_whole_organisation its sessions. Other rows are
-- the caller's own. `open` has the open escalations if one may have changed. Returns null if
-- nothing changed.
create or replace function chatkit_private.changes_since(
  p_since pg_snapshot,
  p_whole_organisation boolean
) returns jsonb
language plpgsql stable security definer
set search_path = ''
set plan_cache_mode = force_custom_plan
set enable_sort = off
as $$
declare
  -- Bounds the work, also for a cursor that a caller invents. Rows count that changed since the
  -- oldest transaction of the cursor began, also those that the caller already has.
  c_most_examined constant integer := 500;
  v_xmax xid8 := pg_snapshot_xmax(pg_current_snapshot());
  v_org_id uuid := chatkit_private.caller_org_id();
  v_user_id uuid := auth.uid();
  v_is_approver boolean := chatkit_private.caller_is_approver();
  v_sessions jsonb;
  v_escalations jsonb;
  v_most bigint;
  v_is_incomplete boolean;
begin
  if p_since is null or pg_snapshot_xmax(p_since) > v_xmax then
    return jsonb_build_object(
      'changes', '[]'::jsonb, 'incomplete', true,
      'cursor', chatkit_private.snapshot_cursor(pg_current_snapshot()),
      'open', chatkit_private.open_escalations()
    );
  end if;
  select count(*),
    coalesce(
      jsonb_agg(
        jsonb_build_object(
          'kind', 'session', 'session_id', c.id, 'status', c.status,
          'last_event_seq', c.last_event_seq, 'last_message_seq', c.last_message_seq
        )
        order by c.change_xid, c.id
      )
        filter (where not pg_visible_in_snapshot(c.change_xid, p_since)),
      '[]'
    )
  into v_most, v_sessions
  from (
    select s.id, s.status, s.last_event_seq, s.last_message_seq, s.change_xid
    from public.chat_sessions as s
    where s.org_id = v_org_id
      and ((p_whole_organisation and v_is_approver) or s.user_id = v_user_id)
      and s.change_xid >= pg_snapshot_xmin(p_since) and s.change_xid < v_xmax
    order by s.change_xid desc
    limit c_most_examined + 1
  ) as c;
  select greatest(count(*), v_most),
    coalesce(
      jsonb_agg(
        jsonb_build_object(
          'kind', 'escalation', 'escalation_id', c.id, 'session_id', c.session_id,
          'status', c.status
        )
        order by c.change_xid, c.id
      )
        filter (where not pg_visible_in_snapshot(c.change_xid, p_since)),
      '[]'
    )
  into v_most, v_escalations
  from (
    select e.id, e.session_id, e.status, e.change_xid
    from public.chat_escalations as e
    where e.org_id = v_org_id
      and (v_is_approver or e.user_id = v_user_id)
      and e.change_xid >= pg_snapshot_xmin(p_since) and e.change_xid < v_xmax
    order by e.change_xid desc
    limit c_most_examined + 1
  ) as c;
  v_is_incomplete := v_most > c_most_examined;
  if not v_is_incomplete and v_sessions = '[]' and v_escalations = '[]' then
    return null;
  end if;
  return jsonb_build_object(
    'changes', v_sessions || v_escalations,
    'incomplete', v_is_incomplete,
    'cursor', chatkit_private.snapshot_cursor(pg_current_snapshot()),
    'open', case
      when v_is_incomplete or v_escalations <> '[]' then chatkit_private.open_escalations()
    end
  );
end
$$;

-- Returns the response of list_changes: of what changes_since found, the rows that the policies let
-- the caller read. It sets no search path: a project's own policy may use the one of the request.
create or replace function chatkit_private.readable_changes(p_found jsonb, p_since text)
returns jsonb
language plpgsql stable security invoker
as $$
declare
  v_is_incomplete boolean := (p_found -> 'incomplete')::boolean;
  v_changes jsonb;
  v_counts jsonb;
begin
  select coalesce(jsonb_agg(c.change order by c.position), '[]') into v_changes
  from jsonb_array_elements(p_found -> 'changes') with ordinality as c (change, position)
  -- See list_escalations about the counts.
  where 1 = (
      select count(*) from public.chat_sessions as s where s.id = (c.change ->> 'session_id')::uuid
    )
    and (
      c.change ->> 'kind' = 'session'
      or 1 = (
        select count(*)
        from public.chat_escalations as e
        where e.id = (c.change ->> 'escalation_id')::uuid
      )
    );
  if v_is_incomplete or v_changes @> '[{"kind": "escalation"}]' then
    select jsonb_build_object(
      'open', count(*),
      'decidable', count(*) filter (where (o.escalation -> 'decidable')::boolean),
      'oldest_created_at', min((o.escalation ->> 'created_at')::timestamptz),
      'next_expires_at', min((o.escalation ->> 'expires_at')::timestamptz)
    )
    into v_counts
    from jsonb_array_elements(p_found -> 'open') as o (escalation)
    where 1 = (
      select count(*)
      from public.chat_escalations as e
      join public.chat_sessions as s on s.id = e.session_id
      where e.id = (o.escalation ->> 'id')::uuid
    );
  end if;
  return jsonb_build_object(
    'changes', v_changes,
    'incomplete', v_is_incomplete,
    'counts', v_counts,
    'cursor', case
      when v_is_incomplete or v_changes <> '[]' then p_found ->> 'cursor'
      else p_since
    end
  );
end
$$;

create or replace function public.list_changes(
  p_since pg_snapshot default null,
  p_whole_organisation boolean default false
) returns jsonb
language sql stable security invoker
begin atomic
  select case
    when found is null then jsonb_build_object(
      'changes', '[]'::jsonb, 'incomplete', false, 'counts', null, 'cursor', p_since::text
    )
    else chatkit_private.readable_changes(found, p_since::text)
  end
  from chatkit_private.changes_since(p_since, p_whole_organisation) as found;
end;

comment on function public.list_changes is
  'Returns {changes, incomplete, counts, cursor}: the sessions and escalations that changed since '
  'p_since, the cursor of an earlier response, and that the caller may read. Sessions are the '
  'caller''s own, or with p_whole_organisation all that the caller may read. Each is returned '
  'once, as it is now. `incomplete` means that the caller must read the lists again: there is no cursor, '
  'it is from another database, or more than 500 rows changed. `counts` is null if no escalation '
  'changed; a count ends at 500. Without a change, `cursor` is p_since.';
