//! Lists agents, as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::UserClient,
    domain::{
        agents::{self, Agent},
        pagination::{IdCursor, PageSize},
    },
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/agents`. Needs no secret key.
pub struct ListAgents {
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
struct Agents {
    agents: Vec<Agent>,
    next_cursor: Option<String>,
}

impl Endpoint for ListAgents {
    const ROUTE: Route = Route::get("/chatkit/agents");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let Query { limit, cursor } = request.query()?;
        let after = cursor.as_deref().map(IdCursor::decode).transpose()?;
        // Few organisations have more agents than fit one page, so the default is the largest page.
        let limit = limit.unwrap_or(PageSize::MAX);
        let page = agents::list(&self.user_client, &request.context, limit, after).await?;
        Response::ok(&Agents { agents: page.rows, next_cursor: page.next_cursor })
    }
}
