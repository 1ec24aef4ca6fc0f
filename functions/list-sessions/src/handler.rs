//! Lists sessions, as the caller.

use serde::Deserialize;
use shared::{
    clients::supabase::UserClient,
    domain::{
        pagination::{PageRequest, PageSize},
        sessions::{self, AgentId, Scope, SessionFilter, SessionStatus},
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
        let page = PageRequest::new(limit.unwrap_or_default(), cursor.as_deref())?;
        let filter = SessionFilter { scope, status, agent_id };
        let sessions = sessions::list(&self.user_client, &request.context, &filter, page).await?;
        Response::page("sessions", &sessions)
    }
}
