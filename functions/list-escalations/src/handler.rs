//! Lists open escalations, as the caller.

use shared::{
    clients::supabase::UserClient,
    domain::{escalations, pagination::PageSize},
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/escalations`. Needs no secret key.
pub struct ListEscalations {
    user_client: UserClient,
}

impl Endpoint for ListEscalations {
    const ROUTE: Route = Route::get("/chatkit/escalations");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let page = request.page(PageSize::default())?;
        let escalations = escalations::list(&self.user_client, &request.context, page).await?;
        Response::page("escalations", &escalations)
    }
}
