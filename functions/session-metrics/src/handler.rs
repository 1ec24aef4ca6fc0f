//! Has the organisation's metrics counted, as the caller.

use serde::Deserialize;
use shared::{
    clients::supabase::Reader,
    domain::metrics::{self, Bucket, GroupBy, Question, Timestamp},
    error::{Code, Error},
    http::{Answer, Request, Route},
    platform::parse::Integer,
    runtime::{Function, Setup},
};

/// Tells the metrics. Holds no secret key.
pub struct SessionMetrics {
    reader: Reader,
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

impl Function for SessionMetrics {
    const ROUTE: Route = Route::get("/chatkit/metrics");

    fn new(setup: &mut Setup) -> Option<Self> {
        Some(Self { reader: setup.reader()? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let Query { from, to, bucket, group_by, service_level_seconds } = request.query()?;
        // The database would refuse them too; this saves the call.
        if !request.call.caller.org_role.sees_organisation() {
            return Err(Error::new(Code::MetricsForbidden));
        }
        let service_level_seconds = service_level_seconds.map(|Integer(seconds)| seconds);
        let question = Question::new(from, to, bucket, group_by, service_level_seconds)?;
        Answer::ok(&metrics::ask(&self.reader, &request.call, &question).await?)
    }
}
