//! Reads the registry as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::Reader,
    domain::{
        agents::{self, Agent},
        pagination::{IdCursor, PageSize},
    },
    error::Error,
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Lists the agents that the caller may open. Holds no secret key.
pub struct ListAgents {
    reader: Reader,
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

impl Function for ListAgents {
    const ROUTE: Route = Route::get("/chatkit/agents");

    fn new(setup: &mut Setup) -> Option<Self> {
        Some(Self { reader: setup.reader()? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let Query { limit, cursor } = request.query()?;
        let after = cursor.as_deref().map(IdCursor::decode).transpose()?;
        // Few organisations have more than a page: whoever asks for nothing gets all that one can hold.
        let limit = limit.unwrap_or(PageSize::MOST);
        let page = agents::list(&self.reader, &request.call, limit, after).await?;
        Answer::ok(&Agents { agents: page.rows, next_cursor: page.next_cursor })
    }
}
