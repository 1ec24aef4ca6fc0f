//! Pieces of functions' texts that keep tenants apart, or what is due from what is not.
//!
//! Not among them is the organisation that `chatkit_private.release_idempotency_key` asks for: whoever gets there has been asked whether the
//! request to OpenAI is their session's, so that nobody could tell whether it is there.

/// A function that asks less than it should.
pub struct Weaker {
    /// The function.
    pub of: &'static str,
    /// A piece of its text.
    pub text: &'static str,
    /// What stands there instead.
    pub instead: &'static str,
    pub noticed: Noticed,
}

/// How it must be noticed: by this RPC function, called
pub enum Noticed {
    /// about a tenant and, with the same ids, in the name of others;
    Called(&'static str),
    /// with ids of others in its arguments;
    Guessed(&'static str),
    /// while rows of others are locked.
    Waited(&'static str),
}
use Noticed::{Called, Guessed, Waited};

pub const fn weaker(of: &'static str, text: &'static str, instead: &'static str, noticed: Noticed) -> Weaker {
    Weaker { of, text, instead, noticed }
}

/// All of them.
pub const WEAKER: &[Weaker] = &[
    // Whose session, and whose organisation.
    weaker("chatkit_private.lock_session_of", "s.org_id = p_org_id", "true", Called("cancel_session")),
    weaker("chatkit_private.lock_session_of", "s.user_id = p_user_id", "true", Called("cancel_session")),
    weaker("chatkit_private.lock_session", "s.org_id = p_org_id", "true", Called("record_tasks")),
    weaker(
        "chatkit_private.member_role",
        "chatkit_private.extract_org_id(u.raw_app_meta_data) = p_org_id",
        "true",
        Called("open_session"),
    ),
    weaker("chatkit_private.create_session", "and s.org_id = p_org_id and s.user_id = p_user_id", "", Called("open_session")),
    weaker("chatkit_private.create_session", "and s.user_id = p_user_id", "", Called("open_session")),
    // Rows of others beside one's own.
    weaker(
        "public.register_agent",
        "select * into v_agent",
        "update public.agents set description = ''; select * into v_agent",
        Called("register_agent"),
    ),
    weaker(
        "public.record_tasks",
        "insert into public.chat_tasks as t",
        "update public.chat_tasks set title = '-'; insert into public.chat_tasks as t",
        Called("record_tasks"),
    ),
    weaker(
        "public.set_org_limits",
        "return jsonb_build_object",
        "update public.org_limits set events_per_minute_user = 100; return jsonb_build_object",
        Called("set_org_limits"),
    ),
    // Whose key.
    weaker(
        "chatkit_private.claim_idempotency_key",
        "insert into public.idempotency_keys as k (",
        "select * into v_claim from public.idempotency_keys as k where (k.endpoint, k.key) = (p_endpoint, p_key);
         if found then return v_claim; end if;
         insert into public.idempotency_keys as k (",
        Guessed("open_session"),
    ),
    weaker(
        "chatkit_private.claim_idempotency_key",
        "insert into public.idempotency_keys as k (",
        "select * into v_claim from public.idempotency_keys as k
         where (k.org_id, k.endpoint, k.key) = (p_org_id, p_endpoint, p_key);
         if found then return v_claim; end if;
         insert into public.idempotency_keys as k (",
        Guessed("renew_chatkit_session"),
    ),
    weaker(
        "chatkit_private.lease_idempotency_key",
        "(k.org_id, k.user_id, k.endpoint, k.key) = (p_claim.org_id, p_claim.user_id, p_claim.endpoint, p_claim.key)",
        "(k.endpoint, k.key) = (p_claim.endpoint, p_claim.key)",
        Guessed("open_session"),
    ),
    weaker("chatkit_private.lease_idempotency_key", "c.id = p_claim.chatkit_request_id", "true", Called("open_session")),
    weaker("chatkit_private.lock_idempotency_key", "and k.org_id = p_org_id", "", Waited("record_chatkit_session")),
    weaker("chatkit_private.lock_idempotency_key", "and k.org_id = p_org_id", "", Waited("fail_chatkit_session")),
    weaker("chatkit_private.release_idempotency_key", "k.chatkit_request_id = p_chatkit_request_id", "true", Called("record_chatkit_session")),
    weaker("chatkit_private.release_idempotency_key", "k.chatkit_request_id = p_chatkit_request_id", "true", Called("fail_chatkit_session")),
    // Whose request to OpenAI, and whose secret.
    weaker("chatkit_private.request_chatkit_session", "and c.session_id = p_session.id", "", Guessed("renew_chatkit_session")),
    weaker("chatkit_private.usable_secret", "c.session_id = p_session_id\n", "true\n", Called("renew_chatkit_session")),
    weaker(
        "chatkit_private.usable_secret",
        "c.session_id = p_session_id and c.sealed_secret",
        "c.sealed_secret",
        Called("renew_chatkit_session"),
    ),
    weaker("chatkit_private.reject_secrets", "c.session_id = p_session_id", "true", Called("renew_chatkit_session")),
    weaker("chatkit_private.reject_concurrent_refresh", "c.session_id = p_session.id", "true", Called("renew_chatkit_session")),
    weaker(
        "public.record_chatkit_session",
        "and c.session_id = p_session_id",
        "",
        Guessed("record_chatkit_session"),
    ),
    weaker("public.fail_chatkit_session", "and c.session_id = p_session_id", "", Guessed("fail_chatkit_session")),
    weaker(
        "public.confirm_chatkit_cancelled",
        "c.session_id = p_session_id",
        "true",
        Guessed("confirm_chatkit_cancelled"),
    ),
    weaker(
        "chatkit_private.failed_to_open",
        "c.session_id = p_session.id and c.failed_at is null",
        "c.failed_at is null",
        Called("fail_chatkit_session"),
    ),
    weaker("chatkit_private.uncancelled_chatkit_session_ids", "c.session_id = p_session_id", "true", Called("expire_session")),
    // Whose limits, and who is charged.
    weaker("chatkit_private.effective_limits", "l.org_id = p_org_id", "l.org_id <> p_org_id", Called("set_org_limits")),
    weaker("chatkit_private.effective_limits", "l.org_id = p_org_id", "l.org_id <> p_org_id", Called("record_events")),
    weaker("chatkit_private.consume_rate_limit", "'user', p_session.user_id", "'user', p_session.org_id", Called("record_events")),
    weaker("chatkit_private.consume_rate_limit", "'session', p_session.id", "'session', p_session.org_id", Called("open_session")),
    weaker("chatkit_private.consume_bucket", "values (p_org_id, ", "values (p_subject, ", Called("renew_chatkit_session")),
    // Whose activity, and which agent's timeout.
    weaker(
        "chatkit_private.idle_deadline",
        "a.org_id = p_session.org_id",
        "a.org_id <> p_session.org_id",
        Called("record_chatkit_activity"),
    ),
    weaker("chatkit_private.idle_deadline", "e.session_id = p_session.id and", "", Called("record_chatkit_activity")),
    weaker("chatkit_private.idle_deadline", "q.session_id = p_session.id", "true", Called("record_chatkit_activity")),
    weaker("chatkit_private.schedule_idle_check", "i.session_id = p_session.id", "true", Called("expire_session")),
    weaker("chatkit_private.reschedule_agent_idle_checks", "s.org_id = new.org_id and", "", Called("register_agent")),
    weaker("public.record_chatkit_activity", "where s.id = p_session_id", "where true", Called("record_chatkit_activity")),
    weaker("public.release_idle_session", "i.session_id = p_session_id", "true", Called("release_idle_session")),
    // What is due, and nothing else.
    weaker("public.claim_idle_sessions", "i.due_at <= v_now", "true", Called("claim_idle_sessions")),
    weaker("public.claim_idle_sessions", "i.session_id = m.session_id and", "", Called("claim_idle_sessions")),
    weaker("public.claim_idle_sessions", "s.id = f.session_id", "true", Called("claim_idle_sessions")),
    weaker("public.claim_idle_sessions", "a.org_id = s.org_id and", "", Called("claim_idle_sessions")),
    weaker("public.claim_idle_sessions", "u.org_id = s.org_id and", "", Called("claim_idle_sessions")),
    weaker("public.claim_idle_sessions", "and u.user_id = s.user_id", "", Called("claim_idle_sessions")),
    weaker("public.claim_idle_sessions", "t.session_id = s.id", "true", Called("claim_idle_sessions")),
    weaker(
        "public.claim_idle_sessions",
        "for update of i skip locked",
        "for update of i",
        Waited("claim_idle_sessions"),
    ),
    weaker("public.expire_escalations", "and e.expires_at <= v_now", "", Called("expire_escalations")),
    weaker("public.expire_escalations", "e.id = v_id and", "", Called("expire_escalations")),
    weaker("public.expire_escalations", "d.id = v_escalation.delivery_id and", "", Called("expire_escalations")),
    weaker("public.expire_escalations", "for update of s skip locked", "for update of s", Waited("expire_escalations")),
    weaker("public.claim_uncancelled_chatkit_sessions", "and c.sealed_secret is null", "", Called("claim_uncancelled_chatkit_sessions")),
    weaker("public.claim_uncancelled_chatkit_sessions", "c.id = stale.id and", "", Called("claim_uncancelled_chatkit_sessions")),
    weaker(
        "public.claim_uncancelled_chatkit_sessions",
        "for update of c skip locked",
        "for update of c",
        Waited("claim_uncancelled_chatkit_sessions"),
    ),
    weaker(
        "public.fail_abandoned_requests",
        "for update of s skip locked",
        "for update of s",
        Waited("fail_abandoned_requests"),
    ),
    weaker(
        "public.fail_abandoned_requests",
        "c.requested_at < v_now - make_interval(secs => coalesce(p_older_than_seconds, 60))",
        "true",
        Called("fail_abandoned_requests"),
    ),
    weaker("public.fail_abandoned_requests", "k.chatkit_request_id = c.id and", "", Called("fail_abandoned_requests")),
    weaker("public.fail_abandoned_requests", "k.lease_until > v_now", "false", Called("fail_abandoned_requests")),
    weaker("public.fail_abandoned_requests", "c.id = any (v_ids) and", "", Called("fail_abandoned_requests")),
    weaker("chatkit_private.purge_secrets", "and c.expires_at <= p_now", "", Called("purge_expired")),
    weaker("chatkit_private.purge_secrets", "c.id = expired.id", "true", Called("purge_expired")),
    weaker("chatkit_private.purge_idempotency_keys", "k.last_used_at < v_unused_since", "true", Called("purge_expired")),
    weaker(
        "chatkit_private.purge_idempotency_keys",
        "(k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key)",
        "(k.endpoint, k.key) = (u.endpoint, u.key)",
        Called("purge_expired"),
    ),
    weaker("chatkit_private.purge_throttles", "t.full_at <= p_now", "true", Called("purge_expired")),
    weaker(
        "chatkit_private.purge_throttles",
        "(t.org_id, t.scope, t.subject, t.kind) = (f.org_id, f.scope, f.subject, f.kind)",
        "(t.scope, t.subject, t.kind) = (f.scope, f.subject, f.kind)",
        Called("purge_expired"),
    ),
];
