//! Lists changes, as the caller.

use serde::Deserialize;
use shared::{
    clients::supabase::UserClient,
    domain::{
        changes::{self, ChangeCursor},
        pagination::Cursor,
        sessions::Scope,
    },
    error::{Error, ErrorCode},
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/changes`. Needs no secret key.
pub struct ListChanges {
    user_client: UserClient,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    since: Option<String>,
    scope: Option<Scope>,
}

impl Endpoint for ListChanges {
    const ROUTE: Route = Route::get("/chatkit/changes");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let Query { since, scope } = request.query()?;
        let scope = scope.unwrap_or(Scope::Own);
        if scope == Scope::Organisation && !request.context.caller.org_role.can_read_organisation() {
            return Err(Error::new(ErrorCode::ScopeForbidden));
        }
        let since = since.as_deref().map(ChangeCursor::decode).transpose()?;
        let changes = changes::list(&self.user_client, &request.context, scope, since).await?;
        Ok(request.conditional(Response::ok(&changes)?))
    }
}
