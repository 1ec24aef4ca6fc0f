//! CloudWatch Logs: the retention of log groups.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::{Answer, Aws, JsonOperation};

/// The days for which each log group keeps its lines. `None` for ever.
pub type LogGroups = BTreeMap<String, Option<u64>>;

const DESCRIBE_LOG_GROUPS: JsonOperation = JsonOperation {
    action: "logs:DescribeLogGroups",
    service: "logs",
    target: "Logs_20140328.DescribeLogGroups",
    content_type: "application/x-amz-json-1.1",
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DescribedLogGroups {
    #[serde(default)]
    log_groups: Vec<LogGroup>,
    next_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LogGroup {
    log_group_name: String,
    retention_in_days: Option<u64>,
}

impl Aws {
    pub async fn log_groups(&self, prefix: &str) -> Answer<LogGroups> {
        let mut input = json!({ "logGroupNamePrefix": prefix });
        let mut groups = LogGroups::new();
        loop {
            let answer: DescribedLogGroups = self.call(&DESCRIBE_LOG_GROUPS, &input).await?;
            groups
                .extend(answer.log_groups.into_iter().map(|one| (one.log_group_name, one.retention_in_days)));
            match answer.next_token {
                Some(token) => input["nextToken"] = token.into(),
                None => return Ok(groups),
            }
        }
    }
}
