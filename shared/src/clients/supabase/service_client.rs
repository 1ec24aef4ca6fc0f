//! Client with the secret key: calls RPC functions only, each of them one
//! transaction and safe to repeat.

use std::time::Duration;

use serde::{Serialize, de::DeserializeOwned};

use super::{ApiKey, Error, Project, transport};
use crate::platform::http_client::{Deadline, HttpClient};

/// First and longest delay before a call that records something is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Calls our RPC functions with the secret key. The role of the key may execute
/// them and access no table.
#[derive(Clone)]
pub struct ServiceClient {
    http: HttpClient,
    builder: std::sync::Arc<postgrest::Postgrest>,
    key: ApiKey,
}

impl ServiceClient {
    pub fn new(http: HttpClient, project: &Project, key: ApiKey) -> Self {
        let builder = postgrest::Postgrest::new(project.join("/rest/v1")).into();
        Self { http, builder, key }
    }

    /// Calls one of our RPC functions.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error; see [`Error`].
    pub async fn rpc<T: DeserializeOwned>(
        &self,
        function: &'static str,
        arguments: &impl Serialize,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let query = self.builder.rpc(function, transport::serialize_arguments(arguments)?);
        transport::send(&self.http, query, self.key.headers(None), false, transport::RETRY_POLICY, deadline)
            .await
    }

    /// Calls a function that records what was done elsewhere. The record must not be lost to
    /// an outage. So the call is repeated until the deadline after any error that the
    /// function itself did not raise.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error, otherwise the
    /// last error before the deadline.
    pub async fn rpc_until_recorded<T: DeserializeOwned>(
        &self,
        function: &'static str,
        arguments: &impl Serialize,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.rpc(function, arguments, deadline).await {
                Err(error) if !error.is_rpc_error() && deadline.remaining() > pause => {
                    tracing::warn!(function, %error, "what was done is not recorded yet");
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                recorded => return recorded,
            }
        }
    }
}
