//! The steps that agents and servers have in common: registering a file, and listing an
//! organisation.

use std::path::PathBuf;

use clap::Args;
use serde_json::Value;
use shared::domain::administration::{self, Registration};

use crate::{
    arguments::Organisation,
    deployment::{Deployment, call_deadline},
    failure::Failure,
    registration_file,
};

/// Number of agents in a page of the database, its maximum.
const PAGE: u32 = 100;

#[derive(Args)]
pub struct RegistrationFile {
    /// The registration, a file in TOML or JSON
    file: PathBuf,
    #[command(flatten)]
    organisation: Organisation,
}

impl RegistrationFile {
    /// Registers the content of the file. Returns the new registration.
    pub async fn register<T: Registration>(self, deployment: &Deployment) -> Result<Value, Failure> {
        let registration: T = registration_file::read(&self.file)?;
        let client = deployment.service_client()?;
        let org_id = self.organisation.id;
        Ok(administration::register(&client, org_id, &registration, call_deadline()).await?)
    }
}

/// Lists all agents of an organisation, each with its server or null.
pub async fn list(organisation: &Organisation, deployment: &Deployment) -> Result<Vec<Value>, Failure> {
    let client = deployment.service_client()?;
    let mut agents = Vec::new();
    let mut after = None;
    loop {
        let deadline = call_deadline();
        let page =
            administration::list_registrations(&client, organisation.id, PAGE, after.as_deref(), deadline)
                .await?;
        agents.extend(page.agents);
        after = page.next;
        if after.is_none() {
            return Ok(agents);
        }
    }
}
