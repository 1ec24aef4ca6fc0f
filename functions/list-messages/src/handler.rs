//! Lists the messages of a session, as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::UserClient,
    domain::{
        messages::{self, Message},
        pagination::{PageSize, SeqCursor},
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
    limit: Option<PageSize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Messages {
    messages: Vec<Message>,
    next_cursor: Option<String>,
}

impl Endpoint for ListMessages {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}/messages");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        let Query { limit, cursor } = request.query()?;
        let after = cursor.as_deref().map(SeqCursor::decode).transpose()?;
        let page =
            messages::list(&self.user_client, &request.context, id, limit.unwrap_or_default(), after).await?;
        Response::ok(&Messages { messages: page.rows, next_cursor: page.next_cursor })
    }
}
