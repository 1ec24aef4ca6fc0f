//! The expectations of every function.

mod chat;
mod erasure;
mod maintenance;
mod members;
mod orchestrator;
mod sessions;

/// A function of `public` that only the service can call. A call changes rows of the tenant in its
/// arguments only. [`crate::security::tenancy::person::Person::fill`] replaces the placeholders.
pub struct Function {
    pub name: &'static str,
    /// The tenant in the arguments.
    pub tenant: Tenant,
    /// SQL before the call: rows of the person for the call to find, and rows of others that it
    /// must not change. Empty if the rows exist already.
    pub setup: &'static str,
    /// The arguments of a valid call, as JSON.
    pub arguments: &'static str,
    /// The members that the response has at least, as JSON.
    pub response: &'static str,
    /// SQL that returns true after the call. Empty if the response is enough.
    pub postcondition: &'static str,
}

/// The tenant in the arguments of a call, and the error of a call with ids of different tenants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenant {
    /// An organisation as a whole. The arguments have no other ids.
    Organisation,
    /// A person. If the person is not a member of the organisation: 403 `not_a_member`. With the id
    /// of another person's session: 409 `session_id_taken`.
    Person,
    /// A session of an organisation. Of another organisation: 404 `session_not_found`.
    SessionOfOrganisation,
    /// A session of a person in an organisation. Of another person: 404 `session_not_found`.
    SessionOfPerson,
    /// A delivery of an organisation. Of another organisation: 404 `delivery_not_found`.
    DeliveryOfOrganisation,
    /// An escalation, and the person who decides. If the person is not a member of the
    /// organisation: 403 `not_a_member`. If the person is neither the requester nor an approver:
    /// 404 `escalation_not_found`.
    EscalationOfPerson,
    /// A person of an organisation whom an operator erases, or whose membership an operator
    /// changes. Other persons are not changed.
    ManagedPerson,
    /// A running delivery and its fence. With another fence the delivery is not finished.
    RunningCall,
    /// The session of a client secret, whose hash is the only id in the arguments.
    Secret,
    /// The session of a client secret, and a thread. Of another user: 404 `thread_not_found`.
    ThreadOfSecret,
    /// The session of a client secret, and a run. Of another user: 404 `run_not_found`.
    RunOfSecret,
    /// A run, and the client secret that began it. With another secret: 404 `run_not_found`. The
    /// user may have left the organisation meanwhile.
    RunOfProcess,
    /// Due rows of every tenant, for a scheduled run. Rows that are not due are not changed.
    Schedule,
}

/// Every function. Some have several calls.
pub fn every_function() -> impl Iterator<Item = &'static Function> {
    [
        sessions::FUNCTIONS,
        chat::FUNCTIONS,
        maintenance::FUNCTIONS,
        orchestrator::FUNCTIONS,
        erasure::FUNCTIONS,
        members::FUNCTIONS,
    ]
    .into_iter()
    .flatten()
}

/// The security definers that `authenticated` can execute, and no other role. The tests of metrics
/// and of rate limits check their results.
pub const CALLER_FUNCTIONS: &[&str] = &["get_metrics", "consume_thread_read_limit"];

/// The security invokers that return lists to `authenticated`. Row level security decides about the
/// rows, as for the tables.
pub const READ_FUNCTIONS: &[&str] = &[
    "list_sessions",
    "list_changes",
    "list_events",
    "list_messages",
    "get_escalation",
    "list_escalations",
    "list_agents",
    "session_details",
];

/// The security definers of `chatkit_private` that they call. They return rows of the caller's
/// organisation, of which the security invokers return those that the policies show.
pub const READ_HELPERS: &[&str] = &["escalation_details", "escalation_page", "changes_since"];

/// The security invokers of `chatkit_private` that they call.
pub const READ_INVOKERS: &[&str] = &["readable_changes"];

/// The security invokers of `public` that write for a caller. They read with the caller's rights,
/// and then call the security definer with the same name in `chatkit_private`.
pub const WRITE_FUNCTIONS: &[&str] = &[
    "open_session",
    "renew_chatkit_session",
    "record_events",
    "cancel_session",
    "decide_escalation",
    "claim_escalation",
    "release_escalation",
    "stop_response",
    "begin_chat_run",
    "follow_chat_run",
    "list_chat_threads",
    "list_chat_items",
    "get_chat_card",
    "decide_chat_card",
    "rename_chat_thread",
    "delete_chat_thread",
    "record_chat_feedback",
];

/// The functions of `chatkit_private` that they call before.
pub const WRITE_HELPERS: &[&str] = &[
    "effective_claims",
    "readable_ids",
    "readable_escalation_id",
    "decided_escalation_id",
    "readable_chat_session",
    "chat_session_of_secret",
    "claims_of_secret",
];

/// The other security definers of `chatkit_private`. They read `auth.users`.
pub const AUTH_USERS_READERS: &[&str] =
    &["effective_claims", "chat_session_of_secret", "claims_of_secret", "open_escalations"];

/// The functions of `chatkit_private` that policies execute as the caller. Security definers call
/// all others.
pub const POLICY_FUNCTIONS: &[&str] =
    &["extract_org_id", "extract_org_role", "caller_org_id", "caller_org_role", "caller_is_approver"];
