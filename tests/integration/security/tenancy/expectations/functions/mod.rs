//! What is expected, function by function.

mod erasure;
mod maintenance;
mod orchestrator;
mod sessions;

/// A function of `public`. The service calls it, nobody else does, and a call touches rows of the tenant it names.
pub struct Function {
    pub name: &'static str,
    /// Whom its arguments name.
    pub tenant: Tenant,
    /// What has happened before the call, as SQL: something of the person's for it to find, and of others' for it to leave
    /// alone. Empty where it finds that anyway.
    pub before: &'static str,
    /// A good call, as JSON. What is in braces is filled in for the person whom it is about.
    pub call: &'static str,
    /// What its answer holds, at least, as JSON.
    pub answer: &'static str,
    /// What is so then, as SQL that says true. Empty where the answer says it all.
    pub after: &'static str,
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
    /// A delivery of an organisation. In another one: 404 `delivery_not_found`.
    DeliveryOfOrganisation,
    /// An escalation, and the person who decides it. Not of the organisation: 403 `not_a_member`. Not theirs, and they don't
    /// decide for others: 404 `escalation_not_found`.
    EscalationOfPerson,
    /// A person of an organisation, whom an operator erases, whoever it is. Those whom nobody erases are left alone.
    ErasedPerson,
    /// A call under way, which whoever began it knows by its delivery and fence. With another's fence it is not finished.
    CallUnderWay,
    /// Nobody: it is for the schedule, and touches what is due, of whichever tenant. Of a tenant with nothing due it
    /// touches nothing, and no row of one is mixed up with another's.
    Due,
}

/// Every function, some of them with several calls.
pub fn every_function() -> impl Iterator<Item = &'static Function> {
    [sessions::FUNCTIONS, maintenance::FUNCTIONS, orchestrator::FUNCTIONS, erasure::FUNCTIONS]
        .into_iter()
        .flatten()
}

/// The functions that signed-in callers execute themselves, and nobody else does. Whom they answer what is shown with the
/// promises of what they are for (`metrics`, `throttles`).
pub const CALLED_BY_CALLERS: &[&str] = &["get_metrics", "consume_thread_read_limit"];

/// The functions that signed-in callers read lists by. They run with the rights of who calls them: row level security decides what
/// they answer, as it does for the tables behind them.
pub const READS_AS_CALLERS: &[&str] =
    &["list_sessions", "list_messages", "list_escalations", "list_agents", "session_details"];

/// The functions of `public` that write for a caller. They run with the rights of who calls them, to look as the caller, and
/// then call the function of the same name in `chatkit_private`, which runs as its owner.
pub const WRITES_FOR_CALLERS: &[&str] =
    &["open_session", "renew_chatkit_session", "record_events", "cancel_session", "decide_escalation"];

/// What those need beside it.
pub const LOOKS_AS_CALLERS: &[&str] = &["effective_claims", "readable_ids", "decided_escalation_id"];

/// Of the functions of `chatkit_private`, those that run as their owner beside the ones that write for callers: they read `auth.users`.
pub const READS_USERS: &[&str] = &["effective_claims"];

/// The functions of `chatkit_private` that a policy runs as the caller. All others there are for the functions above, which
/// run as their owner.
pub const RUN_BY_POLICIES: &[&str] =
    &["extract_org_id", "extract_org_role", "caller_org_id", "caller_org_role", "caller_is_approver"];
