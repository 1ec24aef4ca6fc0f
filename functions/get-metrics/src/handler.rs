//! Returns the organisation's metrics, as the caller.

use serde::Deserialize;
use shared::{
    clients::supabase::UserClient,
    domain::metrics::{self, Bucket, GroupBy, MetricsQuery, Timestamp},
    error::{Error, ErrorCode},
    http::{Request, Response, Route},
    platform::parse::Integer,
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/metrics`. Needs no secret key.
pub struct GetMetrics {
    user_client: UserClient,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Query {
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    bucket: Option<Bucket>,
    group_by: Option<GroupBy>,
    service_level_seconds: Option<Integer<u32>>,
}

impl Endpoint for GetMetrics {
    const ROUTE: Route = Route::get("/chatkit/metrics");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        Ok(Self { user_client: dependencies.user_client()? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let Query { from, to, bucket, group_by, service_level_seconds } = request.query()?;
        // The database rejects these callers too; checking here saves the call.
        if !request.context.caller.org_role.can_read_organisation() {
            return Err(Error::new(ErrorCode::MetricsForbidden));
        }
        let service_level_seconds = service_level_seconds.map(|Integer(seconds)| seconds);
        let question = MetricsQuery::new(from, to, bucket, group_by, service_level_seconds)?;
        Response::ok(&metrics::fetch(&self.user_client, &request.context, &question).await?)
    }
}
