//! A plain recount: loops over all rows, once for every part of the answer. It shares nothing with what it checks.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Question;
use super::rows::{Micros, Rows, Session};

/// What should be answered to the question at this moment.
pub fn recount(rows: &Rows, question: &Question, as_of: Timestamp) -> Result<Value> {
    let (from, to) = (question.from.as_microsecond(), question.to.as_microsecond());
    let count = |start, end, group: Option<&str>| Part { rows, question, start, end, group }.figures(as_of);
    let load = |group: Option<&str>| Part { rows, question, start: from, end: to, group }.approval_load();

    let was_there = |s: &&Session| s.created_at < to && s.ended_at.is_none_or(|at| at >= from);
    let names: BTreeSet<&str> =
        rows.sessions.iter().filter(was_there).filter_map(|s| group_of(question, s)).collect();
    let key = if question.group_by == "agent" { "agentId" } else { "channel" };

    let mut total = count(from, to, None);
    total["approvalLoad"] = load(None);
    let mut groups = Vec::new();
    for name in &names {
        let mut group = count(from, to, Some(name));
        group["approvalLoad"] = load(Some(name));
        group[key] = json!(name);
        groups.push(group);
    }
    let length: Micros = if question.bucket == "hour" { 3_600_000_000 } else { 86_400_000_000 };
    let mut buckets = Vec::new();
    let mut start = from;
    while start < to {
        let end = ((start.div_euclid(length) + 1) * length).min(to);
        let ungrouped = question.group_by == "none";
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
        "from": format!("{:.6}", question.from),
        "to": format!("{:.6}", question.to),
        "bucket": question.bucket,
        "groupBy": question.group_by,
        "serviceLevelSeconds": question.service_level_seconds,
        "asOf": format!("{as_of:.6}"),
        "total": total,
        "groups": groups,
        "buckets": buckets,
    }))
}

fn group_of<'a>(question: &Question, session: &'a Session) -> Option<&'a str> {
    match question.group_by {
        "agent" => Some(&session.agent_id),
        "channel" => Some(&session.channel),
        _ => None,
    }
}

/// An agent and its tool, or neither.
type Tool<'a> = (Option<&'a str>, Option<&'a str>);

type Counts<'a> = BTreeMap<&'a str, u64>;

/// A part of the window, and of the sessions.
struct Part<'a> {
    rows: &'a Rows,
    question: &'a Question,
    start: Micros,
    end: Micros,
    group: Option<&'a str>,
}

