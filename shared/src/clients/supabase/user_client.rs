//! Reading as the caller: row level security decides what there is to see, and so do the functions that callers may execute.

use serde::{Serialize, de::DeserializeOwned};

use super::{ApiKey, Error, Project, transport};
use crate::{
    error::RateLimit,
    platform::{
        http_client::{Deadline, HttpClient},
        secret::Secret,
    },
};

/// Reads tables with a caller's own token. Holds no secret key.
#[derive(Clone)]
pub struct UserClient {
    http: HttpClient,
    builder: std::sync::Arc<postgrest::Postgrest>,
    key: ApiKey,
}

impl UserClient {
    /// A reader of this project with its publishable key.
    pub fn new(http: HttpClient, project: &Project, key: ApiKey) -> Self {
        let builder = postgrest::Postgrest::new(project.join("/rest/v1")).into();
        Self { http, builder, key }
    }

    /// Starts a query of a table. Values given to the builder's `or`, `and` and `in_` are raw text to PostgREST:
    /// only ids, times and other values of our own types may go in.
    pub fn from(&self, table: &'static str) -> postgrest::Builder {
        self.builder.from(table)
    }

    /// Asks for a row with the key alone, as nobody, who may see none: what counts is whether the key is taken.
    ///
    /// # Errors
    /// See [`Error`]; that nobody may see the table is one of them.
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

    /// Runs a query with the caller's token.
    ///
    /// # Errors
    /// See [`Error`]; a row that may not be seen is no error, it is not there.
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

    /// Has one of our functions charge the caller, by their own token. Where its answer is lost, it may charge twice.
    ///
    /// # Errors
    /// [`Error::Refused`] with our own code where the function said no; see [`Error`].
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

    /// Has one of our functions read for the caller, under row level security like a table.
    ///
    /// # Errors
    /// [`Error::Refused`] with our own code where the function said no; see [`Error`].
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

    /// Has one of our functions count for the caller. That may take as long as the database lets a statement take.
    ///
    /// # Errors
    /// [`Error::Refused`] with our own code where the function said no; see [`Error`].
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
