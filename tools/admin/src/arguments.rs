//! The arguments of all commands.

use clap::{Args, Parser, Subcommand};
use shared::platform::parse;
use uuid::Uuid;

use crate::{commands, deployment::DeploymentOptions};

/// Operates a deployment: registrations, members, limits, retention, deliveries, transcripts and
/// erasure.
#[derive(Parser)]
#[command(name = "cargo admin", bin_name = "cargo admin", max_term_width = 100)]
pub struct Arguments {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    pub deployment: DeploymentOptions,
    /// Print the result as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

#[derive(Subcommand)]
pub enum Command {
    /// Register and list agents
    #[command(subcommand)]
    Agents(commands::agents::Command),
    /// Register and list the MCP servers of agents, with their tools and routes
    #[command(subcommand)]
    Servers(commands::servers::Command),
    /// List the members of an organisation, and set their roles
    #[command(subcommand)]
    Members(commands::members::Command),
    /// Show, set and reset the rate limits of an organisation
    #[command(subcommand)]
    Limits(commands::limits::Command),
    /// Set how long an organisation keeps its ended sessions
    #[command(subcommand)]
    Retention(commands::retention::Command),
    /// List and replay dead letters and deliveries of unknown outcome
    #[command(subcommand)]
    Deliveries(commands::deliveries::Command),
    /// Copy the messages of a session's threads into its transcript
    #[command(subcommand)]
    Transcripts(commands::transcripts::Command),
    /// Erase users
    #[command(subcommand)]
    Users(commands::users::Command),
}

#[derive(Args)]
pub struct Organisation {
    /// The organisation
    #[arg(long = "org", value_name = "UUID", value_parser = parse_id)]
    pub id: Uuid,
}

/// Parses an id in the form that the API uses.
pub fn parse_id(text: &str) -> Result<Uuid, String> {
    parse::uuid(text).ok_or_else(|| "must be a UUID of 36 characters with hyphens".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_are_accepted_before_and_after_the_command() {
        let org = "019aaa00-0000-7000-8000-000000000001";
        for arguments in [
            ["--json", "--env-file", "a.env", "retention", "clear", "--org", org],
            ["retention", "clear", "--org", org, "--env-file", "a.env", "--json"],
        ] {
            let parsed = Arguments::try_parse_from(["cargo admin"].into_iter().chain(arguments));
            assert!(parsed.is_ok_and(|parsed| parsed.options.json), "{arguments:?}");
        }
    }

    #[test]
    fn id_without_hyphens_is_rejected() {
        assert!(parse_id("019aaa00-0000-7000-8000-000000000001").is_ok());
        assert!(parse_id("019aaa00000070008000000000000001").is_err());
    }
}
