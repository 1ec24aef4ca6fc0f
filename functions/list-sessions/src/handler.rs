//! Lists sessions, as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::UserClient,
    domain::{
        pagination::{PageSize, TimeCursor},
        sessions::{self, AgentId, Filter, Scope, Session, SessionStatus},
    },
    error::{Error, ErrorCode},
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/sessions`. Needs no secret key.
pub struct ListSessions {
    user_client: UserClient,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Query {
    scope: Option<Scope>,
    status: Option<SessionStatus>,
    agent_id: Option<AgentId>,
    limit: Option<PageSize>,
    cursor: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sessions {
    sessions: Vec<Session>,
    next_cursor: Option<String>,
}

impl Endpoint for ListSessions {
    const ROUTE: Route = Route::get("/chatkit/sessions");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let Query { scope, status, agent_id, limit, cursor } = request.query()?;
        let scope = scope.unwrap_or(Scope::Own);
        // Row level security would return only the caller's own sessions, as if there were no
        // others.
        if scope == Scope::Organisation && !request.context.caller.org_role.can_read_organisation() {
            return Err(Error::new(ErrorCode::ScopeForbidden));
        }
        let after = cursor.as_deref().map(TimeCursor::decode).transpose()?;
        let filter = Filter { scope, status, agent_id, limit: limit.unwrap_or_default(), after };
        let page = sessions::list(&self.user_client, &request.context, &filter).await?;
        Response::ok(&Sessions { sessions: page.rows, next_cursor: page.next_cursor })
    }
}
