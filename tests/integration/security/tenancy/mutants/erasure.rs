//! Conditions by which an erasure deletes rows of one person, and retention overdue rows.

use super::bodies::DetectedBy::{Call, LockWait};
use super::bodies::{BodyMutant, mutant};

pub const MUTANTS: &[BodyMutant] = &[
    // Erasures.
    mutant(
        "public.begin_erasure",
        "where e.org_id = p_org_id and e.user_id = p_user_id and e.finished_at is null",
        "where e.finished_at is null",
        Call("begin_erasure"),
    ),
    mutant(
        "public.record_deleted_threads",
        "e.org_id = p_org_id and e.user_id = p_user_id and",
        "",
        Call("record_deleted_threads"),
    ),
    mutant("public.claim_erasures", "and e.lease_until <= v_now", "", Call("claim_erasures")),
    mutant("public.claim_erasures", "for update skip locked", "for update", LockWait("claim_erasures")),
    // Sessions.
    mutant(
        "public.end_erased_sessions",
        "s.org_id = p_org_id and s.user_id = p_user_id and",
        "",
        Call("end_erased_sessions"),
    ),
    mutant(
        "public.end_erased_sessions",
        "c.org_id = p_org_id and c.user_id = p_user_id\n        and",
        "",
        Call("end_erased_sessions"),
    ),
    mutant(
        "public.erase_batch",
        "s.org_id = p_org_id and s.user_id = p_user_id and s.status",
        "s.status",
        Call("erase_batch"),
    ),
    mutant(
        "chatkit_private.erase_rows_of_session",
        "o.session_id = $1",
        "$1 is not null",
        Call("erase_batch"),
    ),
    mutant(
        "chatkit_private.erase_session",
        "o.org_id = p_session.org_id and o.user_id = p_session.user_id and o.session_id = p_session.id",
        "true",
        Call("erase_batch"),
    ),
    mutant(
        "chatkit_private.erase_session",
        "t.scope = 'session' and t.subject = p_session.id",
        "true",
        Call("erase_batch"),
    ),
    mutant("chatkit_private.erase_session", "where s.id = p_session.id", "", Call("erase_batch")),
    // Rows that do not belong to a session.
    mutant(
        "public.finish_erasure",
        "k where k.org_id = p_org_id and k.user_id = p_user_id",
        "k",
        Call("finish_erasure"),
    ),
    mutant("public.finish_erasure", "and t.subject = p_user_id", "", Call("finish_erasure")),
    mutant(
        "public.finish_erasure",
        "u where u.org_id = p_org_id and u.user_id = p_user_id",
        "u",
        Call("finish_erasure"),
    ),
    mutant(
        "public.finish_erasure",
        "where e.id = v_erasure.id",
        "where e.finished_at is null",
        Call("finish_erasure"),
    ),
    // Retention.
    mutant("public.set_retention", "r where r.org_id = p_org_id", "r", Call("set_retention")),
    mutant(
        "chatkit_private.overdue_session_ids",
        "o.ended_at < p_now - make_interval(days => r.keep_days)",
        "true",
        Call("claim_overdue_sessions"),
    ),
    mutant(
        "chatkit_private.overdue_session_ids",
        "o.org_id = r.org_id\n",
        "true\n",
        Call("claim_overdue_sessions"),
    ),
    mutant(
        "public.claim_overdue_sessions",
        "t.session_id = f.id\n",
        "true\n",
        Call("claim_overdue_sessions"),
    ),
    mutant(
        "public.claim_overdue_sessions",
        "for update of s skip locked",
        "for update of s",
        LockWait("claim_overdue_sessions"),
    ),
    mutant(
        "public.erase_overdue_session",
        "t.session_id = p_session_id and",
        "",
        Call("erase_overdue_session"),
    ),
    mutant(
        "chatkit_private.retention_cutoff",
        "where r.org_id = p_org_id",
        "where r.org_id <> p_org_id",
        Call("erase_overdue_session"),
    ),
];
