//! Scheduled jobs: every event starts a run. Its content is ignored.

use std::{future::Future, panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

use futures_util::FutureExt;
use lambda_runtime::{Context, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::Value;
use tracing::Instrument;

use crate::{
    error::{Error, ErrorCode},
    jobs::{FailedJob, Run},
    platform::{
        http_client::Deadline,
        telemetry::{self, TARGET},
    },
    runtime::{
        Dependencies, Reported,
        event::Payload,
        http_edge::{deadline, error_chain},
        http_service::{BoxError, bootstrap},
    },
};

/// A job that runs on a schedule.
pub trait ScheduledJob: Send + Sync + Sized + 'static {
    /// The report of a run.
    type Report: Serialize + Send;

    /// Builds the dependencies that the job needs, and no others. Request all of them before
    /// unwrapping the first, so that all configuration errors are reported at once.
    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported>;

    /// Does as much work as there is, until the deadline nears. If a part failed, the invocation
    /// fails at its end, so that the schedule's retries and alarms see it.
    fn run(&self, deadline: Deadline) -> impl Future<Output = Run<Self::Report>> + Send;
}

/// Serves a scheduled job until Lambda ends the process.
pub fn serve_schedule<S: ScheduledJob>() -> ExitCode {
    bootstrap::<S>(run::<S>())
}

async fn run<S: ScheduledJob>() -> Result<(), BoxError> {
    let scheduled = Arc::new(Dependencies::build_from_process(S::new).await?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let scheduled = Arc::clone(&scheduled);
        async move { run_job(scheduled.as_ref(), &event.context).await }
    }))
    .await
}

/// Runs the job once and writes its log record. A panic is reported as a failure.
pub(super) async fn run_job<S: ScheduledJob>(scheduled: &S, context: &Context) -> Result<Value, BoxError> {
    let outcome = async {
        let run = AssertUnwindSafe(scheduled.run(deadline(context))).catch_unwind().await;
        let run = match run {
            Ok(Run { report, failures }) => Run { report: serde_json::to_value(report)?, failures },
            Err(_panic) => {
                let error = Error::new(ErrorCode::Internal).cause("panicked");
                Run { report: Value::Null, failures: vec![FailedJob { job: "run", error }] }
            }
        };
        let report = &run.report;
        let failed_jobs = run.failures.len() as u64;
        let Some(first) = run.failures.first() else {
            tracing::info!(target: TARGET, failed_jobs, %report, "run completed");
            return Ok(run.report);
        };
        let code = first.error.code.as_str();
        let failed = run.failure_summary();
        let cause = error_chain(&first.error);
        tracing::error!(target: TARGET, code, failed_jobs, failed, cause, %report, "run failed");
        Err(BoxError::from(failed))
    }
    .instrument(telemetry::scheduled_run(context))
    .await;
    telemetry::flush().await;
    outcome
}
