//! Result of one run of a scheduled function.

use crate::error::Error;

/// The report of a run, and the jobs that failed.
pub struct Run<R> {
    /// Also complete for jobs that failed.
    pub report: R,
    /// The invocation fails at its end if there is one.
    pub failures: Vec<FailedJob>,
}

/// A failed job.
#[derive(Debug)]
pub struct FailedJob {
    pub duty: &'static str,
    /// Its first error.
    pub error: Error,
}

impl<R> Run<R> {
    /// What failed, in one line: each duty with its code.
    pub(crate) fn failure_summary(&self) -> String {
        let failed = self.failures.iter().map(|one| format!("{}: {}", one.duty, one.error.code.as_str()));
        failed.collect::<Vec<_>>().join("; ")
    }
}