impl Part<'_> {
    fn holds(&self, at: Micros) -> bool {
        self.start <= at && at < self.end
    }

    fn has(&self, session: &Session) -> bool {
        self.group.is_none_or(|group| group_of(self.question, session) == Some(group))
    }

    fn has_id(&self, session_id: Uuid) -> bool {
        self.rows.sessions.iter().any(|session| session.id == session_id && self.has(session))
    }

    fn figures(&self, as_of: Timestamp) -> Value {
        let (mut created, mut active, mut events) = (0, 0, 0);
        let mut ended: BTreeMap<&str, u64> = BTreeMap::new();
        let (mut cancelled, mut expired, mut escalated, mut contained, mut completed) = (0, 0, 0, 0, 0);
        let mut to_escalation = Vec::new();
        for session in self.rows.sessions.iter().filter(|session| self.has(session)) {
            let reason = session.end_reason.as_deref();
            if session.created_at < self.end && session.ended_at.is_none_or(|at| at >= self.end) {
                active += 1;
            }
            if session.ended_at.is_some_and(|at| self.holds(at)) {
                *ended.entry(reason.unwrap_or_default()).or_default() += 1;
            }
            if !self.holds(session.created_at) {
                continue;
            }
            created += 1;
            events += self.rows.events.iter().filter(|id| **id == session.id).count();
            cancelled += u64::from(reason == Some("cancelled"));
            expired += u64::from(reason == Some("expired"));
            let of_it =
                self.rows.escalations.iter().filter(|e| e.session_id == session.id && e.kind != "confirm");
            let first = of_it.map(|escalation| escalation.created_at).min();
            if let Some(first) = first {
                escalated += 1;
                to_escalation.push(first - session.created_at);
            }
            if reason.is_some_and(|reason| reason != "failed") {
                completed += 1;
                contained += u64::from(first.is_none());
            }
        }

        let level = self.question.service_level_seconds * 1_000_000;
        let (mut met, mut missed, mut undecided) = (0, 0, 0);
        let (mut confirmations_asked, mut confirmations_decided) = (0, 0);
        let mut to_decision = Vec::new();
        for escalation in &self.rows.escalations {
            if !self.holds(escalation.created_at) || !self.has_id(escalation.session_id) {
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
            if !self.holds(delivery.created_at) || !self.has_id(delivery.session_id) {
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
            let asked = self.rows.escalations.iter().any(|e| e.delivery_id == Some(delivery.id));
            automatic += u64::from(state == "delivered" && !asked && delivery.resumes.is_none());
        }
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
            "timeToEscalation": times(to_escalation),
            "timeToDecision": times(to_decision),
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
        })
    }

    fn approval_load(&self) -> Value {
        let mut loads: BTreeMap<Tool<'_>, Counts<'_>> = BTreeMap::new();
        for escalation in &self.rows.escalations {
            if escalation.kind != "confirm"
                && self.holds(escalation.created_at)
                && self.has_id(escalation.session_id)
            {
                let about = self.rows.deliveries.iter().find(|d| Some(d.id) == escalation.delivery_id);
                let load = loads
                    .entry((about.map(|d| d.agent_id.as_str()), about.map(|d| d.tool.as_str())))
                    .or_default();
                *load.entry("asked").or_default() += 1;
                let became = if escalation.status == "resolved" { "decided" } else { &escalation.status };
                *load.entry(became).or_default() += 1;
            }
        }
        let row = |((agent_id, tool), load): (&Tool<'_>, &Counts<'_>)| {
            let of = |name| load.get(name).copied().unwrap_or(0);
            json!({ "agentId": agent_id, "tool": tool, "asked": of("asked"), "decided": of("decided"),
                "expired": of("expired"), "withdrawn": of("withdrawn"), "open": of("open") })
        };
        let mut rows: Vec<Value> = loads.iter().map(row).collect();
        // The busiest first, then by name, and nobody last.
        let name = |row: &Value, key: &str| row[key].as_str().unwrap_or("~").to_owned();
        rows.sort_by_key(|row| {
            (std::cmp::Reverse(row["asked"].as_u64()), name(row, "agentId"), name(row, "tool"))
        });
        json!(rows)
    }
}

fn rate(part: u64, whole: u64) -> Value {
    if whole == 0 { Value::Null } else { json!(part as f64 / whole as f64) }
}

fn times(mut micros: Vec<Micros>) -> Value {
    micros.sort_unstable();
    let percentile = |percent: usize| {
        // The place between the first and the last, in hundredths.
        let place = percent * micros.len().checked_sub(1)?;
        let (below, above) = (micros[place / 100], micros[place.div_ceil(100)]);
        let part = (place % 100) as f64 / 100.0;
        Some((below as f64 + (above - below) as f64 * part) / 1_000_000.0)
    };
    json!({ "count": micros.len(), "p50": percentile(50), "p90": percentile(90), "p95": percentile(95), "p99": percentile(99) })
}

/// Whether an answer is what was recounted: counts exactly, fractions as far as they are told.
pub fn compare(at: &str, expected: &Value, answer: &Value) -> Result<()> {
    match (expected, answer) {
        (Value::Object(expected), Value::Object(got)) => {
            let names = |all: &serde_json::Map<String, Value>| all.keys().cloned().collect::<BTreeSet<_>>();
            ensure!(names(expected) == names(got), "{at}: {:?} instead of {:?}", names(got), names(expected));
            expected.iter().try_for_each(|(key, value)| compare(&format!("{at}/{key}"), value, &got[key]))
        }
        (Value::Array(expected), Value::Array(got)) => {
            ensure!(expected.len() == got.len(), "{at}: {} instead of {}", got.len(), expected.len());
            let mut pairs = expected.iter().zip(got).enumerate();
            pairs.try_for_each(|(i, (value, other))| compare(&format!("{at}/{i}"), value, other))
        }
        (Value::Number(expected), Value::Number(got)) if expected.is_f64() || got.is_f64() => {
            let (expected, got) =
                (expected.as_f64().context("no number")?, got.as_f64().context("no number")?);
            ensure!((expected - got).abs() < 0.000_001, "{at}: {got} instead of {expected}");
            Ok(())
        }
        _ => {
            ensure!(expected == answer, "{at}: {answer} instead of {expected}");
            Ok(())
        }
    }
}
