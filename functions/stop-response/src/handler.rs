//! Records that the running answers of a session must stop. Their processes notice it themselves.

use shared::{
    clients::supabase::ServiceClient,
    domain::sessions,
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

pub struct StopResponse {
    service_client: ServiceClient,
}

impl Endpoint for StopResponse {
    const ROUTE: Route = Route::post("/chatkit/sessions/{id}/stop");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { service_client: dependencies.service_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        request.require_empty_body()?;
        let stopped = sessions::stop_response(&self.service_client, &request.context, id).await?;
        Response::ok(&stopped)
    }
}
