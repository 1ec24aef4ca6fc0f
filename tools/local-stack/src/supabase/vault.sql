-- Supabase Vault 0.3 (extension supabase_vault) as far as a project can use it: the table, the view
-- and the functions with the extension's columns, parameters and rights. Only the cipher differs.
-- Source: <https://github.com/supabase/vault>

create schema vault;

-- Combines a message with a key stream. It is its own inverse.
create function vault._stream(message bytea, additional bytea, nonce bytea) returns bytea
language plpgsql immutable
set search_path = ''
as $$
declare
  key bytea := '';
  result bytea := message;
begin
  for block in 0 .. length(message) / 32 loop
    key := key || sha256(nonce || additional || convert_to(block::text, 'utf8'));
  end loop;
  for i in 0 .. length(message) - 1 loop
    result := set_byte(result, i, get_byte(message, i) # get_byte(key, i));
  end loop;
  return result;
end
$$;

create function vault._crypto_aead_det_encrypt(
  message bytea, additional bytea, key_id bigint, context bytea = 'pgsodium', nonce bytea = null
) returns bytea
language sql immutable
as $$ select vault._stream(message, additional, nonce) $$;

create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea = 'pgsodium', nonce bytea = null
) returns bytea
language sql immutable
as $$ select vault._stream(message, additional, nonce) $$;

create function vault._crypto_aead_det_noncegen() returns bytea
language sql
as $$ select decode(replace(gen_random_uuid()::text, '-', ''), 'hex') $$;

create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default vault._crypto_aead_det_noncegen(),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);

create unique index on vault.secrets using btree (name) where name is not null;

create view vault.decrypted_secrets as
select
  s.id, s.name, s.description, s.secret,
  convert_from(
    vault._crypto_aead_det_decrypt(
      message := decode(s.secret, 'base64'),
      additional := convert_to(s.id::text, 'utf8'),
      key_id := 0,
      context := 'pgsodium'::bytea,
      nonce := s.nonce
    ),
    'utf8'
  ) as decrypted_secret,
  s.key_id, s.nonce, s.created_at, s.updated_at
from vault.secrets as s;

create function vault.create_secret(
  new_secret text, new_name text = null, new_description text = '', new_key_id uuid = null
) returns uuid
language plpgsql security definer
set search_path = ''
as $$
declare
  made vault.secrets;
begin
  insert into vault.secrets (secret, name, description)
  values (new_secret, new_name, new_description)
  returning * into made;
  update vault.secrets as s
  set secret = encode(vault._crypto_aead_det_encrypt(
    message := convert_to(made.secret, 'utf8'),
    additional := convert_to(s.id::text, 'utf8'),
    key_id := 0,
    nonce := made.nonce
  ), 'base64')
  where s.id = made.id;
  return made.id;
end
$$;

create function vault.update_secret(
  secret_id uuid, new_secret text = null, new_name text = null, new_description text = null,
  new_key_id uuid = null
) returns void
language plpgsql security definer
set search_path = ''
as $$
begin
  update vault.secrets as s
  set
    secret = case when new_secret is null then s.secret else encode(vault._crypto_aead_det_encrypt(
      message := convert_to(new_secret, 'utf8'),
      additional := convert_to(s.id::text, 'utf8'),
      key_id := 0,
      nonce := s.nonce
    ), 'base64') end,
    name = coalesce(new_name, s.name),
    description = coalesce(new_description, s.description),
    updated_at = now()
  where s.id = secret_id;
end
$$;

-- The rights that Supabase gives its own roles. No other role reads a secret.
revoke all on all functions in schema vault from public;
grant usage on schema vault to postgres, service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres, service_role;
grant execute on function
  vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt, vault._stream
to postgres, service_role;
