//! Lists the messages of a session, as the caller.

use shared::{
    clients::supabase::UserClient,
    domain::{messages, pagination::PageSize},
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/sessions/{id}/messages`. Needs no secret key.
pub struct ListMessages {
    user_client: UserClient,
}

impl Endpoint for ListMessages {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}/messages");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let session_id = request.id()?;
        let page = request.page(PageSize::default())?;
        let messages = messages::list(&self.user_client, &request.context, session_id, page).await?;
        Response::page("messages", &messages)
    }
}
