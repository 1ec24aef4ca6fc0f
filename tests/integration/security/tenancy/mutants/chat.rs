//! Conditions on the threads, items and runs of the self-hosted chat.
//!
//! The conditions on the organisation are not listed: a user's rows in another organisation have
//! the same user, whose secret is refused there first.

use super::bodies::DetectedBy::{Call, ForeignIds, LockWait};
use super::bodies::{BodyMutant, mutant};

pub const MUTANTS: &[BodyMutant] = &[
    mutant(
        "chatkit_private.chat_session_of_secret",
        "where c.secret_hash = p_secret_hash\n",
        "where true\n",
        Call("list_chat_threads"),
    ),
    mutant(
        "chatkit_private.chat_session_of_secret",
        "if v_found.role is null then",
        "if false then",
        Call("list_chat_items"),
    ),
    mutant(
        "chatkit_private.lock_thread",
        "and t.user_id = p_session.user_id",
        "",
        ForeignIds("rename_chat_thread"),
    ),
    mutant("chatkit_private.lock_thread", "and t.user_id = p_session.user_id", "", Call("begin_chat_run")),
    mutant(
        "chatkit_private.readable_thread",
        "and t.user_id = v_session.user_id",
        "",
        Call("list_chat_items"),
    ),
    mutant(
        "chatkit_private.list_chat_threads",
        "and t.user_id = v_session.user_id\n        and t.hidden_at",
        "and t.hidden_at",
        Call("list_chat_threads"),
    ),
    mutant(
        "chatkit_private.list_chat_threads",
        "where t.id = p_after and t.org_id = v_session.org_id and t.user_id = v_session.user_id",
        "where t.id = p_after",
        ForeignIds("list_chat_threads"),
    ),
    mutant(
        "chatkit_private.list_chat_items",
        "m.thread_id = p_thread_id and m.chatkit_item_id = p_after",
        "m.chatkit_item_id = p_after",
        ForeignIds("list_chat_items"),
    ),
    mutant(
        "chatkit_private.get_chat_card",
        "m.thread_id = p_thread_id and m.chatkit_item_id = p_item_id",
        "m.chatkit_item_id = p_item_id",
        ForeignIds("get_chat_card"),
    ),
    mutant(
        "chatkit_private.record_chat_feedback",
        "m.thread_id = p_thread_id\n",
        "true\n",
        ForeignIds("record_chat_feedback"),
    ),
    mutant(
        "chatkit_private.delete_chat_thread",
        "where r.thread_id = p_thread_id and r.status = 'running'",
        "where r.status = 'running'",
        Call("delete_chat_thread"),
    ),
    mutant(
        "chatkit_private.delete_chat_thread",
        "clock_timestamp() where t.id = p_thread_id",
        "clock_timestamp()",
        Call("delete_chat_thread"),
    ),
    mutant(
        "chatkit_private.hide_items",
        "where h.thread_id = p_thread_id\n    and",
        "where",
        Call("delete_chat_thread"),
    ),
    mutant("chatkit_private.hide_items", "m.thread_id = p_thread_id and", "", Call("delete_chat_thread")),
    mutant(
        "chatkit_private.follow_chat_run",
        "and r.user_id = v_session.user_id",
        "",
        Call("follow_chat_run"),
    ),
    mutant("chatkit_private.lock_run", "and r.secret_hash = p_secret_hash", "", Call("append_chat_run")),
    mutant("chatkit_private.lock_run", "and r.secret_hash = p_secret_hash", "", Call("finish_chat_run")),
    mutant("chatkit_private.lock_run", "and r.secret_hash = p_secret_hash", "", Call("begin_chat_call")),
    mutant(
        "chatkit_private.repeated_run",
        "and r.user_id = p_session.user_id",
        "",
        ForeignIds("begin_chat_run"),
    ),
    mutant(
        "chatkit_private.stop_running_answer",
        "r.thread_id = p_thread_id and r.status = 'running'",
        "r.status = 'running'",
        Call("begin_chat_run"),
    ),
    mutant("chatkit_private.model_history", "m.thread_id = p_thread_id and", "", Call("begin_chat_run")),
    mutant("chatkit_private.model_history", "h.thread_id = p_thread_id and", "", Call("begin_chat_run")),
    mutant("chatkit_private.thread_page", "m.thread_id = p_thread_id", "true", Call("list_chat_items")),
    mutant("chatkit_private.stop_response", "r.session_id = p_session_id and", "", Call("stop_response")),
    mutant(
        "public.settle_chat_runs",
        "for update of s skip locked",
        "for update of s",
        LockWait("settle_chat_runs"),
    ),
    mutant(
        "chatkit_private.settle_run",
        "'draft_rejected' end\n  where r.id = p_run_id",
        "'draft_rejected' end\n  where r.status = 'running'",
        Call("settle_chat_runs"),
    ),
    mutant(
        "chatkit_private.purge_chat_run_chunks",
        "r.finished_at < p_now - interval '10 minutes'",
        "true",
        Call("purge_expired"),
    ),
    mutant(
        "chatkit_private.purge_chat_run_chunks",
        "(c.session_id, c.run_id, c.seq) = (o.session_id, o.run_id, o.seq)",
        "c.seq = o.seq",
        Call("purge_expired"),
    ),
];
