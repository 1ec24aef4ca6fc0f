//! Writing as the service: RPC functions only, each one transaction, each safe to repeat.

use serde::{Serialize, de::DeserializeOwned};

use super::{ApiKey, Error, Project, send};
use crate::upstream::{Deadline, Http};

/// Calls our RPC functions with the secret key. The role behind it may execute them and touch no table.
#[derive(Clone)]
pub struct Writer {
    http: Http,
    builder: std::sync::Arc<postgrest::Postgrest>,
    key: ApiKey,
}

impl Writer {
    /// A writer to this project with its secret key.
    pub fn new(http: Http, project: &Project, key: ApiKey) -> Self {
        let builder = postgrest::Postgrest::new(project.join("/rest/v1")).into();
        Self { http, builder, key }
    }

    /// Calls one of our functions.
    ///
    /// # Errors
    /// [`Error::Refused`] with our own code where the function said no; see [`Error`].
    pub async fn call<T: DeserializeOwned>(
        &self,
        function: &'static str,
        arguments: &impl Serialize,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let query = self.builder.rpc(function, send::arguments(arguments)?);
        send::send(&self.http, query, self.key.headers(None), false, send::MANNER, deadline).await
    }
}
