//! The findings of one check.

use shared::doctor::{Check, CheckResult, FaultCode};

use crate::aws::{Reason, Unanswered};

pub struct Findings {
    check: Check,
    results: Vec<CheckResult>,
}

impl Findings {
    pub fn new(check: Check) -> Self {
        Self { check, results: Vec::new() }
    }

    pub fn fault(&mut self, code: FaultCode, subject: &str, detail: impl Into<String>) {
        self.results.push(CheckResult::fault(self.check, code).subject(subject).detail(detail));
    }

    pub fn warning(&mut self, code: FaultCode, subject: &str, detail: impl Into<String>) {
        self.results.push(CheckResult::warning(self.check, code).subject(subject).detail(detail));
    }

    /// Reports a request without an answer: as the fault of the resource that is missing, or once for
    /// each action.
    pub fn unanswered(&mut self, unanswered: &Unanswered, missing: FaultCode, subject: &str) {
        let code = match &unanswered.reason {
            Reason::Missing => return self.fault(missing, subject, ""),
            Reason::Denied => FaultCode::AwsAccessDenied,
            Reason::CredentialsRejected => FaultCode::AwsCredentialsRejected,
            Reason::Failed(_) => FaultCode::AwsRequestFailed,
        };
        let action = Some(unanswered.action);
        if !self.results.iter().any(|result| result.about.as_deref() == action) {
            let detail = if let Reason::Failed(text) = &unanswered.reason { text } else { "" };
            self.fault(code, unanswered.action, detail);
        }
    }

    pub fn has_findings(&self) -> bool {
        !self.results.is_empty()
    }

    /// Returns the findings, or a success with this detail.
    pub fn finish(self, detail: impl Into<String>) -> Vec<CheckResult> {
        if self.has_findings() { self.results } else { vec![CheckResult::ok(self.check).detail(detail)] }
    }

    /// Like [`Self::finish`], for a check that has nothing to compare without the answers of another.
    pub fn finish_after(self, other: Check, compared: usize, things: &str) -> Vec<CheckResult> {
        if compared == 0 && !self.has_findings() {
            return vec![CheckResult::blocked_by(self.check, other)];
        }
        self.finish(format!("{compared} {things}"))
    }
}
