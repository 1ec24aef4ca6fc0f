//! What is expected, table by table.

use crate::security::tenancy::roles::Who;
use crate::security::tenancy::roles::Who::*;

/// A table of `public`.
pub struct Table {
    pub name: &'static str,
    /// The columns that can be read, by whoever is shown a row.
    pub shown: &'static str,
    /// The columns that nobody reads and nobody filters by.
    pub hidden: &'static str,
    /// Which rows each caller is shown.
    pub rows: &'static [(Who, Sees)],
}

/// What a reading caller gets. Nobody at all inserts, updates or deletes.
#[derive(Clone, Copy, Debug)]
pub enum Sees {
    /// A refusal: they have no business with the table.
    Refused,
    /// The agents of these names, an organisation each.
    Agents(&'static [&'static str]),
    /// The rows of these people, and all of them.
    RowsOf(&'static [Who]),
}
use Sees::{Agents, Refused, RowsOf};

const HERE: Sees = RowsOf(&[User, Colleague, Approver, Admin, Owner]);
const ELSEWHERE: Sees = RowsOf(&[UserElsewhere, Stranger, OwnerElsewhere]);

/// Sessions and all that hangs off them: their user reads, and so do the owners, admins and approvers of the
/// organisation.
pub const SESSIONS: &[(Who, Sees)] = &[
    (Nobody, Refused),
    (AnonymousSignIn, RowsOf(&[])),
    (User, RowsOf(&[User])),
    (Colleague, RowsOf(&[Colleague])),
    (Approver, HERE),
    (Admin, HERE),
    (Owner, HERE),
    (UserElsewhere, RowsOf(&[UserElsewhere])),
    (Stranger, RowsOf(&[Stranger])),
    (OwnerElsewhere, ELSEWHERE),
    (Service, Refused),
];

/// The agents that one may open: everybody `accounts_payable`, only owners and approvers `cfo_strategy`, and
/// nobody `regulatory_filings`, which is switched off.
const AGENTS: &[(Who, Sees)] = &[
    (Nobody, Refused),
    (AnonymousSignIn, Agents(&[])),
    (User, Agents(&["accounts_payable here"])),
    (Colleague, Agents(&["accounts_payable here"])),
    (Approver, Agents(&["accounts_payable here", "cfo_strategy here"])),
    (Admin, Agents(&["accounts_payable here"])),
    (Owner, Agents(&["accounts_payable here", "cfo_strategy here"])),
    (UserElsewhere, Agents(&["accounts_payable elsewhere"])),
    (Stranger, Agents(&["accounts_payable elsewhere"])),
    (OwnerElsewhere, Agents(&["accounts_payable elsewhere", "cfo_strategy elsewhere"])),
    (Service, Refused),
];

/// Sealed secrets, keys, limits, plans, and agents' addresses and what they are told: for the RPC functions alone.
const CLOSED: &[(Who, Sees)] = &[
    (Nobody, Refused),
    (AnonymousSignIn, Refused),
    (User, Refused),
    (Colleague, Refused),
    (Approver, Refused),
    (Admin, Refused),
    (Owner, Refused),
    (UserElsewhere, Refused),
    (Stranger, Refused),
    (OwnerElsewhere, Refused),
    (Service, Refused),
];

