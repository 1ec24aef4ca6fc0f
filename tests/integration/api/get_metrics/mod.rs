//! The metrics equal a recount of the rows, and only approvers of the organisation may read them.

mod authorization;
mod documentation;
mod generator;
mod query;
mod random_histories;
mod recount;
mod rows;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use crate::support::client::TestClient;

/// The query parameters of `GET /chatkit/metrics`.
#[derive(Clone, Copy, Debug)]
pub struct MetricsQuery {
    pub from: Timestamp,
    pub to: Timestamp,
    pub bucket: &'static str,
    pub group_by: &'static str,
    pub service_level_seconds: i64,
}

impl MetricsQuery {
    pub async fn fetch(&self, client: &TestClient) -> Result<Value> {
        let Self { from, to, bucket, group_by, service_level_seconds } = self;
        let query = format!(
            "from={from}&to={to}&bucket={bucket}&groupBy={group_by}&serviceLevelSeconds={service_level_seconds}"
        );
        client.get(&format!("/chatkit/metrics?{query}")).await?.expect(200)
    }
}
