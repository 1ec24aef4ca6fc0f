//! Conditions on sessions, idempotency keys, client secrets, rate limits and activity.
//!
//! The condition of `chatkit_private.release_idempotency_key` on the organisation is not listed.
//! Its callers check that the ChatKit request belongs to the session, so no test can observe the
//! condition.

use super::bodies::DetectedBy::{Call, ForeignIds, LockWait};
use super::bodies::{BodyMutant, mutant};

pub const MUTANTS: &[BodyMutant] = &[
    // The session and the organisation.
    mutant("chatkit_private.lock_session_of", "s.org_id = p_org_id", "true", Call("cancel_session")),
    mutant("chatkit_private.lock_session_of", "s.user_id = p_user_id", "true", Call("cancel_session")),
    mutant("chatkit_private.lock_session", "s.org_id = p_org_id", "true", Call("record_tasks")),
    mutant(
        "chatkit_private.member_role",
        "chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id",
        "true",
        Call("open_session"),
    ),
    mutant(
        "chatkit_private.create_session",
        "and s.org_id = p_org_id and s.user_id = p_user_id",
        "",
        Call("open_session"),
    ),
    mutant("chatkit_private.create_session", "and s.user_id = p_user_id", "", Call("open_session")),
    // Additional writes to rows of others.
    mutant(
        "public.register_agent",
        "select * into v_agent",
        "update public.agents set description = ''; select * into v_agent",
        Call("register_agent"),
    ),
    mutant("public.list_registrations", "o.org_id = p_org_id and", "", Call("list_registrations")),
    mutant("public.list_registrations", "t.org_id = s.org_id and", "", Call("list_registrations")),
    mutant("public.list_registrations", "r.org_id = s.org_id and", "", Call("list_registrations")),
    mutant(
        "public.list_registrations",
        "s.org_id = a.org_id",
        "s.org_id <> a.org_id",
        Call("list_registrations"),
    ),
    mutant(
        "public.list_members",
        "chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id",
        "true",
        Call("list_members"),
    ),
    mutant("public.list_members", "p_user_id is null or u.id = p_user_id", "true", Call("list_members")),
    mutant("chatkit_private.label_session", "where s.id = p_session_id and", "where", Call("record_events")),
    mutant(
        "public.record_tasks",
        "insert into public.chat_tasks as t",
        "update public.chat_tasks set title = '-'; insert into public.chat_tasks as t",
        Call("record_tasks"),
    ),
    mutant(
        "public.set_org_limits",
        "return jsonb_build_object",
        "update public.org_limits set events_per_minute_user = 100; return jsonb_build_object",
        Call("set_org_limits"),
    ),
    // The idempotency key.
    mutant(
        "chatkit_private.claim_idempotency_key",
        "insert into public.idempotency_keys as k (",
        "select * into v_claim from public.idempotency_keys as k \
         where (k.endpoint, k.key) = (p_endpoint, p_key);
         if found then return v_claim; end if;
         insert into public.idempotency_keys as k (",
        ForeignIds("open_session"),
    ),
    mutant(
        "chatkit_private.claim_idempotency_key",
        "insert into public.idempotency_keys as k (",
        "select * into v_claim from public.idempotency_keys as k
         where (k.org_id, k.endpoint, k.key) = (p_org_id, p_endpoint, p_key);
         if found then return v_claim; end if;
         insert into public.idempotency_keys as k (",
        ForeignIds("renew_chatkit_session"),
    ),
    mutant(
        "chatkit_private.lease_idempotency_key",
        "(k.org_id, k.user_id, k.endpoint, k.key) = (p_claim.org_id, p_claim.user_id, \
         p_claim.endpoint, p_claim.key)",
        "(k.endpoint, k.key) = (p_claim.endpoint, p_claim.key)",
        ForeignIds("open_session"),
    ),
    mutant(
        "chatkit_private.lease_idempotency_key",
        "c.id = p_claim.chatkit_request_id",
        "true",
        Call("open_session"),
    ),
    mutant(
        "chatkit_private.lock_idempotency_key",
        "and k.org_id = p_org_id",
        "",
        LockWait("record_chatkit_session"),
    ),
    mutant(
        "chatkit_private.lock_idempotency_key",
        "and k.org_id = p_org_id",
        "",
        LockWait("fail_chatkit_session"),
    ),
    mutant(
        "chatkit_private.release_idempotency_key",
        "k.chatkit_request_id = p_chatkit_request_id",
        "true",
        Call("record_chatkit_session"),
    ),
    mutant(
        "chatkit_private.release_idempotency_key",
        "k.chatkit_request_id = p_chatkit_request_id",
        "true",
        Call("fail_chatkit_session"),
    ),
    // The ChatKit session and its secret.
    mutant(
        "chatkit_private.request_chatkit_session",
        "and c.session_id = p_session.id",
        "",
        ForeignIds("renew_chatkit_session"),
    ),
    mutant(
        "chatkit_private.usable_secret",
        "c.session_id = p_session_id\n",
        "true\n",
        Call("renew_chatkit_session"),
    ),
    mutant(
        "chatkit_private.usable_secret",
        "c.session_id = p_session_id and c.sealed_secret",
        "c.sealed_secret",
        Call("renew_chatkit_session"),
    ),
    mutant(
        "chatkit_private.reject_secrets",
        "c.session_id = p_session_id",
        "true",
        Call("renew_chatkit_session"),
    ),
    mutant(
        "chatkit_private.reject_concurrent_refresh",
        "c.session_id = p_session.id",
        "true",
        Call("renew_chatkit_session"),
    ),
    mutant(
        "public.record_chatkit_session",
        "and c.session_id = p_session_id",
        "",
        ForeignIds("record_chatkit_session"),
    ),
    mutant(
        "public.fail_chatkit_session",
        "and c.session_id = p_session_id",
        "",
        ForeignIds("fail_chatkit_session"),
    ),
    mutant(
        "public.confirm_chatkit_cancelled",
        "c.session_id = p_session_id",
        "true",
        ForeignIds("confirm_chatkit_cancelled"),
    ),
    mutant(
        "chatkit_private.failed_to_open",
        "c.session_id = p_session.id and c.failed_at is null",
        "c.failed_at is null",
        Call("fail_chatkit_session"),
    ),
    mutant(
        "chatkit_private.uncancelled_chatkit_session_ids",
        "c.session_id = p_session_id",
        "true",
        Call("expire_session"),
    ),
    // The rate limits.
    mutant(
        "chatkit_private.effective_limits",
        "l.org_id = p_org_id",
        "l.org_id <> p_org_id",
        Call("set_org_limits"),
    ),
    mutant(
        "chatkit_private.effective_limits",
        "l.org_id = p_org_id",
        "l.org_id <> p_org_id",
        Call("record_events"),
    ),
    mutant(
        "chatkit_private.consume_rate_limit",
        "'user', p_session.user_id",
        "'user', p_session.org_id",
        Call("record_events"),
    ),
    mutant(
        "chatkit_private.consume_rate_limit",
        "'session', p_session.id",
        "'session', p_session.org_id",
        Call("open_session"),
    ),
    mutant(
        "chatkit_private.charge_bucket",
        "values (p_org_id, ",
        "values (p_subject, ",
        Call("renew_chatkit_session"),
    ),
    // The activity and the agent's timeout.
    mutant(
        "chatkit_private.idle_deadline",
        "a.org_id = p_session.org_id",
        "a.org_id <> p_session.org_id",
        Call("record_chatkit_activity"),
    ),
    mutant(
        "chatkit_private.idle_deadline",
        "e.session_id = p_session.id and",
        "",
        Call("record_chatkit_activity"),
    ),
    mutant(
        "chatkit_private.idle_deadline",
        "q.session_id = p_session.id",
        "true",
        Call("record_chatkit_activity"),
    ),
    mutant(
        "chatkit_private.schedule_idle_check",
        "i.session_id = p_session.id",
        "true",
        Call("expire_session"),
    ),
    mutant(
        "chatkit_private.reschedule_agent_idle_checks",
        "s.org_id = new.org_id and",
        "",
        Call("register_agent"),
    ),
    mutant(
        "public.record_chatkit_activity",
        "where s.id = p_session_id",
        "where true",
        Call("record_chatkit_activity"),
    ),
    mutant(
        "public.release_idle_session",
        "i.session_id = p_session_id",
        "true",
        Call("release_idle_session"),
    ),
];
