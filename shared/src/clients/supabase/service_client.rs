//! Client with the secret key: calls RPC functions only, each of them one
//! transaction and safe to repeat.

use std::{sync::Arc, time::Duration};

use super::{
    ApiKey, Error, Project, Rpc, SupabaseCause,
    rest_api::{self, RestApi},
};
use crate::platform::{
    http_client::{Deadline, HttpClient, HttpResponse, RetryPolicy, classification::supabase::TABLE},
    secret_store::Rotating,
};

/// First and longest delay before a call that records something is repeated.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Calls our RPC functions with the secret key. The role of the key may execute
/// them and access no table.
#[derive(Clone)]
pub struct ServiceClient {
    api: RestApi,
    key: Rotating<ApiKey>,
}

impl ServiceClient {
    pub fn new(http: HttpClient, project: &Project, key: Rotating<ApiKey>) -> Self {
        Self { api: RestApi::new(http, project), key }
    }

    /// Calls one of our RPC functions.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error; see [`Error`].
    pub async fn rpc<R: Rpc>(&self, call: &R, deadline: Deadline) -> Result<R::Output, Error> {
        let query = self.api.rpc_query(call)?;
        let response = self.send(query, rest_api::rpc_policy::<R>(), deadline).await?;
        rest_api::parse(&response, false)
    }

    /// Sends a request with the key. A request with a refused key was not performed, so it is
    /// repeated with a newer key. The response is parsed separately, because generic code is
    /// compiled for every type.
    async fn send(
        &self,
        query: postgrest::Builder,
        policy: RetryPolicy,
        deadline: Deadline,
    ) -> Result<HttpResponse, Error> {
        let request = rest_api::request(query)?;
        let send = |key: Arc<ApiKey>| {
            let request = request.try_clone();
            async move {
                let request = request.ok_or_else(rest_api::unbuilt)?;
                self.api.send(request, key.headers(None), false, policy, deadline).await
            }
        };
        let is_refused = |answer: &Result<HttpResponse, Error>| {
            let cause = answer.as_ref().ok().and_then(|answer| answer.cause(&TABLE, false));
            // PostgREST refuses a legacy key, which is a token, after the gateway has accepted it.
            matches!(cause, Some(SupabaseCause::KeyRejected | SupabaseCause::ServiceTokenRefused))
        };
        self.key.send(send, is_refused).await
    }

    /// Calls a function that records what was done elsewhere. The record must not be lost to
    /// an outage. So the call is repeated until the deadline after any error that the
    /// function itself did not raise.
    ///
    /// # Errors
    /// Returns [`Error::Rpc`] with our code if the function raised an error, otherwise the
    /// last error before the deadline.
    pub async fn rpc_until_recorded<R: Rpc>(&self, call: &R, deadline: Deadline) -> Result<R::Output, Error> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.rpc(call, deadline).await {
                Err(error) if !error.is_rpc_error() && deadline.remaining() > pause => {
                    tracing::warn!(function = R::NAME, %error, "a call is repeated until it is recorded");
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                recorded => return recorded,
            }
        }
    }
}
