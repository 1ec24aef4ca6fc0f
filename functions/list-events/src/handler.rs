//! Lists the events of a session, as the caller.

use shared::{
    clients::supabase::UserClient,
    domain::events::{self, EventListQuery},
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/sessions/{id}/events`. Needs no secret key.
pub struct ListEvents {
    user_client: UserClient,
}

impl Endpoint for ListEvents {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}/events");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let session_id = request.id()?;
        let page = request.query::<EventListQuery>()?.into_page()?;
        let events = events::list(&self.user_client, &request.context, session_id, page).await?;
        Response::page("events", &events)
    }
}
