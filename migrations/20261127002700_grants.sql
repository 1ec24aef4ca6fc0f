-- Grants: who may execute which function. PostgreSQL grants EXECUTE on a new function to PUBLIC,
-- so this is revoked first for the functions of both schemas. Functions in `public` are listed by
-- name, because a project may have functions of its own in that schema.

revoke all on all functions in schema chatkit_private
from public, anon, authenticated, service_role;
revoke all on function
  public.begin_erasure,
  public.cancel_session,
  public.consume_thread_read_limit,
  public.claim_deliveries,
  public.claim_erasures,
  public.claim_idle_sessions,
  public.claim_overdue_sessions,
  public.claim_uncancelled_chatkit_sessions,
  public.claim_transcripts,
  public.confirm_chatkit_cancelled,
  public.decide_escalation,
  public.deployment_state,
  public.end_erased_sessions,
  public.erase_batch,
  public.erase_overdue_session,
  public.expire_escalations,
  public.expire_session,
  public.fail_chatkit_session,
  public.finish_delivery,
  public.finish_erasure,
  public.finish_transcript,
  public.list_agents,
  public.list_dead_deliveries,
  public.list_escalations,
  public.list_messages,
  public.list_sessions,
  public.record_deleted_threads,
  public.record_chatkit_activity,
  public.open_session,
  public.record_chatkit_session,
  public.record_events,
  public.record_messages,
  public.record_tasks,
  public.record_thread_items,
  public.register_agent,
  public.register_agent_server,
  public.release_idle_session,
  public.renew_chatkit_session,
  public.replay_delivery,
  public.request_transcript,
  public.service_state,
  public.session_details,
  public.get_metrics,
  public.set_org_limits,
  public.set_retention,
  public.fail_abandoned_requests,
  public.purge_expired
from public, anon, authenticated, service_role;

-- RPCs that the Lambda functions execute with the secret key.
grant execute on function
  public.begin_erasure,
  public.cancel_session,
  public.claim_deliveries,
  public.claim_erasures,
  public.claim_idle_sessions,
  public.claim_overdue_sessions,
  public.claim_uncancelled_chatkit_sessions,
  public.claim_transcripts,
  public.confirm_chatkit_cancelled,
  public.decide_escalation,
  public.deployment_state,
  public.end_erased_sessions,
  public.erase_batch,
  public.erase_overdue_session,
  public.expire_escalations,
  public.expire_session,
  public.fail_chatkit_session,
  public.finish_delivery,
  public.finish_erasure,
  public.finish_transcript,
  public.list_dead_deliveries,
  public.record_deleted_threads,
  public.record_chatkit_activity,
  public.open_session,
  public.record_chatkit_session,
  public.record_events,
  public.record_messages,
  public.record_tasks,
  public.record_thread_items,
  public.register_agent,
  public.register_agent_server,
  public.release_idle_session,
  public.renew_chatkit_session,
  public.replay_delivery,
  public.request_transcript,
  public.service_state,
  public.set_org_limits,
  public.set_retention,
  public.fail_abandoned_requests,
  public.purge_expired
to service_role;

-- RPCs that signed-in callers execute with their own token.
grant execute on function
  public.consume_thread_read_limit,
  public.list_agents,
  public.list_escalations,
  public.list_messages,
  public.list_sessions,
  public.session_details,
  public.get_metrics
to authenticated;

-- Functions that row level security executes as the caller.
grant execute on function
  chatkit_private.caller_is_approver,
  chatkit_private.caller_org_id,
  chatkit_private.caller_org_role,
  chatkit_private.extract_org_id,
  chatkit_private.extract_org_role
to authenticated;

-- Functions that the five RPCs with p_claims call. These RPCs run with the rights of service_role,
-- because they first read as the caller.
grant execute on function
  chatkit_private.cancel_session,
  chatkit_private.effective_claims,
  chatkit_private.decide_escalation,
  chatkit_private.decided_escalation_id,
  chatkit_private.open_session,
  chatkit_private.readable_ids,
  chatkit_private.record_events,
  chatkit_private.renew_chatkit_session
to service_role;
