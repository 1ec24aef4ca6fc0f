//! Lists the messages of a session, as the caller.

use serde::Deserialize;
use shared::{
    clients::supabase::UserClient,
    domain::{
        messages::{self, Kinds},
        pagination::{PageRequest, PageSize},
    },
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/sessions/{id}/messages`. Needs no secret key.
pub struct ListMessages {
    user_client: UserClient,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    kinds: Option<Kinds>,
    limit: Option<PageSize>,
    cursor: Option<String>,
}

impl Endpoint for ListMessages {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}/messages");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let session_id = request.id()?;
        let Query { kinds, limit, cursor } = request.query()?;
        let kinds = kinds.unwrap_or(Kinds::Messages);
        let page = PageRequest::new(limit.unwrap_or_default(), cursor.as_deref())?;
        let messages = messages::list(&self.user_client, &request.context, session_id, kinds, page).await?;
        Response::page("messages", &messages)
    }
}
