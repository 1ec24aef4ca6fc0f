//! Conditions by which the scheduled functions select due rows only.

use super::bodies::DetectedBy::{Call, LockWait};
use super::bodies::{BodyMutant, mutant};

pub const MUTANTS: &[BodyMutant] = &[
    mutant("public.claim_idle_sessions", "i.due_at <= v_now", "true", Call("claim_idle_sessions")),
    mutant("public.claim_idle_sessions", "i.session_id = m.session_id and", "", Call("claim_idle_sessions")),
    mutant("public.claim_idle_sessions", "s.id = f.session_id", "true", Call("claim_idle_sessions")),
    mutant("public.claim_idle_sessions", "a.org_id = s.org_id and", "", Call("claim_idle_sessions")),
    mutant("public.claim_idle_sessions", "u.org_id = s.org_id and", "", Call("claim_idle_sessions")),
    mutant("public.claim_idle_sessions", "and u.user_id = s.user_id", "", Call("claim_idle_sessions")),
    mutant("public.claim_idle_sessions", "t.session_id = s.id", "true", Call("claim_idle_sessions")),
    mutant(
        "public.claim_idle_sessions",
        "for update of i skip locked",
        "for update of i",
        LockWait("claim_idle_sessions"),
    ),
    mutant("public.expire_escalations", "and e.expires_at <= v_now", "", Call("expire_escalations")),
    mutant("public.expire_escalations", "e.id = v_id and", "", Call("expire_escalations")),
    mutant(
        "public.expire_escalations",
        "d.id = v_escalation.delivery_id and",
        "",
        Call("expire_escalations"),
    ),
    mutant(
        "public.expire_escalations",
        "for update of s skip locked",
        "for update of s",
        LockWait("expire_escalations"),
    ),
    mutant(
        "public.claim_uncancelled_chatkit_sessions",
        "and c.sealed_secret is null",
        "",
        Call("claim_uncancelled_chatkit_sessions"),
    ),
    mutant(
        "public.claim_uncancelled_chatkit_sessions",
        "c.id = stale.id and",
        "",
        Call("claim_uncancelled_chatkit_sessions"),
    ),
    mutant(
        "public.claim_uncancelled_chatkit_sessions",
        "for update of c skip locked",
        "for update of c",
        LockWait("claim_uncancelled_chatkit_sessions"),
    ),
    mutant(
        "public.fail_abandoned_requests",
        "for update of s skip locked",
        "for update of s",
        LockWait("fail_abandoned_requests"),
    ),
    mutant(
        "public.fail_abandoned_requests",
        "c.requested_at < v_now - make_interval(secs => coalesce(p_older_than_seconds, 60))",
        "true",
        Call("fail_abandoned_requests"),
    ),
    mutant(
        "public.fail_abandoned_requests",
        "k.chatkit_request_id = c.id and",
        "",
        Call("fail_abandoned_requests"),
    ),
    mutant(
        "public.fail_abandoned_requests",
        "k.lease_until > v_now",
        "false",
        Call("fail_abandoned_requests"),
    ),
    mutant("public.fail_abandoned_requests", "c.id = any (v_ids) and", "", Call("fail_abandoned_requests")),
    mutant("chatkit_private.purge_secrets", "and c.expires_at <= p_now", "", Call("purge_expired")),
    mutant("chatkit_private.purge_secrets", "c.id = expired.id", "true", Call("purge_expired")),
    mutant(
        "chatkit_private.purge_idempotency_keys",
        "k.last_used_at < v_unused_since",
        "true",
        Call("purge_expired"),
    ),
    mutant(
        "chatkit_private.purge_idempotency_keys",
        "(k.org_id, k.user_id, k.endpoint, k.key) = (u.org_id, u.user_id, u.endpoint, u.key)",
        "(k.endpoint, k.key) = (u.endpoint, u.key)",
        Call("purge_expired"),
    ),
    mutant("chatkit_private.purge_throttles", "t.full_at <= p_now", "true", Call("purge_expired")),
    mutant(
        "chatkit_private.purge_throttles",
        "(t.org_id, t.scope, t.subject, t.kind) = (f.org_id, f.scope, f.subject, f.kind)",
        "(t.scope, t.subject, t.kind) = (f.scope, f.subject, f.kind)",
        Call("purge_expired"),
    ),
];
