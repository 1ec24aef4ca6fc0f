//! What a round of a scheduled function comes to.

use crate::error::Error;

/// All that a round did, and what failed in it.
pub struct Run<R> {
    /// What was done, also where something failed.
    pub report: R,
    /// What failed; a round with failures fails at its end.
    pub failures: Vec<FailedJob>,
}

/// A duty that failed.
#[derive(Debug)]
pub struct FailedJob {
    /// Its name.
    pub duty: &'static str,
    /// The first error of it.
    pub error: Error,
}

impl<R> Run<R> {
    /// What failed, in one line: each duty with its code.
    pub(crate) fn failure_summary(&self) -> String {
        let failed = self.failures.iter().map(|one| format!("{}: {}", one.duty, one.error.code.as_str()));
        failed.collect::<Vec<_>>().join("; ")
    }
}
