//! Reads the rows of one organisation in the model's form.

use std::collections::HashMap;

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use super::amount::Magnitude;

/// Selects every row that the model has too, as the name of its table and a JSON text.
const ROWS: &str = "select 'sessions', jsonb_build_object('id', s.id, 'agent', s.agent_id, 'ended', s.status = 'ended')::text
  from chat_sessions as s where s.org_id = $1
  union all
  select 'events', jsonb_build_object(
    'id', e.id, 'session_id', e.session_id, 'seq', e.seq, 'type', e.type, 'payload', e.payload,
    'actor_type', e.actor_type, 'actor_id', e.actor_id
  )::text
  from chat_events as e where e.org_id = $1
  union all
  select 'deliveries', jsonb_build_object(
    'id', d.id, 'event_id', d.event_id, 'agent_id', d.agent_id, 'tool', d.tool, 'status', d.status, 'error', d.error,
    'attempts', d.attempts, 'seq', d.seq, 'depth', d.depth, 'about_event_id', d.about_event_id, 'resumes', d.resumes,
    'inputs', d.inputs, 'fence', d.fence, 'run_id', d.run_id, 'call_id', d.call_id,
    'follows_tool_output', d.follows_tool_output, 'in_turn', d.in_turn
  )::text
  from deliveries as d where d.org_id = $1
  union all
  select 'escalations', jsonb_build_object(
    'id', x.id, 'event_id', x.event_id, 'kind', x.kind, 'status', x.status, 'delivery_id', x.delivery_id, 'risk', x.risk,
    'approver', x.approver, 'decisions', x.decisions, 'author_id', x.author_id, 'predecessor_id', x.predecessor_id,
    'revision', x.revision, 'decision', x.decision, 'decided_by', x.decided_by, 'answer', x.answer, 'subject', x.subject,
    'subject_hash', x.subject_hash, 'expires_in', ceil(extract(epoch from x.expires_at - clock_timestamp()) / 60)
  )::text
  from chat_escalations as x where x.org_id = $1
  union all
  select 'auto_calls', jsonb_build_object(
    'delivery_id', k.delivery_id, 'amount', k.amount::text, 'currency', k.currency, 'unit', k.unit,
    'counts', k.begun_at > clock_timestamp() - interval '24 hours'
  )::text
  from auto_call_amounts as k where k.org_id = $1
  union all
  select 'threads', jsonb_build_object(
    'id', t.id, 'agent_id', t.agent_id, 'items', (
      select coalesce(jsonb_agg(concat_ws(
        ' ', h.kind, h.item ->> 'call_id', coalesce(h.item ->> 'tool', h.item #>> '{content,tool}'),
        coalesce(h.item ->> 'status', h.item #>> '{content,status}'),
        coalesce(h.item ->> 'error', h.item #>> '{content,error}')
      )), '[]')
      from chat_hidden_items as h
      where h.thread_id = t.id and (h.item ? 'call_id' or h.item -> 'content' ? 'tool')
    )
  )::text
  from chat_threads as t where t.org_id = $1
  union all
  select 'runs', jsonb_build_object(
    'id', r.id, 'agent_id', r.agent_id, 'session_id', r.session_id, 'thread_id', r.thread_id, 'status', r.status,
    'stop_requested', r.stop_requested_at is not null
  )::text
  from chat_runs as r where r.org_id = $1";

/// The rows of an organisation.
pub struct Rows {
    org_id: Uuid,
    /// Names of all rows with an id.
    names: HashMap<String, String>,
    ids: HashMap<String, Uuid>,
    hashes: HashMap<String, String>,
    fences: HashMap<String, i64>,
    /// Lines of known rows, which mostly stay the same.
    known: HashMap<String, String>,
    lines: Vec<String>,
}

impl Rows {
    /// `names` contains the ids that are known from the start: organisation, users and sessions.
    pub fn new(org_id: Uuid, names: HashMap<String, String>) -> Self {
        let (ids, hashes, fences) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { org_id, names, ids, hashes, fences, known: HashMap::new(), lines: Vec::new() }
    }

    pub async fn read(&mut self, connection: &mut PgConnection) -> Result<()> {
        let query = sqlx::query_as(ROWS).bind(self.org_id);
        let texts: Vec<(String, String)> = query.fetch_all(connection).await.context("reading the rows")?;
        let mut new = Vec::new();
        for (table, text) in &texts {
            if !self.known.contains_key(text) {
                let row: Value = serde_json::from_str(text)?;
                self.name(table, &row);
                new.push((table, text, row));
            }
        }
        for (table, text, row) in new {
            let line = self.line(table, &row);
            self.known.insert(text.clone(), line);
        }
        self.lines = texts.iter().filter_map(|(_, text)| self.known.get(text).cloned()).collect();
        Ok(())
    }

    /// Names a row. Events are read before the rows that are named after them.
    fn name(&mut self, table: &str, row: &Value) {
        let name = match table {
            "events" => {
                let session = self.named(&row["session_id"]);
                format!("event {}#{}", session.trim_start_matches("session "), row["seq"])
            }
            "deliveries" => {
                let (agent, tool) = (plain(&row["agent_id"]), plain(&row["tool"]));
                format!("delivery of {} to {agent}.{tool}", self.named(&row["event_id"]))
            }
            "escalations" => format!("escalation by {}", self.named(&row["event_id"])),
            _ => return,
        };
        if let Some(fence) = row["fence"].as_i64() {
            self.fences.insert(name.clone(), fence);
        }
        if let Some(hash) = row["subject_hash"].as_str() {
            self.hashes.insert(name.clone(), hash.to_owned());
        }
        if let Ok(id) = plain(&row["id"]).parse() {
            self.ids.insert(name.clone(), id);
        }
        self.names.insert(plain(&row["id"]), name);
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

    /// Returns a line for each row, in the model's format.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    fn named(&self, id: &Value) -> String {
        let id = plain(id);
        self.names.get(&id).cloned().unwrap_or(id)
    }

    /// Replaces ids by names, and times and hashes by constants.
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

    fn line(&self, table: &str, row: &Value) -> String {
        match table {
            "sessions" => {
                format!("{}: with {}, ended {}", self.named(&row["id"]), plain(&row["agent"]), row["ended"])
            }
            "events" => {
                let payload = canonical(&self.document(&row["payload"]));
                let (kind, by) = (plain(&row["type"]), plain(&row["actor_type"]));
                let (name, actor) = (self.named(&row["id"]), self.named(&row["actor_id"]));
                format!("{name}: {kind} by {by} {actor}: {payload}")
            }
            "deliveries" => format!(
                "{}: {} error {} attempts {} place {} depth {} about {} resumes {} inputs {} \
                 run {} call {} follows {} in turn {}",
                self.named(&row["id"]),
                plain(&row["status"]),
                plain(&row["error"]),
                row["attempts"],
                row["seq"],
                row["depth"],
                self.named(&row["about_event_id"]),
                self.named(&row["resumes"]),
                canonical(&self.document(&row["inputs"])),
                self.named(&row["run_id"]),
                plain(&row["call_id"]),
                row["follows_tool_output"],
                row["in_turn"],
            ),
            "threads" => {
                let mut items: Vec<String> =
                    row["items"].as_array().into_iter().flatten().map(plain).collect();
                items.sort();
                let (name, agent) = (self.named(&row["id"]), plain(&row["agent_id"]));
                format!("{name}: with {agent}, items {}", items.join(", "))
            }
            "runs" => format!(
                "{}: {} of {} in {} {} stop requested {}",
                self.named(&row["id"]),
                plain(&row["agent_id"]),
                self.named(&row["session_id"]),
                self.named(&row["thread_id"]),
                plain(&row["status"]),
                row["stop_requested"],
            ),
            "escalations" => self.escalation_line(row),
            _ => {
                let amount = Magnitude::parse(&plain(&row["amount"])).map(|amount| amount.to_string());
                format!(
                    "auto call of {}: {} {} {} counts {}",
                    self.named(&row["delivery_id"]),
                    amount.unwrap_or_else(|| plain(&row["amount"])),
                    plain(&row["currency"]),
                    plain(&row["unit"]),
                    row["counts"],
                )
            }
        }
    }

    fn escalation_line(&self, row: &Value) -> String {
        let decisions: Vec<String> = row["decisions"].as_array().into_iter().flatten().map(plain).collect();
        format!(
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
        )
    }
}

/// Returns a string without quotes; `-` for null.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Serializes JSON with sorted keys.
pub fn canonical(document: &Value) -> String {
    let mut document = document.clone();
    document.sort_all_objects();
    document.to_string()
}
