-- Development data: two organisations with three users, three agents and one agent server.
--
-- For local development only. `supabase db reset` runs this file after the migrations. It can be
-- run again: it restores the rows to this state.
--
-- The users have no password and cannot sign in. Create a token with the CLI instead, for example
-- for the clerk:
--
--   supabase gen bearer-jwt --role authenticated --sub 00000000-0000-4000-8000-0000000000a1 \
--     --payload '{
--       "iss": "http://127.0.0.1:54321/auth/v1", "aud": "authenticated",
--       "app_metadata": {
--         "org_id": "00000000-0000-4000-8000-00000000000a", "org_role": "member"
--       }
--     }'

-- Users. Only the operator can write app metadata; row policies take the organisation from it.
insert into auth.users (id, aud, role, email, raw_app_meta_data, raw_user_meta_data)
select u.id, 'authenticated', 'authenticated', u.email,
       jsonb_build_object(
         'provider', 'email', 'providers', jsonb_build_array('email'),
         'org_id', u.org_id, 'org_role', u.org_role
       ),
       '{}'
from (values
  -- The first organisation: a clerk, and a colleague who approves the clerk's requests.
  (
    '00000000-0000-4000-8000-0000000000a1'::uuid, 'clerk@example.com',
    '00000000-0000-4000-8000-00000000000a'::uuid, 'member'
  ),
  (
    '00000000-0000-4000-8000-0000000000a2'::uuid, 'approver@example.com',
    '00000000-0000-4000-8000-00000000000a'::uuid, 'approver'
  ),
  -- The second organisation: its owner, who can see nothing of the first.
  (
    '00000000-0000-4000-8000-0000000000b1'::uuid, 'owner@example.com',
    '00000000-0000-4000-8000-00000000000b'::uuid, 'owner'
  )
) as u (id, email, org_id, org_role)
on conflict (id) do update set raw_app_meta_data = excluded.raw_app_meta_data;

-- Self-hosted agents. Replace the model by one of your model server (MODEL_BASE_URL).
select public.register_agent(
  p_org_id => a.org_id,
  p_agent_id => 'accounts_payable',
  p_display_name => 'Accounts payable',
  p_description => 'Answers questions about accounts payable',
  p_provider => 'self_hosted',
  p_model => 'gpt-5-mini',
  p_instructions => 'You answer questions about invoices, briefly.'
)
from (values
  ('00000000-0000-4000-8000-00000000000a'::uuid), ('00000000-0000-4000-8000-00000000000b'::uuid)
) as a (org_id);

-- An agent whose chat OpenAI hosts. Replace the workflow id by that of a workflow in your project.
select public.register_agent(
  p_org_id => '00000000-0000-4000-8000-00000000000a',
  p_agent_id => 'tax_compliance',
  p_display_name => 'Tax compliance',
  p_description => 'Answers questions about tax compliance',
  p_provider => 'openai_hosted',
  p_chatkit_workflow_id => 'wf_tax_compliance_a',
  p_chatkit_workflow_version => '1'
);

-- The server of the first organisation's accounts_payable agent, an MCP server on this machine. The
-- dispatcher calls a loopback address only if its configuration allows the host and port.
select public.register_agent_server(
  p_org_id => '00000000-0000-4000-8000-00000000000a',
  p_agent_id => 'accounts_payable',
  p_url => 'http://127.0.0.1:8931/mcp',
  p_tools => '[{
    "name": "handle_event", "idempotent": true, "policy": "auto",
    "description": "Pays an invoice.",
    "input_schema": {
      "type": "object", "required": ["invoice", "amount"],
      "properties": {
        "invoice": {"type": "string", "description": "The number of the invoice"},
        "amount": {"type": "number", "exclusiveMinimum": 0, "description": "The amount in EUR"}
      }
    }
  }]',
  p_routes => '[
    {"tool": "handle_event", "event_type": "button_click", "session_agent_id": "accounts_payable"},
    {"tool": "handle_event", "event_type": "form_submit", "session_agent_id": "accounts_payable"},
    {"tool": "handle_event", "event_type": "handover", "session_agent_id": "accounts_payable"},
    {"tool": "handle_event", "event_type": "agent_follow_up"}
  ]',
  p_timeout_seconds => 5
);
