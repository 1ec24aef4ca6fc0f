//! The expectations of every table.

use crate::security::tenancy::callers::Caller::{self, *};

/// A table of `public`.
pub struct Table {
    pub name: &'static str,
    /// The columns that a caller reads of a visible row.
    pub readable: &'static str,
    /// The columns that no caller can read or use in a filter.
    pub hidden: &'static str,
    /// The rows that each caller reads.
    pub visible: &'static [(Caller, Visible)],
}

/// The result of a read. Every insert, update and delete is denied.
#[derive(Clone, Copy, Debug)]
pub enum Visible {
    /// An error, because the caller lacks the privilege.
    Denied,
    /// The agents with these ids in these organisations.
    Agents(&'static [&'static str]),
    /// All rows of these people.
    RowsOf(&'static [Caller]),
}
use Visible::{Agents, Denied, RowsOf};

const ALL_OF_ORG: Visible = RowsOf(&[User, Colleague, Approver, Admin, Owner]);
const ALL_OF_OTHER_ORG: Visible = RowsOf(&[UserInOtherOrg, MemberOfOtherOrg, OwnerOfOtherOrg]);

/// Sessions and their rows: the user can read them, and so can owners, admins and approvers of the
/// organisation.
pub const SESSIONS: &[(Caller, Visible)] = &[
    (NoToken, Denied),
    (AnonymousSignIn, RowsOf(&[])),
    (User, RowsOf(&[User])),
    (Colleague, RowsOf(&[Colleague])),
    (Approver, ALL_OF_ORG),
    (Admin, ALL_OF_ORG),
    (Owner, ALL_OF_ORG),
    (UserInOtherOrg, RowsOf(&[UserInOtherOrg])),
    (MemberOfOtherOrg, RowsOf(&[MemberOfOtherOrg])),
    (OwnerOfOtherOrg, ALL_OF_OTHER_ORG),
    (Service, Denied),
];

/// The agents that a caller may open: every member `accounts_payable` and `treasury_chat`, only
/// owners and approvers `cfo_strategy`. `regulatory_filings` is disabled.
const AGENTS: &[(Caller, Visible)] = &[
    (NoToken, Denied),
    (AnonymousSignIn, Agents(&[])),
    (User, Agents(&["accounts_payable of org", "treasury_chat of org"])),
    (Colleague, Agents(&["accounts_payable of org", "treasury_chat of org"])),
    (Approver, Agents(&["accounts_payable of org", "cfo_strategy of org", "treasury_chat of org"])),
    (Admin, Agents(&["accounts_payable of org", "treasury_chat of org"])),
    (Owner, Agents(&["accounts_payable of org", "cfo_strategy of org", "treasury_chat of org"])),
    (UserInOtherOrg, Agents(&["accounts_payable of other org", "treasury_chat of other org"])),
    (MemberOfOtherOrg, Agents(&["accounts_payable of other org", "treasury_chat of other org"])),
    (
        OwnerOfOtherOrg,
        Agents(&["accounts_payable of other org", "cfo_strategy of other org", "treasury_chat of other org"]),
    ),
    (Service, Denied),
];

/// Sealed secrets, idempotency keys, limits, due work, agent servers, deliveries, and the answers
/// and hidden items of the self-hosted chat: only the RPC functions read them.
const NO_ACCESS: &[(Caller, Visible)] = &[
    (NoToken, Denied),
    (AnonymousSignIn, Denied),
    (User, Denied),
    (Colleague, Denied),
    (Approver, Denied),
    (Admin, Denied),
    (Owner, Denied),
    (UserInOtherOrg, Denied),
    (MemberOfOtherOrg, Denied),
    (OwnerOfOtherOrg, Denied),
    (Service, Denied),
];

