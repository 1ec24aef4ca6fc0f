//! The metrics are what a plain recount of the rows gives, whoever may see them, and nobody else's.

mod documented;
mod equal;
mod history;
mod recount;
mod rows;
mod seen;

use anyhow::Result;
use jiff::Timestamp;
use libtest_mimic::Trial;
use serde_json::Value;

use crate::caller::Caller;

pub fn trials() -> Vec<Trial> {
    [equal::trials(), seen::trials(), documented::trials()].into_iter().flatten().collect()
}

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
    pub async fn ask(&self, caller: &Caller) -> Result<Value> {
        let Self { from, to, bucket, group_by, service_level_seconds } = self;
        let query = format!(
            "from={from}&to={to}&bucket={bucket}&groupBy={group_by}&serviceLevelSeconds={service_level_seconds}"
        );
        caller.get(&format!("/chatkit/metrics?{query}")).await?.expect(200)
    }
}
