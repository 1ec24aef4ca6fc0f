//! Reads the escalation as the caller, checks the answer against its JSON schema, then records the
//! decision.

use shared::{
    auth::DecisionRules,
    clients::supabase::{ServiceClient, UserClient},
    domain::escalations::{self, NewDecision},
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

pub struct DecideEscalation {
    user_client: UserClient,
    service_client: ServiceClient,
    rules: DecisionRules,
}

impl Endpoint for DecideEscalation {
    const ROUTE: Route = Route::post("/chatkit/escalations/{id}/decision");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let user_client = dependencies.user_client();
        let service_client = dependencies.service_client();
        let rules = dependencies.decision_rules();
        Ok(Self { user_client: user_client?, service_client: service_client?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        let context = &request.context;
        let decision: NewDecision = request.json()?;
        let key = request.idempotency_key()?;
        let Self { user_client, service_client, rules } = self;
        Response::ok(
            &escalations::decide(user_client, service_client, context, rules, id, &decision, key).await?,
        )
    }
}
