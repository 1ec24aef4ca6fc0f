//! Lists escalations, as the caller.

use shared::{
    auth::DecisionRules,
    clients::supabase::UserClient,
    domain::escalations::{self, ListQuery},
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/escalations`. Needs no secret key.
pub struct ListEscalations {
    user_client: UserClient,
    rules: DecisionRules,
}

impl Endpoint for ListEscalations {
    const ROUTE: Route = Route::get("/chatkit/escalations");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let user_client = dependencies.user_client();
        let rules = dependencies.decision_rules();
        Ok(Self { user_client: user_client?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let filter = request.query::<ListQuery>()?.into_filter()?;
        let Self { user_client, rules } = self;
        let escalations = escalations::list(user_client, &request.context, rules, &filter).await?;
        Response::page("escalations", &escalations)
    }
}
