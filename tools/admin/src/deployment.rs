//! The deployment that a command acts on: its configuration, and the clients built from it.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use shared::{
    clients::supabase::ServiceClient,
    platform::{
        config::{Environment, Reported},
        http_client::{Deadline, HttpClient},
    },
    runtime::Dependencies,
};

use crate::failure::Failure;

/// Time for one call of the database, including its retries.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Args)]
pub struct Deployment {
    /// Read the configuration from a file with lines of NAME='value', instead of the environment
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
}

impl Deployment {
    /// The client with the secret key.
    pub fn service_client(&self) -> Result<ServiceClient, Failure> {
        self.dependencies(Dependencies::service_client)
    }

    /// Builds what a command needs, by the parsers of the functions.
    pub fn dependencies<T>(
        &self,
        build: impl FnOnce(&mut Dependencies) -> Result<T, Reported>,
    ) -> Result<T, Failure> {
        let environment = match &self.env_file {
            Some(path) => Environment::from_file(path).map_err(Failure::not_attempted)?,
            None => Environment::from_process(),
        };
        let http = HttpClient::new().map_err(|error| Failure::not_attempted(error.to_string()))?;
        let mut dependencies = Dependencies::new(environment, http);
        let built = build(&mut dependencies);
        dependencies.build(built).map_err(|errors| {
            Failure::not_attempted(format!(
                "{errors}. Set the variables in the environment, or name a file with --env-file."
            ))
        })
    }
}

/// The deadline of one call of the database.
pub fn call_deadline() -> Deadline {
    Deadline::after(CALL_TIMEOUT)
}
