//! `cargo admin retention`.

use clap::Subcommand;
use shared::domain::administration;

use crate::{
    arguments::Organisation,
    confirmation::Confirmation,
    deployment::{Deployment, call_deadline},
    failure::Failure,
    output::Output,
};

#[derive(Subcommand)]
pub enum Command {
    /// Erase sessions a number of days after they have ended
    Set {
        /// For how many days ended sessions are kept
        #[arg(long)]
        days: u32,
        #[command(flatten)]
        organisation: Organisation,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Keep ended sessions forever
    Clear {
        #[command(flatten)]
        organisation: Organisation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        let client = deployment.service_client()?;
        let (organisation, days) = match self {
            Self::Set { days, organisation, confirmation } => {
                confirmation.ask(&format!(
                    "The next run of expire-sessions erases all sessions of the organisation {} that ended \
                     more than {days} days ago, here and at OpenAI. This cannot be undone.",
                    organisation.id
                ))?;
                (organisation, Some(days))
            }
            Self::Clear { organisation } => (organisation, None),
        };
        let answer = administration::set_retention(&client, organisation.id, days, call_deadline()).await?;
        let text = match days {
            Some(days) => format!("Ended sessions of {} are kept for {days} days.", organisation.id),
            None => format!("Ended sessions of {} are kept forever.", organisation.id),
        };
        Ok(Output::new(answer, text))
    }
}
