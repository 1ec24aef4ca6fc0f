//! The metrics are what a plain recount of the rows gives, whoever may see them, and nobody else's.

mod authorization;
mod documentation;
mod generator;
mod random_histories;
mod recount;
mod rows;

use anyhow::Result;
use jiff::Timestamp;
use serde_json::Value;

use crate::support::client::TestClient;

/// A question, each part of it said.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    pub from: Timestamp,
    pub to: Timestamp,
    pub bucket: &'static str,
    pub group_by: &'static str,
    pub service_level_seconds: i64,
}

impl Question {
    /// The answer to it.
    pub async fn ask(&self, caller: &TestClient) -> Result<Value> {
        let Self { from, to, bucket, group_by, service_level_seconds } = self;
        let query = format!(
            "from={from}&to={to}&bucket={bucket}&groupBy={group_by}&serviceLevelSeconds={service_level_seconds}"
        );
        caller.get(&format!("/chatkit/metrics?{query}")).await?.expect(200)
    }
}
