//! Reads sessions as the caller.

use serde::{Deserialize, Serialize};
use shared::{
    clients::supabase::Reader,
    domain::{
        pagination::{PageSize, TimeCursor},
        sessions::{self, AgentId, Filter, Scope, Session, Status},
    },
    error::{Code, Error},
    http::{Answer, Request, Route},
    runtime::{Function, Setup},
};

/// Lists sessions. Holds no secret key.
pub struct ListSessions {
    reader: Reader,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Query {
    scope: Option<Scope>,
    status: Option<Status>,
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

impl Function for ListSessions {
    const ROUTE: Route = Route::get("/chatkit/sessions");

    fn new(setup: &mut Setup) -> Option<Self> {
        Some(Self { reader: setup.reader()? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let Query { scope, status, agent_id, limit, cursor } = request.query()?;
        let scope = scope.unwrap_or(Scope::Own);
        // Row level security would answer with the caller's own sessions, which would look like all there are.
        if scope == Scope::Organisation && !request.call.caller.org_role.sees_organisation() {
            return Err(Error::new(Code::ScopeForbidden));
        }
        let after = cursor.as_deref().map(TimeCursor::decode).transpose()?;
        let filter = Filter { scope, status, agent_id, limit: limit.unwrap_or_default(), after };
        let page = sessions::list(&self.reader, &request.call, &filter).await?;
        Answer::ok(&Sessions { sessions: page.rows, next_cursor: page.next_cursor })
    }
}
