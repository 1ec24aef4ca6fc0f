//! Recounts the metrics by loops over all rows, once for every part of the response. It shares no
//! code with the implementation.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::MetricsQuery;
use super::rows::{Micros, Rows, Session};

/// The expected response to the query at the time `as_of`.
pub fn recount(rows: &Rows, query: &MetricsQuery, as_of: Timestamp) -> Result<Value> {
    let (from, to) = (query.from.as_microsecond(), query.to.as_microsecond());
    let count = |start, end, group: Option<&str>| Slice { rows, query, start, end, group }.metrics(as_of);
    let approval_load =
        |group: Option<&str>| Slice { rows, query, start: from, end: to, group }.approval_load();

    let is_in_window = |s: &&Session| s.created_at < to && s.ended_at.is_none_or(|at| at >= from);
    let names: BTreeSet<&str> =
        rows.sessions.iter().filter(is_in_window).filter_map(|s| group_of(query, s)).collect();
    let key = if query.group_by == "agent" { "agentId" } else { "channel" };

    let mut total = count(from, to, None);
    total["approvalLoad"] = approval_load(None);
    let mut groups = Vec::new();
    for name in &names {
        let mut group = count(from, to, Some(name));
        group["approvalLoad"] = approval_load(Some(name));
        group[key] = json!(name);
        groups.push(group);
    }
    let length: Micros = if query.bucket == "hour" { 3_600_000_000 } else { 86_400_000_000 };
    let mut buckets = Vec::new();
    let mut start = from;
    while start < to {
        let end = ((start.div_euclid(length) + 1) * length).min(to);
        let ungrouped = query.group_by == "none";
        for name in ungrouped.then_some(None).into_iter().chain(names.iter().map(|name| Some(*name))) {
            let mut bucket = count(start, end, name);
            bucket["start"] = json!(format!("{:.6}", Timestamp::from_microsecond(start)?));
            bucket["end"] = json!(format!("{:.6}", Timestamp::from_microsecond(end)?));
            if let Some(name) = name {
                bucket[key] = json!(name);
            }
            buckets.push(bucket);
        }
        start = end;
    }
    Ok(json!({
        "from": format!("{:.6}", query.from),
        "to": format!("{:.6}", query.to),
        "bucket": query.bucket,
        "groupBy": query.group_by,
        "serviceLevelSeconds": query.service_level_seconds,
        "asOf": format!("{as_of:.6}"),
        "total": total,
        "groups": groups,
        "buckets": buckets,
    }))
}

fn group_of<'a>(query: &MetricsQuery, session: &'a Session) -> Option<&'a str> {
    match query.group_by {
        "agent" => Some(&session.agent_id),
        "channel" => Some(&session.channel),
        _ => None,
    }
}

/// An agent and its tool. Both are absent for an escalation of the page.
type Tool<'a> = (Option<&'a str>, Option<&'a str>);

type Counts<'a> = BTreeMap<&'a str, u64>;

/// The rows of one bucket and one group.
struct Slice<'a> {
    rows: &'a Rows,
    query: &'a MetricsQuery,
    start: Micros,
    end: Micros,
    group: Option<&'a str>,
}

