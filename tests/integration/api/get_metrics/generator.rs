//! Generates random histories and writes them into the tables. Their times are in the past, often
//! at or next to the bounds of hours and days, and their rows have every status.

use anyhow::Result;
use fastrand::Rng;
use jiff::Timestamp;
use local_stack::LocalStack;
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::Micros;

const SECOND: Micros = 1_000_000;
const HOUR: Micros = 3600 * SECOND;
const DAY: Micros = 24 * HOUR;

const AGENTS: [&str; 3] = ["accounts_payable", "tax_compliance", "cfo_strategy"];
const TOOLS: [&str; 2] = ["pay", "check"];

/// Statements that insert one batch.
const INSERTS: [&str; 5] = [
    "insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, provider, status, created_at, ended_at,
       end_reason, last_activity_at, last_event_seq)
     select id, org_id, org_id, channel, agent_id, 'openai_hosted', case when ended_at is null then 'active' else 'ended' end,
       created_at, ended_at, end_reason, created_at, events
     from jsonb_to_recordset($1 -> 'sessions') as r (id uuid, org_id uuid, channel text, agent_id text,
       created_at timestamptz, ended_at timestamptz, end_reason text, events bigint)",
    "insert into public.chat_events (org_id, user_id, session_id, id, seq, type, payload, actor_type, created_at)
     select org_id, org_id, id, gen_random_uuid(), seq, 'custom_x', '{}', 'user', created_at
     from jsonb_to_recordset($1 -> 'sessions') as r (id uuid, org_id uuid, created_at timestamptz, events bigint),
       generate_series(1, events) as seq",
    "insert into public.deliveries (id, org_id, user_id, session_id, event_id, seq, agent_id, tool, about_event_id,
       root_event_id, status, finished_as, resumes, fence, error, lease_until, created_at, finished_at)
     select id, org_id, org_id, session_id, gen_random_uuid(), row_number() over () + 1000 * $2, agent_id, tool,
       gen_random_uuid(), gen_random_uuid(), status, finished_as, resumes, fence,
       case when status in ('dead', 'unknown') then 'gone_wrong' end, null, created_at,
       case when status not in ('pending', 'running') then created_at end
     from jsonb_to_recordset($1 -> 'deliveries') as r (id uuid, org_id uuid, session_id uuid, agent_id text, tool text,
       status text, finished_as text, resumes uuid, fence bigint, created_at timestamptz)",
    "insert into public.chat_escalations (id, org_id, user_id, session_id, event_id, origin, reason, decisions, status,
       created_at, expires_at, closed_at, kind, approver, delivery_id, subject, decision, decided_by, decided_at,
       decision_event_id)
     select gen_random_uuid(), org_id, org_id, session_id, gen_random_uuid(),
       case when delivery_id is null then 'browser' else 'orchestrator' end, 'Why?', array['approve'], status, created_at,
       created_at + interval '30 days', closed_at,
       case when delivery_id is null then 'browser' when r.confirm then 'confirm' else 'policy' end,
       case when delivery_id is null or r.confirm then 'self' else 'other' end, delivery_id,
       case when delivery_id is null then '{}'
            else jsonb_build_object('deliveryId', delivery_id, 'agentId', agent_id, 'tool', tool) end,
       case when status = 'resolved' then 'approve' end, case when status = 'resolved' then org_id end,
       case when status = 'resolved' then closed_at end, case when status = 'resolved' then gen_random_uuid() end
     from jsonb_to_recordset($1 -> 'escalations') as r (org_id uuid, session_id uuid, status text, created_at timestamptz,
       closed_at timestamptz, delivery_id uuid, agent_id text, tool text, confirm boolean)",
    "insert into public.chat_runs (id, org_id, user_id, session_id, thread_id, agent_id, secret_hash, request_key,
       request_hash, status, question_seq, preceding_item_seq, last_item_seq, started_at, lease_until, finished_at,
       input_tokens, output_tokens)
     select gen_random_uuid(), org_id, org_id, session_id, 'thr_' || gen_random_uuid(), 'cfo_strategy', 'x', 'x', 'x',
       status, 1, 1, case when status <> 'running' then 2 end, started_at, started_at,
       case when status <> 'running' then started_at end, input_tokens, output_tokens
     from jsonb_to_recordset($1 -> 'runs') as r (org_id uuid, session_id uuid, status text, started_at timestamptz,
       input_tokens bigint, output_tokens bigint)",
];

