//! Serving a scheduled function: whatever the event says, it is time for a round.

use std::{future::Future, panic::AssertUnwindSafe, process::ExitCode, sync::Arc};

use futures_util::FutureExt;
use lambda_http::{
    Context,
    lambda_runtime::{self, LambdaEvent, service_fn},
};
use serde::Serialize;
use serde_json::Value;
use tracing::Instrument;

use crate::{
    error::{Code, Error},
    jobs::{FailedDuty, Round},
    platform::{
        config::Environment,
        http_client::{Deadline, Http},
        telemetry::{self, TARGET},
    },
    runtime::{
        Setup,
        event::Payload,
        http_service::{Fault, causes, deadline, start},
    },
};

/// What is done on a schedule.
pub trait Scheduled: Send + Sync + Sized + 'static {
    /// What a round says of itself.
    type Report: Serialize + Send;

    /// Takes the rooms that it needs, and no others. Ask for all of them before looking at the first, so that every
    /// mistake in the configuration is reported at once.
    fn new(setup: &mut Setup) -> Option<Self>;

    /// Does as much as there is to do, until the deadline nears. Where something failed, the invocation fails at its end, so that the
    /// schedule's retries and alarms see it.
    fn run(&self, deadline: Deadline) -> impl Future<Output = Round<Self::Report>> + Send;
}

/// Serves a scheduled function until Lambda ends the process.
pub fn serve_scheduled<S: Scheduled>() -> ExitCode {
    start::<S>(run::<S>())
}

async fn run<S: Scheduled>() -> Result<(), Fault> {
    let mut setup = Setup::new(Environment::of_process(), Http::new()?);
    let built = S::new(&mut setup);
    let scheduled = Arc::new(setup.finish(built)?);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Payload>| {
        let scheduled = Arc::clone(&scheduled);
        async move { round(scheduled.as_ref(), &event.context).await }
    }))
    .await
}

/// One round and its log line. A panic is a failure like another.
pub(super) async fn round<S: Scheduled>(scheduled: &S, context: &Context) -> Result<Value, Fault> {
    let outcome = async {
        let round = AssertUnwindSafe(scheduled.run(deadline(context))).catch_unwind().await;
        let round = match round {
            Ok(Round { report, failures }) => Round { report: serde_json::to_value(report)?, failures },
            Err(_panic) => {
                let error = Error::new(Code::Internal).cause("panicked");
                Round { report: Value::Null, failures: vec![FailedDuty { duty: "round", error }] }
            }
        };
        let report = &round.report;
        let failed_duties = round.failures.len() as u64;
        let Some(first) = round.failures.first() else {
            tracing::info!(target: TARGET, failed_duties, %report, "round done");
            return Ok(round.report);
        };
        let (code, failed, cause) = (first.error.code.as_str(), round.failed(), causes(&first.error));
        tracing::error!(target: TARGET, code, failed_duties, failed, cause, %report, "round failed");
        Err(Fault::from(failed))
    }
    .instrument(telemetry::round(context))
    .await;
    telemetry::flush().await;
    outcome
}
