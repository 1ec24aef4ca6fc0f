//! One round of upkeep: many may run at once, and each does as much as its time allows.

use shared::{
    app::Setup,
    chatkit::ChatKit,
    edge::Scheduled,
    error::Error,
    supabase::Writer,
    upkeep::{self, Report},
    upstream::Deadline,
};

/// Ends idle sessions.
pub struct ExpireSessions {
    writer: Writer,
    chatkit: Option<ChatKit>,
}

impl Scheduled for ExpireSessions {
    type Report = Report;

    fn new(setup: &mut Setup) -> Option<Self> {
        let (writer, chatkit) = (setup.writer(), setup.chatkit());
        Some(Self { writer: writer?, chatkit: chatkit? })
    }

    async fn run(&self, deadline: Deadline) -> Result<Report, Error> {
        let mut report = Report::default();
        upkeep::settle_abandoned(&self.writer, deadline, &mut report).await?;
        // What has ten minutes to live goes before what has been idle for a day.
        if let Some(chatkit) = &self.chatkit {
            upkeep::cancel_retired(&self.writer, chatkit, deadline, &mut report).await?;
        }
        upkeep::expire_escalations(&self.writer, deadline, &mut report).await?;
        upkeep::sweep(&self.writer, deadline, &mut report).await?;
        upkeep::expire_idle_sessions(&self.writer, self.chatkit.as_ref(), deadline, &mut report).await?;
        if let Some(chatkit) = &self.chatkit {
            upkeep::copy_transcripts(&self.writer, chatkit, deadline, &mut report).await?;
        }
        // Persons before sessions: somebody waits for those. Both have time until tomorrow.
        upkeep::take_up_erasures(&self.writer, self.chatkit.as_ref(), deadline, &mut report).await?;
        upkeep::erase_overdue(&self.writer, self.chatkit.as_ref(), deadline, &mut report).await?;
        upkeep::look_at_service(&self.writer, deadline, &mut report).await?;
        Ok(report)
    }
}
