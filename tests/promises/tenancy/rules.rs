//! What is expected, table by table and function by function. What is in the database and not here is a violation.

use super::who::Who::{self, *};

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

/// Sealed secrets: for the RPC functions alone.
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
                 created_at updated_at",
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
                 expires_at cancelled_at sealed_secret sealing_key_id",
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
        shown: "org_id user_id session_id id seq role content attachments created_at tool_invocation_id",
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
                expires_at closed_at",
        hidden: "",
        rows: SESSIONS,
    },
];

/// The columns of readable tables of which PostgreSQL keeps statistics, because our plans depend on them. Of what people
/// and agents wrote it keeps none, since anybody can ask PostgREST for the planner's estimates.
pub const PLANNED_BY: &str = "org_id user_id session_id agent_id status last_activity_at created_at seq";

/// A function of `public`. The service calls it, nobody else does, and a call touches rows of the tenant it names.
pub struct Function {
    pub name: &'static str,
    /// Whom its arguments name.
    pub tenant: Tenant,
    /// A good call, as JSON. What is in braces is filled in for the person whom it is about.
    pub call: &'static str,
}

/// Whom a call is about, and so what becomes of one that mixes up two tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// An organisation as a whole. There is nothing to mix up.
    Organisation,
    /// A person. Not of that organisation: 403 `not_a_member`. With another's session: 409 `session_id_taken`.
    Person,
    /// A session of an organisation. In another one: 404 `session_not_found`.
    SessionOfOrganisation,
    /// A session of a person in an organisation. With any other person: 404 `session_not_found`.
    SessionOfPerson,
}

/// Every function.
pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "register_agent",
        tenant: Tenant::Organisation,
        call: r#"{ "p_org_id": "{org}", "p_agent_id": "accounts_payable", "p_display_name": "Payables",
                   "p_description": "", "p_chatkit_workflow_id": "wf_2" }"#,
    },
    Function {
        name: "open_session",
        tenant: Tenant::Person,
        call: r#"{ {the user's session}, "p_agent_id": "accounts_payable", "p_channel": "web", "p_metadata": {},
                   "p_chatkit_request_id": "{new}" }"#,
    },
    Function {
        name: "renew_chatkit_session",
        tenant: Tenant::SessionOfPerson,
        call: r#"{ {the user's session}, "p_purpose": "resume", "p_min_life_seconds": 999999999,
                   "p_chatkit_request_id": "{new}" }"#,
    },
    Function {
        name: "record_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        call: r#"{ {the organisation's session}, "p_chatkit_request_id": "{pending}",
                   "p_chatkit_session_id": "cksess_{new}", "p_expires_at": "2030-01-01T00:00:00Z",
                   "p_sealed_secret": "sealed", "p_sealing_key_id": "k1" }"#,
    },
    Function {
        name: "fail_chatkit_session",
        tenant: Tenant::SessionOfOrganisation,
        call: r#"{ {the organisation's session}, "p_chatkit_request_id": "{pending}", "p_end_session": true }"#,
    },
    Function { name: "cancel_session", tenant: Tenant::SessionOfPerson, call: r#"{ {the user's session} }"# },
    Function {
        name: "confirm_chatkit_cancelled",
        tenant: Tenant::SessionOfOrganisation,
        call: r#"{ {the organisation's session}, "p_chatkit_session_ids": ["{upstream}"] }"#,
    },
    Function {
        name: "record_events",
        tenant: Tenant::SessionOfPerson,
        call: r#"{ {the user's session}, "p_actor_type": "user", "p_actor_id": "{user}",
                   "p_events": [{ "id": "{new}", "type": "button_click", "payload": {} }] }"#,
    },
    Function {
        name: "record_messages",
        tenant: Tenant::SessionOfOrganisation,
        call: r#"{ {the organisation's session},
                   "p_messages": [{ "id": "{new}", "role": "agent", "content": "Paid" }] }"#,
    },
    Function {
        name: "record_tasks",
        tenant: Tenant::SessionOfOrganisation,
        call: r#"{ {the organisation's session},
                   "p_tasks": [{ "id": "{new}", "title": "Pay", "status": "running" }] }"#,
    },
];

/// The functions of `private` that a policy runs as the caller. All others there are for the functions above, which
/// run as their owner.
pub const RUN_BY_POLICIES: &[&str] =
    &["org_id_of", "org_role_of", "caller_org_id", "caller_org_role", "caller_is_approver"];
