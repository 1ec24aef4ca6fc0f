//! Histories made up at random, and written straight into the tables: of times long past, at and beside the bounds of hours
//! and days, and of all that may become of a session, an escalation and a delivery.

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

/// How the rows of a batch stand in the tables; there are no plans and queues to be kept for them.
const WRITE: [&str; 4] = [
    "insert into public.chat_sessions (id, org_id, user_id, channel, agent_id, status, created_at, ended_at, end_reason,
       last_activity_at, last_event_seq)
     select id, org_id, org_id, channel, agent_id, case when ended_at is null then 'active' else 'ended' end, created_at,
       ended_at, end_reason, created_at, events
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
];

/// What happens late to what is there: sessions end and go to other agents, escalations are closed, deliveries finished.
const LATER: [&str; 3] = [
    // Nothing is asked or sent in a session after its end.
    "update public.chat_sessions as s
     set status = 'ended', ended_at = l.last + (now() - l.last) * random(),
         end_reason = (array['cancelled', 'expired', 'failed'])[1 + floor(random() * 3)::integer]
     from (
       select s.id, greatest(
         s.created_at,
         (select max(x.created_at) from public.chat_escalations as x where x.session_id = s.id),
         (select max(d.created_at) from public.deliveries as d where d.session_id = s.id)
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

pub struct History {
    pub rng: Rng,
    /// Now, a little ago.
    now: Micros,
    batches: i64,
}

impl History {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), now: Timestamp::now().as_microsecond() - 60 * SECOND, batches: 0 }
    }

    /// Some moment of the last days, often one at which something else begins or ends.
    pub fn moment(&mut self) -> Micros {
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

    /// Some moment after this one, not long after as a rule.
    fn after(&mut self, at: Micros) -> Micros {
        let later = match self.rng.u8(0..6) {
            0 => at,
            1 => at + HOUR,
            2 => at + HOUR + 1,
            3 => self.moment(),
            _ => at + self.rng.i64(0..30 * HOUR),
        };
        later.clamp(at, self.now.max(at))
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.rng.usize(0..words.len())]
    }

    /// Some more sessions of these organisations, with all that belongs to them.
    pub async fn go_on(&mut self, stack: &LocalStack, organisations: &[Uuid], sessions: usize) -> Result<()> {
        let (mut all, mut deliveries, mut escalations) = (Vec::new(), Vec::new(), Vec::new());
        for org_id in organisations.iter().cycle().take(sessions) {
            let (id, created) = (Uuid::new_v4(), self.moment());
            let ended = (self.rng.u8(0..4) > 0).then(|| self.after(created));
            let reason = self.one_of(&["cancelled", "cancelled", "expired", "failed"]);
            all.push(json!({
                "id": id, "org_id": org_id, "channel": self.one_of(&["web", "web", "voice"]), "agent_id": self.one_of(&AGENTS),
                "created_at": time(created)?, "ended_at": ended.map(time).transpose()?,
                "end_reason": ended.map(|_| reason), "events": self.rng.u8(0..6),
            }));
            let last = ended.unwrap_or(self.now).max(created);
            let mut about: Vec<(Uuid, Micros, &str, &str)> = Vec::new();
            for _ in 0..self.rng.u8(0..4) {
                let at = self.after(created).min(last);
                let (delivery, agent, tool) = (Uuid::new_v4(), self.one_of(&AGENTS), self.one_of(&TOOLS));
                let status = self.one_of(&[
                    "done",
                    "done",
                    "done",
                    "dead",
                    "unknown",
                    "withdrawn",
                    "pending",
                    "asked",
                ]);
                let finished_as = self.one_of(&["done", "done", "done", "asked", "pending", ""]);
                let resumes = about.last().filter(|_| self.rng.bool()).map(|(id, ..)| *id);
                deliveries.push(json!({
                    "id": delivery, "org_id": org_id, "session_id": id, "agent_id": agent, "tool": tool, "status": status,
                    "finished_as": Some(finished_as).filter(|word| !word.is_empty()), "resumes": resumes,
                    "fence": self.rng.u8(0..4), "created_at": time(at)?,
                }));
                about.push((delivery, at, agent, tool));
            }
            for i in 0..self.rng.usize(0..3) {
                // Each delivery at most once, as no two may be open about one.
                let about = about.get(i).filter(|_| self.rng.u8(0..3) > 0);
                let at = self.after(about.map_or(created, |(_, at, ..)| *at)).min(last);
                let mut status = self.one_of(&["resolved", "resolved", "expired", "withdrawn", "open"]);
                if ended.is_some() && status == "open" {
                    status = "withdrawn";
                }
                let closed = (status != "open").then(|| self.after(at));
                escalations.push(json!({
                    "org_id": org_id, "session_id": id, "status": status, "created_at": time(at)?,
                    "closed_at": closed.map(time).transpose()?, "delivery_id": about.map(|(id, ..)| id),
                    "agent_id": about.map(|(_, _, agent, _)| agent), "tool": about.map(|(_, _, _, tool)| tool), "confirm": self.rng.u8(0..4) == 0,
                }));
            }
        }
        self.batches += 1;
        let batch = json!({ "sessions": all, "deliveries": deliveries, "escalations": escalations });
        self.write(stack, &WRITE, &batch).await
    }

    /// What becomes of it all later.
    pub async fn move_on(&mut self, stack: &LocalStack) -> Result<()> {
        self.write(stack, &LATER, &Value::Null).await
    }

    async fn write(&self, stack: &LocalStack, statements: &[&'static str], batch: &Value) -> Result<()> {
        let mut transaction = stack.database().begin().await?;
        // No trigger gets between: the rows are as they would be afterwards.
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

fn time(at: Micros) -> Result<String> {
    Ok(Timestamp::from_microsecond(at)?.to_string())
}
