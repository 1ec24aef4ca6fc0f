//! Claims an escalation for the caller.

use shared::{
    auth::DecisionRules,
    clients::supabase::ServiceClient,
    domain::escalations::{self, NewClaim},
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

pub struct ClaimEscalation {
    service_client: ServiceClient,
    rules: DecisionRules,
}

impl Endpoint for ClaimEscalation {
    const ROUTE: Route = Route::post("/chatkit/escalations/{id}/claim");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let rules = dependencies.decision_rules();
        Ok(Self { service_client: service_client?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        let claim: NewClaim = request.optional_json()?.unwrap_or_default();
        let Self { service_client, rules } = self;
        Response::ok(&escalations::claim(service_client, &request.context, rules, id, claim).await?)
    }
}