impl Slice<'_> {
    fn contains(&self, at: Micros) -> bool {
        self.start <= at && at < self.end
    }

    fn includes(&self, session: &Session) -> bool {
        self.group.is_none_or(|group| group_of(self.query, session) == Some(group))
    }

    fn includes_id(&self, session_id: Uuid) -> bool {
        self.rows.sessions.iter().any(|session| session.id == session_id && self.includes(session))
    }

    fn metrics(&self, as_of: Timestamp) -> Value {
        let (mut created, mut active, mut events) = (0, 0, 0);
        let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut cancelled, mut expired, mut escalated, mut contained, mut completed) = (0, 0, 0, 0, 0);
        let mut to_escalation = Vec::new();
        for session in self.rows.sessions.iter().filter(|session| self.includes(session)) {
            let reason = session.end_reason.as_deref();
            if session.created_at < self.end && session.ended_at.is_none_or(|at| at >= self.end) {
                active += 1;
            }
            if session.ended_at.is_some_and(|at| self.contains(at)) {
                *ended.entry(reason.unwrap_or_default()).or_default() += 1;
            }
            if !self.contains(session.created_at) {
                continue;
            }
            created += 1;
            events += self.rows.events.iter().filter(|id| **id == session.id).count();
            cancelled += u64::from(reason == Some("cancelled"));
            expired += u64::from(reason == Some("expired"));
            let escalations =
                self.rows.escalations.iter().filter(|e| e.session_id == session.id && e.kind != "confirm");
            let first = escalations.map(|escalation| escalation.created_at).min();
            if let Some(first) = first {
                escalated += 1;
                to_escalation.push(first - session.created_at);
            }
            if reason.is_some_and(|reason| reason != "failed") {
                completed += 1;
                contained += u64::from(first.is_none());
            }
        }

        let level = self.query.service_level_seconds * 1_000_000;
        let (mut met, mut missed, mut undecided) = (0, 0, 0);
        let (mut confirmations_asked, mut confirmations_decided) = (0, 0);
        let mut to_decision = Vec::new();
        for escalation in &self.rows.escalations {
            if !self.contains(escalation.created_at) || !self.includes_id(escalation.session_id) {
                continue;
            }
            if escalation.kind == "confirm" {
                confirmations_asked += 1;
                confirmations_decided += u64::from(escalation.status == "resolved");
                continue;
            }
            let waited = escalation.closed_at.unwrap_or(as_of.as_microsecond()) - escalation.created_at;
            if escalation.status == "resolved" {
                to_decision.push(waited);
            }
            match escalation.status.as_str() {
                "expired" => missed += 1,
                _ if waited > level => missed += 1,
                "resolved" => met += 1,
                _ => undecided += 1,
            }
        }

        let mut states: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut made, mut retried, mut automatic) = (0, 0, 0);
        for delivery in &self.rows.deliveries {
            if !self.contains(delivery.created_at) || !self.includes_id(delivery.session_id) {
                continue;
            }
            made += 1;
            retried += u64::from(delivery.fence >= 2);
            let state = match delivery.status.as_str() {
                "done" if delivery.finished_as.as_deref() == Some("done") => "delivered",
                "done" => "takenUp",
                "pending" | "running" | "asked" => "underWay",
                other => other,
            };
            *states.entry(state).or_default() += 1;
            let escalated = self.rows.escalations.iter().any(|e| e.delivery_id == Some(delivery.id));
            automatic += u64::from(state == "delivered" && !escalated && delivery.resumes.is_none());
        }
        let mut statuses: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut responses, mut input_tokens, mut output_tokens) = (0, 0, 0);
        for run in &self.rows.runs {
            if !self.contains(run.started_at) || !self.includes_id(run.session_id) {
                continue;
            }
            responses += 1;
            *statuses.entry(&run.status).or_default() += 1;
            input_tokens += run.input_tokens.unwrap_or_default();
            output_tokens += run.output_tokens.unwrap_or_default();
        }
        let status = |name| statuses.get(name).copied().unwrap_or(0);
        let ended = |reason| ended.get(reason).copied().unwrap_or(0);
        let state = |name| states.get(name).copied().unwrap_or(0);
        json!({
            "sessions": {
                "created": created,
                "active": active,
                "ended": { "cancelled": ended("cancelled"), "expired": ended("expired"), "failed": ended("failed") },
                "events": events,
            },
            "cohort": {
                "cancelled": cancelled, "cancelRate": rate(cancelled, created),
                "expired": expired, "expiryRate": rate(expired, created),
                "escalated": escalated, "escalationRate": rate(escalated, created),
                "contained": contained, "containmentRate": rate(contained, completed),
            },
            "timeToEscalation": percentiles(to_escalation),
            "timeToDecision": percentiles(to_decision),
            "serviceLevel": { "met": met, "missed": missed, "undecided": undecided, "rate": rate(met, met + missed) },
            "confirmations": { "asked": confirmations_asked, "decided": confirmations_decided },
            "automation": {
                "actions": state("delivered"), "automatic": automatic, "rate": rate(automatic, state("delivered")),
            },
            "deliveries": {
                "made": made,
                "delivered": state("delivered"),
                "takenUp": state("takenUp"),
                "underWay": state("underWay"),
                "dead": state("dead"),
                "unknown": state("unknown"),
                "withdrawn": state("withdrawn"),
                "retried": retried,
            },
            "responses": {
                "created": responses,
                "running": status("running"),
                "completed": status("completed"),
                "incomplete": status("incomplete"),
                "stopped": status("stopped"),
                "failed": status("failed"),
                "interrupted": status("interrupted"),
                "inputTokens": input_tokens,
                "outputTokens": output_tokens,
            },
        })
    }

    fn approval_load(&self) -> Value {
        let mut loads: BTreeMap<Tool<'_>, Counts<'_>> = BTreeMap::new();
        for escalation in &self.rows.escalations {
            if escalation.kind != "confirm"
                && self.contains(escalation.created_at)
                && self.includes_id(escalation.session_id)
            {
                let about = self.rows.deliveries.iter().find(|d| Some(d.id) == escalation.delivery_id);
                let load = loads
                    .entry((about.map(|d| d.agent_id.as_str()), about.map(|d| d.tool.as_str())))
                    .or_default();
                *load.entry("asked").or_default() += 1;
                let outcome = if escalation.status == "resolved" { "decided" } else { &escalation.status };
                *load.entry(outcome).or_default() += 1;
            }
        }
        let row = |((agent_id, tool), load): (&Tool<'_>, &Counts<'_>)| {
            let count = |name| load.get(name).copied().unwrap_or(0);
            json!({ "agentId": agent_id, "tool": tool, "asked": count("asked"), "decided": count("decided"),
                "expired": count("expired"), "withdrawn": count("withdrawn"), "open": count("open") })
        };
        let mut rows: Vec<Value> = loads.iter().map(row).collect();
        // The largest load first, then by name; escalations without a tool last.
        let name = |row: &Value, key: &str| row[key].as_str().unwrap_or("~").to_owned();
        rows.sort_by_key(|row| {
            (std::cmp::Reverse(row["asked"].as_u64()), name(row, "agentId"), name(row, "tool"))
        });
        json!(rows)
    }
}

