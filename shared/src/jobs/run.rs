//! Result of one run of a scheduled function.

use crate::error::Error;

/// The report of a run, and the jobs that failed.
pub struct Run<R> {
    /// The completed work, including that of jobs that failed.
    pub report: R,
    /// If there are any, the invocation fails at its end.
    pub failures: Vec<FailedJob>,
}

#[derive(Debug)]
pub struct FailedJob {
    pub job: &'static str,
    pub error: Error,
}

impl<R> Run<R> {
    /// Summarises the failures in one line: each job with its error code.
    pub(crate) fn failure_summary(&self) -> String {
        let failed = self.failures.iter().map(|one| format!("{}: {}", one.job, one.error.code.as_str()));
        failed.collect::<Vec<_>>().join("; ")
    }
}
