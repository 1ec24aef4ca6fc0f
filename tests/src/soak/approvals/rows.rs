//! The database's rows of one organisation, in the words of the model.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::amount::Magnitude;

/// Everything that the model has, too.
const ROWS: &str = "select jsonb_build_object(
    'sessions', (
      select jsonb_agg(jsonb_build_object('id', s.id, 'agent', s.agent_id, 'ended', s.status = 'ended') order by s.id)
      from chat_sessions as s where s.org_id = $1
    ),
    'events', (
      select coalesce(jsonb_agg(to_jsonb(e) order by e.session_id, e.seq), '[]') from chat_events as e where e.org_id = $1
    ),
    'deliveries', (
      select coalesce(jsonb_agg(to_jsonb(d) order by d.id), '[]') from deliveries as d where d.org_id = $1
    ),
    'escalations', (
      select coalesce(jsonb_agg(to_jsonb(x) || jsonb_build_object(
        'expires_in', ceil(extract(epoch from x.expires_at - clock_timestamp()) / 60)
      ) order by x.id), '[]')
      from chat_escalations as x where x.org_id = $1
    ),
    'kept', (
      select coalesce(jsonb_agg(to_jsonb(k) || jsonb_build_object(
        'amount', k.amount::text, 'counts', k.begun_at > clock_timestamp() - interval '24 hours'
      )), '[]')
      from auto_call_amounts as k where k.org_id = $1
    )
  )::text";

/// What stands in the database.
pub struct Rows {
    read: Value,
    /// The names of everything that has an id.
    names: HashMap<String, String>,
    ids: HashMap<String, Uuid>,
    hashes: HashMap<String, String>,
    fences: HashMap<String, i64>,
}

impl Rows {
    /// Reads them. `known` names what has its id from the beginning: the organisation, people and sessions.
    pub async fn read(
        connection: &mut PgConnection,
        org_id: Uuid,
        known: &HashMap<String, String>,
    ) -> Result<Self> {
        let read: String =
            sqlx::query_scalar(ROWS).bind(org_id).fetch_one(connection).await.context("reading the rows")?;
        let mut rows = Self {
            read: serde_json::from_str(&read)?,
            names: known.clone(),
            ids: HashMap::new(),
            hashes: HashMap::new(),
            fences: HashMap::new(),
        };
        rows.name();
        Ok(rows)
    }

    fn list(&self, table: &str) -> impl Iterator<Item = &Value> {
        self.read[table].as_array().into_iter().flatten()
    }

    fn name(&mut self) {
        let mut names = HashMap::new();
        for event in self.list("events") {
            let session = self.named(&event["session_id"]);
            let session = session.trim_start_matches("session ");
            names.insert(plain(&event["id"]), format!("event {session}#{}", event["seq"]));
        }
        let event =
            |names: &HashMap<String, String>, id: &Value| names.get(&plain(id)).cloned().unwrap_or_default();
        for row in self.list("deliveries") {
            let of = event(&names, &row["event_id"]);
            let target = format!("{}.{}", plain(&row["agent_id"]), plain(&row["tool"]));
            names.insert(plain(&row["id"]), format!("delivery of {of} to {target}"));
        }
        for row in self.list("escalations") {
            let of = event(&names, &row["event_id"]);
            names.insert(plain(&row["id"]), format!("escalation by {of}"));
        }
        self.names.extend(names);
        let ids = self.names.iter().filter_map(|(id, name)| Some((name.clone(), id.parse().ok()?)));
        self.ids = ids.collect();
        let of = |table: &str, column: &str| -> HashMap<String, Value> {
            self.list(table).map(|row| (self.named(&row["id"]), row[column].clone())).collect()
        };
        let hashes = of("escalations", "subject_hash").into_iter().map(|(name, hash)| (name, plain(&hash)));
        let (hashes, fences) = (hashes.collect(), of("deliveries", "fence"));
        self.hashes = hashes;
        self.fences = fences.into_iter().filter_map(|(name, fence)| Some((name, fence.as_i64()?))).collect();
    }