fn rate(part: u64, total: u64) -> Value {
    if total == 0 { Value::Null } else { json!(part as f64 / total as f64) }
}

fn percentiles(mut micros: Vec<Micros>) -> Value {
    micros.sort_unstable();
    let percentile = |percent: usize| {
        // The position between the first and the last value, in hundredths.
        let position = percent * micros.len().checked_sub(1)?;
        let (below, above) = (micros[position / 100], micros[position.div_ceil(100)]);
        let fraction = (position % 100) as f64 / 100.0;
        Some((below as f64 + (above - below) as f64 * fraction) / 1_000_000.0)
    };
    json!({ "count": micros.len(), "p50": percentile(50), "p90": percentile(90), "p95": percentile(95), "p99": percentile(99) })
}

/// Compares the response with the recount: counts exactly, fractions to six decimals.
pub fn compare(path: &str, expected: &Value, actual: &Value) -> Result<()> {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            let names = |all: &serde_json::Map<String, Value>| all.keys().cloned().collect::<BTreeSet<_>>();
            ensure!(
                names(expected) == names(actual),
                "{path}: expected {:?}, found {:?}",
                names(expected),
                names(actual)
            );
            expected
                .iter()
                .try_for_each(|(key, value)| compare(&format!("{path}/{key}"), value, &actual[key]))
        }
        (Value::Array(expected), Value::Array(actual)) => {
            ensure!(
                expected.len() == actual.len(),
                "{path}: expected {} items, found {}",
                expected.len(),
                actual.len()
            );
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.try_for_each(|(i, (value, other))| compare(&format!("{path}/{i}"), value, other))
        }
        (Value::Number(expected), Value::Number(actual)) if expected.is_f64() || actual.is_f64() => {
            let (expected, actual) = (
                expected.as_f64().context("expected a number")?,
                actual.as_f64().context("expected a number")?,
            );
            ensure!((expected - actual).abs() < 0.000_001, "{path}: expected {expected}, found {actual}");
            Ok(())
        }
        _ => {
            ensure!(expected == actual, "{path}: expected {expected}, found {actual}");
            Ok(())
        }
    }
}
