//! Pieces of the texts by which one person is erased and no other, and what is overdue and nothing else.

use super::predicates::Noticed::{Called, Waited};
use super::predicates::{Weaker, weaker};

/// All of them.
pub const WEAKER: &[Weaker] = &[
    // Whose erasure.
    weaker(
        "public.begin_erasure",
        "where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null",
        "where e.finished_at is null",
        Called("begin_erasure"),
    ),
    weaker(
        "public.record_deleted_threads",
        "e.org_id = p_org_id and e.user_id = p_user_id and",
        "",
        Called("record_deleted_threads"),
    ),
    weaker("public.claim_erasures", "and e.lease_until <= v_now", "", Called("claim_erasures")),
    weaker("public.claim_erasures", "for update skip locked", "for update", Waited("claim_erasures")),
    // Whose sessions.
    weaker(
        "public.end_erased_sessions",
        "s.org_id = p_org_id and s.user_id = p_user_id and",
        "",
        Called("end_erased_sessions"),
    ),
    weaker(
        "public.end_erased_sessions",
        "c.org_id = p_org_id and c.user_id = p_user_id\n        and",
        "",
        Called("end_erased_sessions"),
    ),
    weaker(
        "public.erase_batch",
        "s.org_id = p_org_id and s.user_id = p_user_id and s.status",
        "s.status",
        Called("erase_batch"),
    ),
    weaker("chatkit_private.erase_session", "o.session_id = $1", "$1 is not null", Called("erase_batch")),
    weaker(
        "chatkit_private.erase_session",
        "o.org_id = p_session.org_id and o.user_id = p_session.user_id and o.session_id = p_session.id",
        "true",
        Called("erase_batch"),
    ),
    weaker(
        "chatkit_private.erase_session",
        "t.scope = 'session' and t.subject = p_session.id",
        "true",
        Called("erase_batch"),
    ),
    weaker("chatkit_private.erase_session", "where s.id = p_session.id", "", Called("erase_batch")),
    // What does not hang off a session.
    weaker(
        "public.finish_erasure",
        "k where k.org_id = p_org_id and k.user_id = p_user_id",
        "k",
        Called("finish_erasure"),
    ),
    weaker("public.finish_erasure", "and t.subject = p_user_id", "", Called("finish_erasure")),
    weaker(
        "public.finish_erasure",
        "u where u.org_id = p_org_id and u.user_id = p_user_id",
        "u",
        Called("finish_erasure"),
    ),
    weaker(
        "public.finish_erasure",
        "where e.id = v_erasure.id",
        "where e.finished_at is null",
        Called("finish_erasure"),
    ),
    // What is overdue.
    weaker("public.set_retention", "r where r.org_id = p_org_id", "r", Called("set_retention")),
    weaker(
        "public.claim_overdue_sessions",
        "o.ended_at < v_now - make_interval(days => r.keep_days)",
        "true",
        Called("claim_overdue_sessions"),
    ),
    weaker(
        "public.claim_overdue_sessions",
        "o.org_id = r.org_id\n",
        "true\n",
        Called("claim_overdue_sessions"),
    ),
    weaker(
        "public.claim_overdue_sessions",
        "t.session_id = f.id\n",
        "true\n",
        Called("claim_overdue_sessions"),
    ),
    weaker(
        "public.claim_overdue_sessions",
        "for update of s skip locked",
        "for update of s",
        Waited("claim_overdue_sessions"),
    ),
    weaker(
        "public.erase_overdue_session",
        "t.session_id = p_session_id and",
        "",
        Called("erase_overdue_session"),
    ),
    weaker(
        "chatkit_private.retention_cutoff",
        "where r.org_id = p_org_id",
        "where r.org_id <> p_org_id",
        Called("erase_overdue_session"),
    ),
];
