//! One run of the maintenance jobs. Several runs may work in parallel; each does as much as its
//! time allows.

use shared::{
    jobs::{
        Run,
        maintenance::{Maintenance, MaintenanceReport},
    },
    platform::http_client::Deadline,
    runtime::{Dependencies, Reported, ScheduledJob},
};

/// Scheduled job that runs [`Maintenance`].
pub struct ExpireSessions(Maintenance);

impl ScheduledJob for ExpireSessions {
    type Report = MaintenanceReport;

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let chatkit = dependencies.chatkit();
        Ok(Self(Maintenance { service_client: service_client?, chatkit: chatkit? }))
    }

    async fn run(&self, deadline: Deadline) -> Run<MaintenanceReport> {
        self.0.run(deadline).await
    }
}