/// Statements that change existing rows: sessions end or move to another agent, escalations close.
const LATER_CHANGES: [&str; 3] = [
    // A session must not end before its last escalation, delivery or response.
    "update public.chat_sessions as s
     set status = 'ended', ended_at = l.last + (now() - l.last) * random(),
         end_reason = (array['cancelled', 'expired', 'failed'])[1 + floor(random() * 3)::integer]
     from (
       select s.id, greatest(
         s.created_at,
         (select max(x.created_at) from public.chat_escalations as x where x.session_id = s.id),
         (select max(d.created_at) from public.deliveries as d where d.session_id = s.id),
         (select max(r.started_at) from public.chat_runs as r where r.session_id = s.id)
       ) as last
       from public.chat_sessions as s
     ) as l
     where l.id = s.id and s.status = 'active' and random() < 0.5",
    "update public.chat_sessions set agent_id = 'cfo_strategy' where random() < 0.2",
    "update public.chat_escalations
     set status = (array['expired', 'withdrawn'])[1 + floor(random() * 2)::integer],
         closed_at = created_at + (now() - created_at) * random()
     where status = 'open' and random() < 0.7",
];

pub struct HistoryGenerator {
    pub rng: Rng,
    /// A minute before the generator was created, so that no row is in the future.
    now: Micros,
    batches: i64,
}

