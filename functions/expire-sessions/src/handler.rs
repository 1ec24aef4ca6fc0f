//! One round of upkeep: many may run at once, and each does as much as its time allows.

use shared::{
    jobs::{
        Round,
        maintenance::{Report, Upkeep},
    },
    platform::http_client::Deadline,
    runtime::{Scheduled, Setup},
};

/// Ends idle sessions, and puts right what was left behind.
pub struct ExpireSessions(Upkeep);

impl Scheduled for ExpireSessions {
    type Report = Report;

    fn new(setup: &mut Setup) -> Option<Self> {
        let (writer, chatkit) = (setup.writer(), setup.chatkit());
        Some(Self(Upkeep { writer: writer?, chatkit: chatkit? }))
    }

    async fn run(&self, deadline: Deadline) -> Round<Report> {
        self.0.round(deadline).await
    }
}