/// Every table.
pub const TABLES: &[Table] = &[
    Table {
        name: "agents",
        shown: "org_id id display_name description",
        hidden: "chatkit_workflow_id chatkit_workflow_version tracing_enabled enabled allowed_org_roles \
                 created_at updated_at idle_timeout_seconds",
        rows: AGENTS,
    },
    Table { name: "chatkit_users", shown: "org_id user_id chatkit_user", hidden: "", rows: SESSIONS },
    Table {
        name: "chat_sessions",
        shown: "id org_id user_id channel agent_id status created_at ended_at end_reason metadata \
                last_activity_at last_event_seq last_message_seq",
        hidden: "",
        rows: SESSIONS,
    },
    Table {
        name: "chatkit_sessions",
        shown: "",
        hidden: "id org_id user_id session_id agent_id chatkit_session_id requested_at recorded_at failed_at \
                 expires_at cancelled_at sealed_secret sealing_key_id cancel_lease_until",
        rows: CLOSED,
    },
    Table {
        name: "chatkit_threads",
        shown: "org_id user_id session_id thread_id linked_at",
        hidden: "",
        rows: SESSIONS,
    },
    Table {
        name: "chat_events",
        shown: "org_id user_id session_id id seq type payload actor_type actor_id occurred_at created_at",
        hidden: "",
        rows: SESSIONS,
    },
    Table {
        name: "chat_messages",
        shown: "org_id user_id session_id id seq role content attachments created_at tool_invocation_id \
                chatkit_item_id",
        hidden: "",
        rows: SESSIONS,
    },
    Table {
        name: "chat_tasks",
        shown: "org_id user_id session_id id title status requires_hitl updated_at",
        hidden: "",
        rows: SESSIONS,
    },
    Table {
        name: "chat_escalations",
        shown: "id org_id user_id session_id event_id origin reason decisions answer_schema status created_at \
                expires_at closed_at kind delivery_id subject subject_hash risk approver author_id predecessor_id revision \
                decision answer decided_by decided_at decision_event_id agent_id tool",
        hidden: "",
        rows: SESSIONS,
    },
    Table {
        name: "idempotency_keys",
        shown: "",
        hidden: "org_id user_id endpoint key request_hash session_id chatkit_request_id lease_until completed_at \
                 created_at last_used_at",
        rows: CLOSED,
    },
    Table {
        name: "org_limits",
        shown: "",
        hidden: "org_id secrets_per_minute_user secrets_per_minute_session events_per_minute_user \
                 events_per_minute_session thread_reads_per_minute_user keys_per_day_user active_sessions_user",
        rows: CLOSED,
    },
    Table { name: "throttles", shown: "", hidden: "org_id scope subject kind full_at", rows: CLOSED },
    Table {
        name: "idle_checks",
        shown: "",
        hidden: "org_id user_id session_id due_at threads_asked",
        rows: CLOSED,
    },
    Table {
        name: "agent_servers",
        shown: "",
        hidden: "org_id agent_id url credential timeout_seconds max_attempts created_at updated_at",
        rows: CLOSED,
    },
    Table {
        name: "agent_tools",
        shown: "",
        hidden: "org_id agent_id name idempotent policy amount_pointer currency currency_pointer unit ask_above \
                 ask_above_total refuse_above release_lowered_amount risk approver ask_expires_in_seconds",
        rows: CLOSED,
    },
    Table {
        name: "agent_routes",
        shown: "",
        hidden: "org_id agent_id place tool event_type session_agent_id metadata",
        rows: CLOSED,
    },
    Table {
        name: "deliveries",
        shown: "",
        hidden: "id org_id user_id session_id event_id seq agent_id tool resumes about_event_id inputs escalation_id \
                 answer_id retry_id author_id release_id released_hash depth root_event_id status attempts next_attempt_at lease_until claim_id fence \
                 finished_fence finished_as request_state error created_at finished_at",
        rows: CLOSED,
    },
    Table {
        name: "auto_call_amounts",
        shown: "",
        hidden: "org_id user_id session_id delivery_id agent_id tool currency unit amount begun_at",
        rows: CLOSED,
    },
    Table { name: "delivery_queues", shown: "", hidden: "org_id user_id session_id due_at", rows: CLOSED },
    Table {
        name: "transcripts_due",
        shown: "",
        hidden: "org_id user_id session_id due_at claims attempts thread_id after_item_id",
        rows: CLOSED,
    },
    Table {
        name: "erasures",
        shown: "",
        hidden: "id org_id user_id requested_by reason started_at lease_until thread_ids counts finished_at",
        rows: CLOSED,
    },
    Table { name: "org_retention", shown: "", hidden: "org_id keep_days updated_at", rows: CLOSED },
    Table {
        name: "retention_leases",
        shown: "",
        hidden: "org_id user_id session_id lease_until",
        rows: CLOSED,
    },
];

/// The columns that PostgreSQL writes itself: no statement may name a value for them.
pub const MADE_BY_POSTGRES: &[(&str, &str)] =
    &[("chat_escalations", "subject_hash"), ("chat_escalations", "agent_id"), ("chat_escalations", "tool")];

/// The columns of readable tables of which PostgreSQL keeps statistics, because our plans depend on them. Of what people
/// and agents wrote, and of whose a row is, it keeps none, since anybody can ask PostgREST for the planner's estimates.
pub const PLANNED_BY: &str = "agent_id status last_activity_at created_at seq";
