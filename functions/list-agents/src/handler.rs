//! Lists agents, as the caller.

use shared::{
    clients::supabase::UserClient,
    domain::{agents, pagination::PageSize},
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/agents`. Needs no secret key.
pub struct ListAgents {
    user_client: UserClient,
}

impl Endpoint for ListAgents {
    const ROUTE: Route = Route::get("/chatkit/agents");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        // Few organisations have more agents than fit one page, so the default is the largest page.
        let page = request.page(PageSize::MAX)?;
        let agents = agents::list(&self.user_client, &request.context, page).await?;
        Response::page("agents", &agents)
    }
}
