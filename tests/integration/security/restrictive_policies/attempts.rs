//! Every way in which a caller writes, with its responses.

/// Status and code of a problem.
pub type Rejection = (u16, &'static str);

pub const SESSION_NOT_FOUND: Rejection = (404, "session_not_found");
const ESCALATION_NOT_FOUND: Rejection = (404, "escalation_not_found");
const ROW_POLICY_REFUSED: Rejection = (403, "row_policy_refused");

pub struct Attempt {
    pub kind: AttemptKind,
    pub name: &'static str,
    /// The status without a policy.
    pub success: u16,
    pub with_sessions_policy: Rejection,
    pub with_escalations_policy: Option<Rejection>,
}

#[derive(Clone, Copy, PartialEq)]
pub enum AttemptKind {
    Open,
    OpenWithKey,
    RepeatOpen,
    Resume,
    RepeatResume,
    Refresh,
    Record,
    RepeatRecord,
    RepeatRecordWithKey,
    RecordDecision,
    RecordDecisionInArray,
    DecideAsRequester,
    DecideAsApprover,
    Cancel,
}

impl Attempt {
    /// The id of the session comes from the idempotency key, not from the request.
    pub fn is_repeated_open(&self) -> bool {
        self.kind == AttemptKind::RepeatOpen
    }
}

pub const ATTEMPTS: &[Attempt] = &[
    write(AttemptKind::Open, "open", 201, ROW_POLICY_REFUSED),
    write(AttemptKind::OpenWithKey, "open with a key", 201, ROW_POLICY_REFUSED),
    write(AttemptKind::RepeatOpen, "repeat the opening with its key", 200, SESSION_NOT_FOUND),
    write(AttemptKind::Resume, "resume", 200, SESSION_NOT_FOUND),
    write(AttemptKind::RepeatResume, "repeat the resume with its key", 200, SESSION_NOT_FOUND),
    write(AttemptKind::Refresh, "refresh", 200, SESSION_NOT_FOUND),
    write(AttemptKind::Record, "record an event", 201, SESSION_NOT_FOUND),
    write(AttemptKind::RepeatRecord, "repeat an event", 201, SESSION_NOT_FOUND),
    write(AttemptKind::RepeatRecordWithKey, "repeat an event with its key", 201, SESSION_NOT_FOUND),
    decision(AttemptKind::RecordDecision, "record hitl_resolved", 201, SESSION_NOT_FOUND),
    decision(AttemptKind::RecordDecisionInArray, "record hitl_resolved in an array", 201, SESSION_NOT_FOUND),
    decision(AttemptKind::DecideAsRequester, "decide as the requester", 200, ESCALATION_NOT_FOUND),
    decision(AttemptKind::DecideAsApprover, "decide as an approver", 200, ESCALATION_NOT_FOUND),
    write(AttemptKind::Cancel, "cancel", 200, SESSION_NOT_FOUND),
];

const fn write(
    kind: AttemptKind,
    name: &'static str,
    success: u16,
    with_sessions_policy: Rejection,
) -> Attempt {
    Attempt { kind, name, success, with_sessions_policy, with_escalations_policy: None }
}

const fn decision(
    kind: AttemptKind,
    name: &'static str,
    success: u16,
    with_sessions_policy: Rejection,
) -> Attempt {
    let with_escalations_policy = Some(ESCALATION_NOT_FOUND);
    Attempt { kind, name, success, with_sessions_policy, with_escalations_policy }
}
