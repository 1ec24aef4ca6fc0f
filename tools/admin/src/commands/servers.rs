//! `cargo admin servers`.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::Value;
use shared::domain::administration::{self, ServerRegistration};

use crate::{
    arguments::Organisation,
    deployment::{Deployment, call_deadline},
    failure::Failure,
    output::{Output, plain, two_columns},
    registration_file,
};

#[derive(Subcommand)]
pub enum Command {
    /// Register an agent's MCP server, or replace its registration with all tools and routes
    ///
    /// docs/guides/write-an-agent.md lists the fields of the file. Pending deliveries for a tool
    /// that the file leaves out are not called.
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
        let registration: ServerRegistration = registration_file::read(&file)?;
        let client = deployment.service_client()?;
        let registered =
            administration::register_agent_server(&client, organisation.id, &registration, call_deadline())
                .await?;
        let text = text(&registered["agent_server"]);
        Ok(Output::new(registered, text))
    }
}

fn text(server: &Value) -> String {
    let list = |name: &str| server[name].as_array().cloned().unwrap_or_default();
    let routes = list("routes");
    let tools = list("tools").into_iter().map(|tool| {
        let events = routes.iter().filter(|route| route["tool"] == tool["name"]);
        let events: Vec<String> = events.map(|route| plain(&route["event_type"])).collect();
        let events = if events.is_empty() { "no events".to_owned() } else { events.join(", ") };
        (plain(&tool["name"]), format!("{}; {events}", plain(&tool["policy"])))
    });
    let tools: Vec<(String, String)> = tools.collect();
    format!(
        "The server of {} is registered: {}\n{}",
        plain(&server["agent_id"]),
        plain(&server["url"]),
        two_columns(tools.iter().map(|(name, rest)| (name.as_str(), rest.clone())))
    )
}
