//! Client with the caller's token: reads tables and calls functions under row level security.

use serde::{Serialize, de::DeserializeOwned};

use super::{ApiKey, Error, Project, transport};
use crate::{
    error::RateLimit,
    platform::{
        http_client::{Deadline, HttpClient},
        secret::Secret,
    },
};

/// Reads with a caller's own token. Holds no secret key.
#[derive(Clone)]
pub struct UserClient {
    http: HttpClient,
    builder: std::sync::Arc<postgrest::Postgrest>,
    key: ApiKey,
}

impl UserClient {
    pub fn new(http: HttpClient, project: &Project, key: ApiKey) -> Self {
        let builder = postgrest::Postgrest::new(project.join("/rest/v1")).into();
        Self { http, builder, key }
    }

    /// Starts a query of a table. PostgREST reads the values given to the builder's `or`, `and` and
    /// `in_` as raw text. Pass only ids, times and other values of our own types.
    pub fn from(&self, table: &'static str) -> postgrest::Builder {
        self.builder.from(table)
    }

    /// Requests a row with the key alone, without a user's token, to find out
    /// whether the key is accepted.
    ///
    /// # Errors
    /// See [`Error`]. A valid key gives one as well, since the key alone may read no table.
    #[cfg(feature = "doctor")]
    pub(crate) async fn check_key(&self, deadline: Deadline) -> Result<(), Error> {
        let query = self.from("agents").select("id").limit(1);
        let answer: Result<Vec<serde::de::IgnoredAny>, Error> = transport::send(
            &self.http,
            query,
            self.key.headers(None),
            false,
            transport::RETRY_POLICY,
            deadline,
        )
        .await;
        answer.map(drop)
    }

    /// Runs a query with the caller's token. A row that the caller may not read is missing from the
    /// result; that is not an error.
    pub async fn rows<T: DeserializeOwned>(
        &self,
        query: postgrest::Builder,
        token: &Secret,
        deadline: Deadline,
    ) -> Result<Vec<T>, Error> {
        transport::send(
            &self.http,
            query,
            self.key.headers(Some(token)),
            true,
            transport::RETRY_POLICY,
            deadline,
        )
        .await
    }

    /// Calls one of our functions that charges the caller's rate limit, with the caller's token. If
    /// the response is lost, the retry may charge twice.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error; see [`Error`].
    pub async fn charge(
        &self,
        function: &'static str,
        token: &Secret,
        deadline: Deadline,
    ) -> Result<RateLimit, Error> {
        let query = self.builder.rpc(function, "{}");
        transport::send(
            &self.http,
            query,
            self.key.headers(Some(token)),
            true,
            transport::RETRY_POLICY,
            deadline,
        )
        .await
    }

    /// Calls one of our functions that reads for the caller, under row level security like a table.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error; see [`Error`].
    pub async fn read<T: DeserializeOwned>(
        &self,
        function: &'static str,
        arguments: &impl Serialize,
        token: &Secret,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let query = self.builder.rpc(function, transport::serialize_arguments(arguments)?);
        transport::send(
            &self.http,
            query,
            self.key.headers(Some(token)),
            true,
            transport::RETRY_POLICY,
            deadline,
        )
        .await
    }

    /// Calls one of our functions that counts for the caller. It may take as long as the database
    /// allows a statement to run.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error; see [`Error`].
    pub async fn rpc<T: DeserializeOwned>(
        &self,
        function: &'static str,
        arguments: &impl Serialize,
        token: &Secret,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let query = self.builder.rpc(function, transport::serialize_arguments(arguments)?);
        transport::send(
            &self.http,
            query,
            self.key.headers(Some(token)),
            true,
            transport::SLOW_QUERY_POLICY,
            deadline,
        )
        .await
    }
}
