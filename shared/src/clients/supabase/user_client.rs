//! Client with the caller's token: reads tables and calls functions under row level security.

use serde::de::DeserializeOwned;

use super::{
    ApiKey, Error, Project, Rpc,
    rest_api::{self, RestApi},
};
use crate::platform::{
    http_client::{Deadline, HttpClient, RetryPolicy},
    secret::Secret,
};

/// Reads with a caller's own token. Holds no secret key.
#[derive(Clone)]
pub struct UserClient {
    api: RestApi,
    key: ApiKey,
}

impl UserClient {
    pub fn new(http: HttpClient, project: &Project, key: ApiKey) -> Self {
        Self { api: RestApi::new(http, project), key }
    }

    /// Starts a query of a table. PostgREST reads the values given to the builder's `or`, `and` and
    /// `in_` as raw text. Pass only ids, times and other values of our own types.
    pub fn from(&self, table: &'static str) -> postgrest::Builder {
        self.api.query(table)
    }

    /// Requests a row with the key alone, without a user's token, to find out
    /// whether the key is accepted.
    ///
    /// # Errors
    /// See [`Error`]. A valid key gives one as well, since the key alone may read no table.
    #[cfg(feature = "doctor")]
    pub(crate) async fn check_key(&self, deadline: Deadline) -> Result<(), Error> {
        let query = self.from("agents").select("id").limit(1);
        let headers = self.key.headers(None);
        let (request, policy) = (rest_api::request(query)?, rest_api::RETRY_POLICY);
        let response = self.api.send(request, headers, false, policy, deadline).await?;
        rest_api::parse::<Vec<serde::de::IgnoredAny>>(&response, false).map(drop)
    }

    /// Runs a query with the caller's token. A row that the caller may not read is missing from the
    /// result; that is not an error.
    pub async fn rows<T: DeserializeOwned>(
        &self,
        query: postgrest::Builder,
        token: &Secret,
        deadline: Deadline,
    ) -> Result<Vec<T>, Error> {
        self.send(query, token, rest_api::RETRY_POLICY, deadline).await
    }

    /// Calls one of our functions with the caller's token, under row level security like a table.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error; see [`Error`].
    pub async fn rpc<R: Rpc>(
        &self,
        call: &R,
        token: &Secret,
        deadline: Deadline,
    ) -> Result<R::Output, Error> {
        let query = self.api.rpc_query(call)?;
        self.send(query, token, rest_api::rpc_policy::<R>(), deadline).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        query: postgrest::Builder,
        token: &Secret,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<T, Error> {
        let headers = self.key.headers(Some(token));
        let request = rest_api::request(query)?;
        let response = self.api.send(request, headers, true, policy, deadline).await?;
        rest_api::parse(&response, true)
    }
}
