//! Reads an escalation as the caller.

use shared::{
    auth::DecisionRules,
    clients::supabase::UserClient,
    domain::escalations,
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/escalations/{id}`. Needs no secret key.
pub struct GetEscalation {
    user_client: UserClient,
    rules: DecisionRules,
}

impl Endpoint for GetEscalation {
    const ROUTE: Route = Route::get("/chatkit/escalations/{id}");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let user_client = dependencies.user_client();
        let rules = dependencies.decision_rules();
        Ok(Self { user_client: user_client?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        let Self { user_client, rules } = self;
        let escalation = escalations::find(user_client, &request.context, rules, id).await?;
        Ok(request.conditional(Response::ok(&escalation)?))
    }
}
