//! Lists open escalations, as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::UserClient,
    domain::{
        escalations::{self, Escalation},
        pagination::{PageSize, TimeCursor},
    },
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/escalations`. Needs no secret key.
pub struct ListEscalations {
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
struct Escalations {
    escalations: Vec<Escalation>,
    next_cursor: Option<String>,
}

impl Endpoint for ListEscalations {
    const ROUTE: Route = Route::get("/chatkit/escalations");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let Query { limit, cursor } = request.query()?;
        let after = cursor.as_deref().map(TimeCursor::decode).transpose()?;
        let page =
            escalations::list(&self.user_client, &request.context, limit.unwrap_or_default(), after).await?;
        Response::ok(&Escalations { escalations: page.rows, next_cursor: page.next_cursor })
    }
}