pub const TABLES: &[Table] = &[
    Table {
        name: "agents",
        readable: "org_id id display_name description",
        hidden: "provider chatkit_workflow_id chatkit_workflow_version tracing_enabled enabled \
                 allowed_org_roles created_at updated_at idle_timeout_seconds model instructions \
                 reasoning_effort max_input_tokens max_output_tokens max_turn_seconds max_tool_calls \
                 start_screen built_in_tools client_tools",
        visible: AGENTS,
    },
    Table { name: "chatkit_users", readable: "org_id user_id chatkit_user", hidden: "", visible: SESSIONS },
    Table {
        name: "chat_sessions",
        readable: "id org_id user_id channel agent_id provider status created_at ended_at end_reason metadata \
                last_activity_at last_event_seq last_message_seq title device_label change_xid",
        hidden: "",
        visible: SESSIONS,
    },
    Table {
        name: "chatkit_sessions",
        readable: "",
        hidden: "id org_id user_id session_id agent_id provider chatkit_session_id requested_at recorded_at \
                 failed_at expires_at cancelled_at sealed_secret sealing_key_id secret_hash aal client_id \
                 cancel_lease_until",
        visible: NO_ACCESS,
    },
    Table {
        name: "chatkit_threads",
        readable: "org_id user_id session_id thread_id linked_at",
        hidden: "",
        visible: SESSIONS,
    },
    Table {
        name: "chat_events",
        readable: "org_id user_id session_id id seq type payload actor_type actor_id occurred_at created_at",
        hidden: "",
        visible: SESSIONS,
    },
    Table {
        name: "chat_messages",
        readable: "org_id user_id session_id id seq role content attachments created_at tool_invocation_id \
                chatkit_item_id thread_id thread_seq kind item hidden_at",
        hidden: "",
        visible: SESSIONS,
    },
    Table {
        name: "chat_tasks",
        readable: "org_id user_id session_id id title status requires_hitl updated_at \
                description due_at escalation_id",
        hidden: "",
        visible: SESSIONS,
    },
    Table {
        name: "chat_escalations",
        readable: "id org_id user_id session_id event_id origin reason decisions answer_schema status \
                   created_at expires_at closed_at kind delivery_id subject subject_hash risk approver \
                   author_id predecessor_id revision decision answer decided_by decided_at decision_event_id agent_id tool \
                   request_hash comment_required comment claimed_by claimed_until change_xid",
        hidden: "",
        visible: SESSIONS,
    },
    Table {
        name: "session_model_settings",
        readable: "",
        hidden: "org_id user_id session_id agent_id model instructions reasoning_effort max_input_tokens \
                 max_output_tokens max_turn_seconds max_tool_calls start_screen built_in_tools \
                 client_tools copied_at",
        visible: NO_ACCESS,
    },
    Table {
        name: "chat_threads",
        readable: "id org_id user_id agent_id title created_at hidden_at",
        hidden: "last_item_seq",
        visible: SESSIONS,
    },
    Table {
        name: "chat_thread_sessions",
        readable: "org_id user_id session_id thread_id last_used_at",
        hidden: "released_at",
        visible: SESSIONS,
    },
    Table {
        name: "chat_hidden_items",
        readable: "",
        hidden: "org_id user_id thread_id thread_seq kind item created_at hidden_at",
        visible: NO_ACCESS,
    },
    Table {
        name: "chat_runs",
        readable: "",
        hidden: "id org_id user_id session_id thread_id agent_id secret_hash request_key request_hash status \
                 question_seq preceding_item_seq last_item_seq last_chunk_seq draft removed_since \
                 started_at lease_until stop_requested_at finished_at input_bytes input_tokens output_tokens \
                 charged_tokens error_code handovers",
        visible: NO_ACCESS,
    },
    Table {
        name: "chat_run_chunks",
        readable: "",
        hidden: "org_id user_id session_id run_id seq events",
        visible: NO_ACCESS,
    },
    Table {
        name: "idempotency_keys",
        readable: "",
        hidden: "org_id user_id endpoint key request_hash session_id chatkit_request_id lease_until completed_at \
                 created_at last_used_at",
        visible: NO_ACCESS,
    },
    Table {
        name: "org_limits",
        readable: "",
        hidden: "org_id secrets_per_minute_user secrets_per_minute_session events_per_minute_user \
                 events_per_minute_session thread_reads_per_minute_user keys_per_day_user active_sessions_user \
                 turns_per_minute_user turns_per_minute_org active_runs_user active_runs_org \
                 tokens_per_day_user tokens_per_day_org",
        visible: NO_ACCESS,
    },
    Table {
        name: "throttles",
        readable: "",
        hidden: "org_id scope subject kind full_at",
        visible: NO_ACCESS,
    },
    Table {
        name: "idle_checks",
        readable: "",
        hidden: "org_id user_id session_id due_at threads_asked",
        visible: NO_ACCESS,
    },
    Table {
        name: "agent_servers",
        readable: "",
        hidden: "org_id agent_id url credential timeout_seconds max_attempts created_at updated_at",
        visible: NO_ACCESS,
    },
    Table {
        name: "agent_tools",
        readable: "",
        hidden: "org_id agent_id name description input_schema arguments idempotent policy amount_pointer \
                 currency currency_pointer unit ask_above ask_above_total refuse_above trusts_tool_output \
                 release_lowered_amount risk approver ask_expires_in_seconds display comment_required",
        visible: NO_ACCESS,
    },
    Table {
        name: "agent_routes",
        readable: "",
        hidden: "org_id agent_id place tool event_type session_agent_id metadata",
        visible: NO_ACCESS,
    },
    Table {
        name: "deliveries",
        readable: "",
        hidden: "id org_id user_id session_id event_id seq agent_id tool resumes about_event_id inputs \
                 escalation_id answer_id retry_id author_id release_id released_hash run_id call_id follows_tool_output depth \
                 root_event_id \
                 status attempts next_attempt_at lease_until claim_id fence in_turn finished_fence finished_as request_state error created_at finished_at",
        visible: NO_ACCESS,
    },
    Table {
        name: "auto_call_amounts",
        readable: "",
        hidden: "org_id user_id session_id delivery_id agent_id tool currency unit amount begun_at",
        visible: NO_ACCESS,
    },
    Table {
        name: "delivery_queues",
        readable: "",
        hidden: "org_id user_id session_id due_at agent_id",
        visible: NO_ACCESS,
    },
    Table {
        name: "transcripts_due",
        readable: "",
        hidden: "org_id user_id session_id due_at claims attempts thread_id after_item_id",
        visible: NO_ACCESS,
    },
    Table {
        name: "erasures",
        readable: "",
        hidden: "id org_id user_id requested_by reason started_at lease_until thread_ids counts finished_at",
        visible: NO_ACCESS,
    },
    Table { name: "org_retention", readable: "", hidden: "org_id keep_days updated_at", visible: NO_ACCESS },
    Table {
        name: "retention_leases",
        readable: "",
        hidden: "org_id user_id session_id lease_until",
        visible: NO_ACCESS,
    },
];

/// The generated columns, for which an insert cannot set a value.
pub const GENERATED_COLUMNS: &[(&str, &str)] = &[
    ("chat_escalations", "subject_hash"),
    ("chat_escalations", "agent_id"),
    ("chat_escalations", "tool"),
    ("chat_escalations", "request_hash"),
    ("deliveries", "in_turn"),
];

/// The readable columns with statistics, because query plans depend on them. Contents and owners of
/// rows have no statistics, because every caller can request the planner's estimates from
/// PostgREST.
pub const COLUMNS_WITH_STATISTICS: &str = "agent_id status last_activity_at created_at seq";
