//! Starts `route-events` for each accepted request.

use shared::{
    clients::aws::FunctionStarter,
    error::{Error, ErrorCode},
    platform::{
        config::Environment,
        http_client::{Deadline, HttpClient},
    },
    runtime::{Reported, Webhook},
};

/// Webhook that starts a run of `route-events`.
pub struct ReceiveWebhook(FunctionStarter);

impl Webhook for ReceiveWebhook {
    fn new(environment: &mut Environment, http: HttpClient) -> Result<Self, Reported> {
        FunctionStarter::from_environment(environment, http, "ROUTE_EVENTS_FUNCTION").map(Self)
    }

    async fn accept(&self, deadline: Deadline) -> Result<(), Error> {
        let started = self.0.start(deadline).await;
        started.map_err(|error| Error::new(ErrorCode::RouteEventsNotStarted).cause(error))
    }
}
