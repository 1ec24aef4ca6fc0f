//! What is answered. The words are those of docs/reference/metrics.md, and of the database.

use serde::{Deserialize, Serialize};

use super::{Bucket, GroupBy};

use crate::platform::parse::Timestamp;

/// The metrics of an organisation.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
pub struct MetricsReport {
    from: Timestamp,
    to: Timestamp,
    bucket: Bucket,
    group_by: GroupBy,
    service_level_seconds: u32,
    /// What is open or active is so at this moment, and what may still change stood so then.
    as_of: Timestamp,
    /// Of the whole window.
    total: Totals,
    /// Of each group in the whole window; empty without groups.
    groups: Vec<GroupMetrics>,
    /// Of each bucket; with groups, of each group in each bucket.
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

/// Which group it is, by what it is grouped by.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all(serialize = "camelCase"))]
struct Dimensions {
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    channel: Option<String>,
}

/// What is counted of a window, or of a part of it.
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

/// Percentiles, in seconds.
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

/// Confirmations by requesters, which are not escalations.
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

/// What one tool of an agent asked people for; neither, where a page asked.
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