impl HistoryGenerator {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), now: Timestamp::now().as_microsecond() - 60 * SECOND, batches: 0 }
    }

    /// A random time of the last four days, often at or next to the bound of an hour or a day.
    pub fn time(&mut self) -> Micros {
        let at = self.now - self.rng.i64(0..4 * DAY);
        let length = *self.rng.choice(&[HOUR, DAY]).unwrap_or(&HOUR);
        let bound = (at / length * length).max(self.now - 4 * DAY);
        match self.rng.u8(0..8) {
            0..=3 => at,
            4 | 5 => bound,
            6 => bound + 1,
            _ => bound - 1,
        }
    }

    /// A random time that is not before `at`.
    fn time_after(&mut self, at: Micros) -> Micros {
        let later = match self.rng.u8(0..6) {
            0 => at,
            1 => at + HOUR,
            2 => at + HOUR + 1,
            3 => self.time(),
            _ => at + self.rng.i64(0..30 * HOUR),
        };
        later.clamp(at, self.now.max(at))
    }

    fn choose<'a>(&mut self, values: &[&'a str]) -> &'a str {
        values[self.rng.usize(0..values.len())]
    }

    /// Adds sessions of these organisations, with events, escalations, deliveries and responses.
    pub async fn add_sessions(
        &mut self,
        stack: &LocalStack,
        organisations: &[Uuid],
        count: usize,
    ) -> Result<()> {
        let (mut sessions, mut deliveries, mut escalations) = (Vec::new(), Vec::new(), Vec::new());
        let mut runs = Vec::new();
        for org_id in organisations.iter().cycle().take(count) {
            let (id, created) = (Uuid::new_v4(), self.time());
            let ended = (self.rng.u8(0..4) > 0).then(|| self.time_after(created));
            let reason = self.choose(&["cancelled", "cancelled", "expired", "failed"]);
            sessions.push(json!({
                "id": id, "org_id": org_id, "channel": self.choose(&["web", "web", "voice"]),
                "agent_id": self.choose(&AGENTS),
                "created_at": rfc3339(created)?, "ended_at": ended.map(rfc3339).transpose()?,
                "end_reason": ended.map(|_| reason), "events": self.rng.u8(0..6),
            }));
            let last = ended.unwrap_or(self.now).max(created);
            let mut session_deliveries: Vec<(Uuid, Micros, &str, &str)> = Vec::new();
            for _ in 0..self.rng.u8(0..4) {
                let at = self.time_after(created).min(last);
                let (delivery, agent, tool) = (Uuid::new_v4(), self.choose(&AGENTS), self.choose(&TOOLS));
                let status = self.choose(&[
                    "done",
                    "done",
                    "done",
                    "dead",
                    "unknown",
                    "withdrawn",
                    "pending",
                    "asked",
                ]);
                let finished_as = self.choose(&["done", "done", "done", "asked", "pending", ""]);
                let resumes = session_deliveries.last().filter(|_| self.rng.bool()).map(|(id, ..)| *id);
                deliveries.push(json!({
                    "id": delivery, "org_id": org_id, "session_id": id, "agent_id": agent,
                    "tool": tool, "status": status,
                    "finished_as": Some(finished_as).filter(|status| !status.is_empty()), "resumes": resumes,
                    "fence": self.rng.u8(0..4), "created_at": rfc3339(at)?,
                }));
                session_deliveries.push((delivery, at, agent, tool));
            }
            for _ in 0..self.rng.u8(0..4) {
                let at = self.time_after(created).min(last);
                let status = self.choose(&[
                    "completed",
                    "completed",
                    "incomplete",
                    "stopped",
                    "failed",
                    "interrupted",
                    "running",
                ]);
                let has_tokens = status != "running" && self.rng.bool();
                runs.push(json!({
                    "org_id": org_id, "session_id": id, "status": status, "started_at": rfc3339(at)?,
                    "input_tokens": has_tokens.then(|| self.rng.u32(..)),
                    "output_tokens": has_tokens.then(|| self.rng.u16(..)),
                }));
            }
            for i in 0..self.rng.usize(0..3) {
                // A delivery has at most one open escalation.
                let about = session_deliveries.get(i).filter(|_| self.rng.u8(0..3) > 0);
                let at = self.time_after(about.map_or(created, |(_, at, ..)| *at)).min(last);
                let mut status = self.choose(&["resolved", "resolved", "expired", "withdrawn", "open"]);
                if ended.is_some() && status == "open" {
                    status = "withdrawn";
                }
                let closed = (status != "open").then(|| self.time_after(at));
                escalations.push(json!({
                    "org_id": org_id, "session_id": id, "status": status, "created_at": rfc3339(at)?,
                    "closed_at": closed.map(rfc3339).transpose()?, "delivery_id": about.map(|(id, ..)| id),
                    "agent_id": about.map(|(_, _, agent, _)| agent),
                    "tool": about.map(|(_, _, _, tool)| tool), "confirm": self.rng.u8(0..4) == 0,
                }));
            }
        }
        self.batches += 1;
        let batch = json!({
            "sessions": sessions, "deliveries": deliveries, "escalations": escalations, "runs": runs,
        });
        self.write(stack, &INSERTS, &batch).await
    }

    pub async fn change_sessions(&mut self, stack: &LocalStack) -> Result<()> {
        self.write(stack, &LATER_CHANGES, &Value::Null).await
    }

    async fn write(&self, stack: &LocalStack, statements: &[&'static str], batch: &Value) -> Result<()> {
        let mut transaction = stack.database().begin().await?;
        // Triggers are off, because the rows contain the values that triggers would set.
        sqlx::query("set local session_replication_role = replica").execute(&mut *transaction).await?;
        for statement in statements {
            let query = sqlx::query(*statement);
            let query = if batch.is_null() {
                query
            } else if statement.contains("$2") {
                query.bind(batch).bind(self.batches)
            } else {
                query.bind(batch)
            };
            query.execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }
}

fn rfc3339(at: Micros) -> Result<String> {
    Ok(Timestamp::from_microsecond(at)?.to_string())
}
