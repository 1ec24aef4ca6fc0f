//! One run of the dispatcher. Several runs may work in parallel; each delivers events until none is
//! due.

use shared::{
    jobs::{
        Run,
        dispatch::{DispatchReport, Dispatcher},
    },
    platform::http_client::Deadline,
    runtime::{Dependencies, Reported, ScheduledJob},
};

/// Scheduled job that runs [`Dispatcher`].
pub struct RouteEvents(Dispatcher);

impl ScheduledJob for RouteEvents {
    type Report = DispatchReport;

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let chatkit = dependencies.chatkit();
        let agents = dependencies.agent_client();
        Ok(Self(Dispatcher { service_client: service_client?, chatkit: chatkit?, agents: agents? }))
    }

    async fn run(&self, deadline: Deadline) -> Run<DispatchReport> {
        self.0.run(deadline).await
    }
}
