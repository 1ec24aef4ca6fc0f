//! Response of `GET /chatkit/metrics`. docs/reference/metrics.md and the RPC function use the same
//! names.

use serde::{Deserialize, Serialize};

use super::{Bucket, GroupBy};

use crate::platform::parse::Timestamp;

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct MetricsReport {
    from: Timestamp,
    to: Timestamp,
    bucket: Bucket,
    group_by: GroupBy,
    service_level_seconds: u32,
    /// Time of the count: what is open, active or not yet final is reported as of then.
    as_of: Timestamp,
    /// Metrics of the whole window.
    total: Totals,
    /// Metrics of each group over the whole window; empty without groups.
    groups: Vec<GroupMetrics>,
    /// Metrics of each bucket; with groups, of each group in each bucket.
    buckets: Vec<BucketMetrics>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct Totals {
    #[serde(flatten)]
    figures: MetricSet,
    approval_load: Vec<ApprovalLoad>,
}

#[derive(Debug, Deserialize, Serialize)]
struct GroupMetrics {
    #[serde(flatten)]
    name: Dimensions,
    #[serde(flatten)]
    whole: Totals,
}

#[derive(Debug, Deserialize, Serialize)]
struct BucketMetrics {
    start: Timestamp,
    end: Timestamp,
    #[serde(flatten)]
    name: Dimensions,
    #[serde(flatten)]
    figures: MetricSet,
}

/// The group that the metrics belong to; only the field of the grouping dimension is set.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct Dimensions {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
}

/// Metrics of the whole window, or of a bucket or group.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct MetricSet {
    sessions: SessionCounts,
    cohort: Cohort,
    time_to_escalation: Percentiles,
    time_to_decision: Percentiles,
    service_level: ServiceLevel,
    confirmations: Confirmations,
    automation: Automation,
    deliveries: DeliveryCounts,
    responses: ResponseCounts,
}

#[derive(Debug, Deserialize, Serialize)]
struct SessionCounts {
    created: u64,
    active: u64,
    ended: EndedCounts,
    events: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct EndedCounts {
    cancelled: u64,
    expired: u64,
    failed: u64,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct Cohort {
    cancelled: u64,
    cancel_rate: Option<f64>,
    expired: u64,
    expiry_rate: Option<f64>,
    escalated: u64,
    escalation_rate: Option<f64>,
    contained: u64,
    containment_rate: Option<f64>,
}

/// Percentiles of a duration, in seconds.
#[derive(Debug, Deserialize, Serialize)]
struct Percentiles {
    count: u64,
    p50: Option<f64>,
    p90: Option<f64>,
    p95: Option<f64>,
    p99: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize)]
struct ServiceLevel {
    met: u64,
    missed: u64,
    undecided: u64,
    rate: Option<f64>,
}

/// Confirmations by the requester, which are not counted as escalations.
#[derive(Debug, Deserialize, Serialize)]
struct Confirmations {
    asked: u64,
    decided: u64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Automation {
    actions: u64,
    automatic: u64,
    rate: Option<f64>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct DeliveryCounts {
    made: u64,
    delivered: u64,
    taken_up: u64,
    under_way: u64,
    dead: u64,
    unknown: u64,
    withdrawn: u64,
    retried: u64,
}

/// Responses of models in the self-hosted chat.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct ResponseCounts {
    created: u64,
    running: u64,
    completed: u64,
    incomplete: u64,
    stopped: u64,
    failed: u64,
    interrupted: u64,
    input_tokens: u64,
    output_tokens: u64,
}

/// Escalations for one tool of an agent; without agent and tool, those that a frontend opened.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct ApprovalLoad {
    agent_id: Option<String>,
    tool: Option<String>,
    asked: u64,
    decided: u64,
    expired: u64,
    withdrawn: u64,
    open: u64,
}
