//! `cargo admin agents`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;
use shared::domain::administration::{self, AgentRegistration};

use crate::{
    arguments::Organisation,
    deployment::{Deployment, call_deadline},
    failure::Failure,
    output::{Output, plain, two_columns},
    registration_file,
};

#[derive(Subcommand)]
pub enum Command {
    /// Register an agent, or replace its registration
    ///
    /// docs/guides/register-an-agent.md lists the fields of the file. A field that the file leaves
    /// out gets its default.
    Register {
        /// The registration, a file in TOML or JSON
        file: PathBuf,
        #[command(flatten)]
        organisation: Organisation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        let Self::Register { file, organisation } = self;
        let registration: AgentRegistration = registration_file::read(&file)?;
        let client = deployment.service_client()?;
        let registered =
            administration::register_agent(&client, organisation.id, &registration, call_deadline()).await?;
        let text = text(&registered["agent"]);
        Ok(Output::new(registered, text))
    }
}

fn text(agent: &Value) -> String {
    let shown = ["display_name", "provider", "chatkit_workflow_id", "chatkit_workflow_version", "model"];
    let shown = shown.into_iter().chain(["enabled", "allowed_org_roles", "idle_timeout_seconds"]);
    let given = shown.filter(|field| !agent[field].is_null());
    format!(
        "The agent {} is registered.\n{}",
        plain(&agent["id"]),
        two_columns(given.map(|field| (field, plain(&agent[field]))))
    )
}
