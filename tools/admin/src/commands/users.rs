//! `cargo admin users`.

use std::time::{Duration, Instant};

use clap::Subcommand;
use serde_json::{Value, json};
use shared::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    error::ErrorCode,
    jobs::erasure::{self, Erasure, ErasureRequest},
    platform::http_client::Deadline,
};
use uuid::Uuid;

use crate::{
    arguments::{Organisation, parse_id},
    confirmation::Confirmation,
    deployment::Deployment,
    failure::Failure,
    output::{Output, plain, two_columns},
};

/// Time of one attempt: that of the function `erase-user`, for which the database leases the
/// erasure.
const ATTEMPT: Duration = Duration::from_secs(300);

#[derive(Subcommand)]
pub enum Command {
    /// Erase all data of a user in an organisation, here and at OpenAI
    ///
    /// Does what the function erase-user does, without its limit of five minutes. After an
    /// interruption or an error, the same command continues.
    Erase {
        /// The user
        #[arg(value_name = "USER", value_parser = parse_id)]
        user_id: Uuid,
        #[command(flatten)]
        organisation: Organisation,
        /// Who requests the erasure, for the record
        #[arg(long, value_name = "WHO")]
        requested_by: String,
        /// Why, for the record. Without names and other personal data
        #[arg(long)]
        reason: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        let Self::Erase { user_id, organisation, requested_by, reason, confirmation } = self;
        let (client, chatkit) = deployment.dependencies(|dependencies| {
            let client = dependencies.service_client();
            let chatkit = dependencies.chatkit();
            Ok((client?, chatkit?))
        })?;
        confirmation.ask(&format!(
            "This erases all data of the user {user_id} in the organisation {}, here and at OpenAI. It cannot \
             be undone.",
            organisation.id
        ))?;
        let request = ErasureRequest { org_id: organisation.id, user_id, requested_by, reason };
        let erasure = erase(&request, &client, chatkit.as_ref()).await?;
        let json = json!(erasure);
        let text = text(&json);
        Ok(Output::new(json, text))
    }
}

/// Erases until nothing is left. Another attempt continues an erasure that has exceeded its time.
async fn erase(
    request: &ErasureRequest,
    client: &ServiceClient,
    chatkit: Option<&ChatKit>,
) -> Result<Erasure, Failure> {
    let started = Instant::now();
    loop {
        match erasure::erase(request, client, chatkit, Deadline::after(ATTEMPT)).await {
            Err(error) if error.code == ErrorCode::DeadlineExceeded => {
                eprintln!("not finished after {} minutes, continuing", started.elapsed().as_secs() / 60);
            }
            erased => return Ok(erased?),
        }
    }
}

fn text(erasure: &Value) -> String {
    let counts = erasure["counts"].as_object().into_iter().flatten();
    format!(
        "The user {} is erased in {}. The record of the erasure is {}.\n  started   {}\n  finished  {}\n{}",
        plain(&erasure["userId"]),
        plain(&erasure["orgId"]),
        plain(&erasure["id"]),
        plain(&erasure["startedAt"]),
        plain(&erasure["finishedAt"]),
        two_columns(counts.map(|(name, count)| (name.as_str(), plain(count))))
    )
}
