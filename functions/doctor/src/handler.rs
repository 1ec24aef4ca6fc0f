//! The doctor as a function: the order is `{}`, the report its answer. That something is wrong is no failure of the invocation.

use serde::Deserialize;
use shared::{
    doctor::{self, Report},
    error::Error,
    platform::http_client::Deadline,
    runtime::{AdminTask, Dependencies, Reported},
};

/// Looks the deployment over.
pub struct Doctor(doctor::Doctor);

/// There is nothing to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {}

impl AdminTask for Doctor {
    type Input = Order;
    type Report = Report;

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let doctor = doctor::Doctor::new(dependencies);
        if let Some(mistakes) = doctor.mistakes() {
            tracing::warn!(%mistakes, "the configuration is wrong");
        }
        Ok(Self(doctor))
    }

    async fn run(&self, Order {}: Order, deadline: Deadline) -> Result<Report, Error> {
        Ok(self.0.run(deadline).await)
    }
}
