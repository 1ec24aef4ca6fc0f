//! EventBridge Scheduler.

use serde::Deserialize;
use serde_json::Value;

use super::{Answer, Aws, segment};

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Schedule {
    pub state: String,
    pub schedule_expression: String,
    /// Under the names of the template.
    pub target: Value,
}

impl Aws {
    /// Reads a schedule of the group `default`.
    pub async fn schedule(&self, name: &str) -> Answer<Schedule> {
        self.get("scheduler:GetSchedule", "scheduler", &format!("/schedules/{}", segment(name))).await
    }
}
