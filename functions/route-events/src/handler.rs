//! One round of the orchestrator: many may run at once, and each delivers until nothing is due.

use shared::{
    jobs::{
        Round,
        dispatch::{Report, Router},
    },
    platform::http_client::Deadline,
    runtime::{Scheduled, Setup},
};

/// Brings events to agents.
pub struct RouteEvents(Router);

impl Scheduled for RouteEvents {
    type Report = Report;

    fn new(setup: &mut Setup) -> Option<Self> {
        let (writer, chatkit, agents) = (setup.writer(), setup.chatkit(), setup.agents());
        Some(Self(Router { writer: writer?, chatkit: chatkit?, agents: agents? }))
    }

    async fn run(&self, deadline: Deadline) -> Round<Report> {
        self.0.route(deadline).await
    }
}
