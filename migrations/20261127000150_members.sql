-- Members of an organisation and their roles. Supabase Auth keeps both in the user's app metadata,
-- from which it issues tokens, so these functions read and write `auth.users`.

create or replace function public.list_members(
  p_org_id uuid,
  p_limit integer,
  p_after uuid default null,
  p_user_id uuid default null
) returns jsonb
language plpgsql stable security definer
set search_path = ''
as $$
declare
  v_limit integer := least(greatest(coalesce(p_limit, 1), 1), 1000);
  v_members jsonb;
begin
  select coalesce(jsonb_agg(
    jsonb_build_object(
      'user_id', m.id,
      'role', chatkit_private.extract_org_role(m.raw_app_meta_data),
      'name', chatkit_private.person_name(p_org_id, m.id),
      'email', nullif(m.email, ''),
      'active', chatkit_private.member_role(p_org_id, m.id) is not null
    )
    order by m.id
  ), '[]')
  into v_members
  from (
    select u.id, u.email, u.raw_app_meta_data
    from auth.users as u
    where chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id
      and not u.is_anonymous
      and u.deleted_at is null
      and (p_user_id is null or u.id = p_user_id)
      and (p_after is null or u.id > p_after)
    order by u.id
    limit v_limit
  ) as m;
  return jsonb_build_object(
    'members', v_members,
    'next', case
      when jsonb_array_length(v_members) = v_limit then v_members -> -1 ->> 'user_id'
    end
  );
end
$$;

comment on function public.list_members is
  'Returns a page of an organisation''s members by id, or one member. A banned member is not '
  'active. `next` is the id to pass as p_after for the next page, null if the page is not full.';

-- Changes a user's role in an organisation; a null role ends the membership. Returns the role
-- before, null for a user who was not a member. The first lock serialises the changes of an
-- organisation: two owners who are removed at the same moment would each leave the other one.
-- A transaction takes no other locks than these two.
create or replace function chatkit_private.change_member_role(
  p_org_id uuid,
  p_user_id uuid,
  p_role text
) returns text
language plpgsql
set search_path = ''
as $$
declare
  v_metadata jsonb;
  v_org_id uuid;
  v_previous text;
begin
  perform pg_advisory_xact_lock(hashtextextended(p_org_id::text, 15000));
  select coalesce(u.raw_app_meta_data, '{}') into v_metadata
  from auth.users as u
  where u.id = p_user_id and not u.is_anonymous and u.deleted_at is null
  for no key update;
  if not found then
    raise sqlstate 'PT404' using message = 'user_not_found';
  end if;

  v_org_id := chatkit_private.extract_org_id(v_metadata);
  if v_org_id = p_org_id then
    v_previous := chatkit_private.extract_org_role(v_metadata);
  elsif p_role is null then
    return null;
  elsif v_org_id is not null then
    raise sqlstate 'PT409' using message = 'member_of_other_organisation';
  end if;
  if v_previous = 'owner' and p_role is distinct from 'owner' and not exists (
    select from auth.users as u
    where u.id <> p_user_id
      and chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id
      and chatkit_private.member_role(p_org_id, u.id) = 'owner'
  ) then
    raise sqlstate 'PT409' using message = 'last_owner';
  end if;

  update auth.users as u
  set raw_app_meta_data = case
    when p_role is null then v_metadata - '{org_id,org_role}'::text[]
    else v_metadata || jsonb_build_object('org_id', p_org_id, 'org_role', p_role)
  end
  where u.id = p_user_id;
  return v_previous;
end
$$;

create or replace function public.set_member_role(p_org_id uuid, p_user_id uuid, p_role text)
returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  if (p_role = any (array['owner', 'admin', 'approver', 'member'])) is not true then
    raise sqlstate 'PT422' using message = 'invalid_role';
  end if;
  return jsonb_build_object(
    'previous_role', chatkit_private.change_member_role(p_org_id, p_user_id, p_role)
  );
end
$$;

comment on function public.set_member_role is
  'Sets the role of a user in an organisation, and returns the role before. A user without an '
  'organisation becomes a member. Fails with user_not_found, with member_of_other_organisation, '
  'because a user belongs to one organisation at a time, and with last_owner if the organisation '
  'would lose its last active owner.';

create or replace function public.remove_member(p_org_id uuid, p_user_id uuid) returns jsonb
language plpgsql security definer
set search_path = ''
as $$
begin
  return jsonb_build_object(
    'previous_role', chatkit_private.change_member_role(p_org_id, p_user_id, null)
  );
end
$$;

comment on function public.remove_member is
  'Ends the membership of a user in an organisation, and returns the role before, null if the '
  'user was not a member. The user''s account, data and other app metadata stay. Fails with '
  'user_not_found, and with last_owner if the organisation would lose its last active owner.';
