//! `cargo admin transcripts`.

use clap::Subcommand;
use serde_json::json;
use shared::domain::administration;
use uuid::Uuid;

use crate::{
    arguments::{Organisation, parse_id},
    deployment::{Deployment, call_deadline},
    failure::Failure,
    output::Output,
};

#[derive(Subcommand)]
pub enum Command {
    /// Request a copy of a session that has not ended
    ///
    /// The next run of expire-sessions copies the messages. The threads of ended sessions are
    /// copied without a request.
    Request {
        /// The session
        #[arg(value_name = "SESSION", value_parser = parse_id)]
        session_id: Uuid,
        #[command(flatten)]
        organisation: Organisation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        let Self::Request { session_id, organisation } = self;
        let client = deployment.service_client()?;
        let threads =
            administration::request_transcript(&client, organisation.id, session_id, call_deadline()).await?;
        let text = match threads {
            0 => "The session has no threads, so there is nothing to copy.".to_owned(),
            threads => format!("The next run of expire-sessions copies the session's threads: {threads}."),
        };
        Ok(Output::new(json!({ "threads": threads }), text))
    }
}
