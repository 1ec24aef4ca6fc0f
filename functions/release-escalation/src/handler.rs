//! Ends the caller's claim of an escalation.

use shared::{
    auth::DecisionRules,
    clients::supabase::ServiceClient,
    domain::escalations,
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

pub struct ReleaseEscalation {
    service_client: ServiceClient,
    rules: DecisionRules,
}

impl Endpoint for ReleaseEscalation {
    const ROUTE: Route = Route::post("/chatkit/escalations/{id}/release");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let rules = dependencies.decision_rules();
        Ok(Self { service_client: service_client?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        request.require_empty_body()?;
        let Self { service_client, rules } = self;
        Response::ok(&escalations::release(service_client, &request.context, rules, id).await?)
    }
}
