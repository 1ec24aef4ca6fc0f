//! What the doctor says: of everything that was looked at, whether it is well, deserves attention, is at fault, or could not be looked
//! at.

use serde::Serialize;

use super::code::FaultCode;
use crate::platform::string_enum::words;

words! {
    /// What is looked at.
    pub enum Check {
        /// The environment's variables, each by itself.
        Configuration = "configuration",
        /// Whether Supabase is there.
        Supabase = "supabase",
        /// Whether Supabase takes the publishable key.
        PublishableKey = "publishable_key",
        /// Whether Supabase takes the secret key.
        SecretKey = "secret_key",
        /// The keys that users' tokens are verified with.
        Jwks = "jwks",
        /// Who users' tokens are said to be from.
        Issuer = "issuer",
        /// The database's clock against ours.
        Clock = "clock",
        /// Which migrations were applied.
        Migrations = "migrations",
        /// Whether the database is as the migrations make it.
        Schema = "schema",
        /// Whether the database wakes the orchestrator.
        Webhook = "webhook",
        /// Whether OpenAI takes the key and the project.
        Chatkit = "chatkit",
        /// Whether a session can be opened with each enabled agent's workflow, and cancelled.
        Workflow = "workflow",
        /// Whether living client secrets can still be opened.
        SealingKeys = "sealing_keys",
        /// Each registered agent's server and the tools that it offers.
        AgentServer = "agent_server",
        /// Whether there are people who may approve what agents need approved.
        Approvers = "approvers",
    }
}

words! {
    /// What came of looking.
    pub enum Status {
        /// All is well.
        Ok = "ok",
        /// It works, and an operator should know of it.
        Warning = "warning",
        /// Something is wrong.
        Fault = "fault",
        /// It was not looked at.
        Skipped = "skipped",
    }
}

/// What came of one check, about one thing. Never holds a secret.
#[derive(Clone, Debug, Serialize)]
pub struct CheckResult {
    /// What was looked at.
    pub check: Check,
    /// Which of several, by its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What came of it.
    pub status: Status,
    /// The fault, or what deserves attention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<FaultCode>,
    /// A fault's or a warning's likely cause, or why it was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// More about this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<&'static str>,
}

impl CheckResult {
    /// All is well.
    pub(super) fn ok(check: Check) -> Self {
        Self { check, about: None, status: Status::Ok, code: None, cause: None, detail: None, remedy: None }
    }

    /// Something is wrong.
    pub(super) fn fault(check: Check, code: FaultCode) -> Self {
        let (cause, remedy) = (Some(code.cause().to_owned()), Some(code.remedy()));
        Self { status: Status::Fault, code: Some(code), cause, remedy, ..Self::ok(check) }
    }

    /// It works, and an operator should know of it.
    pub(super) fn warning(check: Check, code: FaultCode) -> Self {
        Self { status: Status::Warning, ..Self::fault(check, code) }
    }

    /// It was not looked at, because.
    pub(super) fn skipped(check: Check, why: impl Into<String>) -> Self {
        Self { status: Status::Skipped, cause: Some(why.into()), ..Self::ok(check) }
    }

    /// It was not looked at, because of a fault that another check found.
    pub(super) fn blocked_by(check: Check, other: Check) -> Self {
        Self::skipped(check, format!("see {} first", other.as_str()))
    }

    /// Says which of several it is about.
    #[must_use]
    pub(super) fn subject(mut self, about: impl Into<String>) -> Self {
        self.about = Some(about.into());
        self
    }

    /// Says more.
    #[must_use]
    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Whether something is wrong.
    pub fn is_fault(&self) -> bool {
        self.status == Status::Fault
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether no fault was found.
    pub healthy: bool,
    /// How many were.
    pub faults: usize,
    /// How much else an operator should know of.
    pub warnings: usize,
    /// What came of each check, in their order.
    pub findings: Vec<CheckResult>,
}

impl Report {
    /// A report of these findings.
    pub(super) fn from_results(findings: Vec<CheckResult>) -> Self {
        let count = |status| findings.iter().filter(|finding| finding.status == status).count();
        let (faults, warnings) = (count(Status::Fault), count(Status::Warning));
        Self { healthy: faults == 0, faults, warnings, findings }
    }
}
