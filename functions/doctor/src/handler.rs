//! The checks as a Lambda function: the input is `{}`, the output is the report. The invocation
//! succeeds even if the report contains faults.

use serde::Deserialize;
use shared::{
    doctor::{Doctor, DoctorReport},
    error::Error,
    platform::http_client::Deadline,
    runtime::{AdminTask, Dependencies, Reported},
};

/// Admin task that checks a deployment.
pub struct CheckDeployment(Doctor);

/// The input, which has no fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {}

impl AdminTask for CheckDeployment {
    type Input = Input;
    type Report = DoctorReport;

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let doctor = Doctor::new(dependencies);
        if let Some(mistakes) = doctor.mistakes() {
            tracing::warn!(%mistakes, "the configuration is wrong");
        }
        Ok(Self(doctor))
    }

    async fn run(&self, Input {}: Input, deadline: Deadline) -> Result<DoctorReport, Error> {
        Ok(self.0.run(deadline).await)
    }
}