    pub fn id(&self, name: &str) -> Option<Uuid> {
        self.ids.get(name).copied()
    }

    pub fn hash(&self, escalation: &str) -> Option<&str> {
        self.hashes.get(escalation).map(String::as_str)
    }

    pub fn fence(&self, delivery: &str) -> i64 {
        self.fences.get(delivery).copied().unwrap_or_default()
    }

    fn named(&self, id: &Value) -> String {
        let id = plain(id);
        self.names.get(&id).cloned().unwrap_or(id)
    }

    /// A document with names instead of ids, and neither times nor hashes in it.
    pub fn document(&self, document: &Value) -> Value {
        match document {
            Value::String(text) => Value::String(self.names.get(text).unwrap_or(text).clone()),
            Value::Array(items) => items.iter().map(|item| self.document(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| {
                    let value = match (name.as_str(), value) {
                        ("createdAt" | "occurredAt" | "decidedAt", Value::String(_)) => Value::from("time"),
                        ("subjectHash", Value::String(_)) => Value::from("hash"),
                        ("reason", Value::String(_)) if members.contains_key("decisions") => {
                            Value::from("reason")
                        }
                        (_, value) => self.document(value),
                    };
                    (name.clone(), value)
                })
                .collect(),
            other => other.clone(),
        }
    }

    /// A line for each row, as the model writes them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for row in self.list("sessions") {
            lines.push(format!(
                "{}: with {}, ended {}",
                self.named(&row["id"]),
                plain(&row["agent"]),
                row["ended"]
            ));
        }
        for row in self.list("events") {
            let payload = canonical(&self.document(&row["payload"]));
            let (name, kind, by) = (self.named(&row["id"]), plain(&row["type"]), plain(&row["actor_type"]));
            lines.push(format!("{name}: {kind} by {by} {}: {payload}", self.named(&row["actor_id"])));
        }
        for row in self.list("deliveries") {
            lines.push(format!(
                "{}: {} error {} attempts {} place {} depth {} about {} resumes {} inputs {}",
                self.named(&row["id"]),
                plain(&row["status"]),
                plain(&row["error"]),
                row["attempts"],
                row["seq"],
                row["depth"],
                self.named(&row["about_event_id"]),
                self.named(&row["resumes"]),
                canonical(&self.document(&row["inputs"])),
            ));
        }
        for row in self.list("escalations") {
            let decisions: Vec<String> =
                row["decisions"].as_array().into_iter().flatten().map(plain).collect();
            lines.push(format!(
                "{}: {} {} of {} risk {} approver {} decisions {} author {} predecessor {} revision {} expires {} \
                 decision {} by {} answer {} subject {}",
                self.named(&row["id"]),
                plain(&row["kind"]),
                plain(&row["status"]),
                self.named(&row["delivery_id"]),
                plain(&row["risk"]),
                plain(&row["approver"]),
                decisions.join(","),
                self.named(&row["author_id"]),
                self.named(&row["predecessor_id"]),
                row["revision"],
                row["expires_in"],
                plain(&row["decision"]),
                self.named(&row["decided_by"]),
                canonical(&self.document(&row["answer"])),
                canonical(&self.document(&row["subject"])),
            ));
        }
        for row in self.list("kept") {
            let amount = Magnitude::parse(&plain(&row["amount"])).map(|amount| amount.to_string());
            lines.push(format!(
                "kept of {}: {} {} {} counts {}",
                self.named(&row["delivery_id"]),
                amount.unwrap_or_else(|| plain(&row["amount"])),
                plain(&row["currency"]),
                plain(&row["unit"]),
                row["counts"],
            ));
        }
        lines
    }
}

/// A text without its quotes; `-` for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// JSON with the members of its objects in order.
pub fn canonical(document: &Value) -> String {
    let mut document = document.clone();
    document.sort_all_objects();
    document.to_string()
}
