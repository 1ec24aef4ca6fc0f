//! The deployment that a command acts on: its configuration, and the clients built from it.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use clap::Args;
use doctor_command::function_variables;
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

/// The function of a stack that has the variables of all commands, by its id in the template.
const FUNCTION: &str = "EraseUser";

#[derive(Args)]
pub struct DeploymentOptions {
    /// Read the configuration from a file with lines of NAME='value', instead of the environment
    #[arg(long, global = true, value_name = "FILE")]
    env_file: Option<PathBuf>,
    /// Read the configuration of a deployed stack, with your AWS credentials
    #[arg(long, global = true, value_name = "NAME")]
    stack: Option<String>,
    /// The region of the stack, if it is not the configured one
    #[arg(long, global = true)]
    region: Option<String>,
}

/// The source of a deployment's configuration.
pub enum Deployment {
    Process,
    File(PathBuf),
    Stack(Arc<BTreeMap<String, String>>),
}

impl DeploymentOptions {
    /// Finds the configuration. Reads that of a stack from AWS.
    pub async fn resolve(self) -> Result<Deployment, Failure> {
        match self {
            Self { env_file: Some(_), stack: Some(_), .. } => {
                Err(Failure::not_attempted("Give either --env-file or --stack."))
            }
            Self { stack: None, region: Some(_), .. } => {
                Err(Failure::not_attempted("--region requires --stack."))
            }
            Self { stack: Some(stack), region, .. } => {
                let variables = function_variables(http_client()?, &stack, region, FUNCTION).await;
                Ok(Deployment::Stack(Arc::new(variables.map_err(Failure::not_attempted)?)))
            }
            Self { env_file: Some(path), .. } => Ok(Deployment::File(path)),
            Self { env_file: None, .. } => Ok(Deployment::Process),
        }
    }
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
        let environment = match self {
            Self::Process => Environment::from_process(),
            Self::File(path) => Environment::from_file(path).map_err(Failure::not_attempted)?,
            Self::Stack(variables) => {
                let variables = Arc::clone(variables);
                Environment::new(move |name| variables.get(name).cloned())
            }
        };
        let mut dependencies = Dependencies::new(environment, http_client()?);
        let built = build(&mut dependencies);
        dependencies.build(built).map_err(|errors| {
            Failure::not_attempted(format!(
                "{errors}. Set the variables in the environment, or name a file with --env-file or a stack \
                 with --stack."
            ))
        })
    }
}

fn http_client() -> Result<HttpClient, Failure> {
    HttpClient::new().map_err(|error| Failure::not_attempted(error.to_string()))
}

/// The deadline of one call of the database.
pub fn call_deadline() -> Deadline {
    Deadline::after(CALL_TIMEOUT)
}
