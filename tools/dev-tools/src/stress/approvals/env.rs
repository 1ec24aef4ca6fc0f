//! Executes histories on a database of its own for each worker, with the roles that the functions
//! use.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use uuid::Uuid;

use super::apply::StepResult;
use super::chat_requests::{ChatAnswer, add_names};
use super::messages;
use super::operations::{Membership, Operation, Setup, people};
use super::outcomes;
use super::registry::{Agent, Role};
use super::rows::Rows;
use super::state::{Rejection, State, person_name, session_name};
use crate::stress::rpc::{Catalogue, RpcError, arguments};
use local_stack::postgres::{Database, Grants};

/// Maximum number of claims until nothing is due.
const MAX_CLAIMS: usize = 60;

/// A database, with the connections of a dispatcher and of an operator.
pub struct HistoryDb {
    // Closed before the database is dropped.
    service: PgConnection,
    pub(super) operator: PgConnection,
    catalogue: Catalogue,
    database: Database,
}

pub struct HistoryIds {
    pub org_id: Uuid,
    stranger_org_id: Uuid,
    pub(super) people: Vec<Uuid>,
    pub(super) sessions: Vec<Uuid>,
    names: HashMap<String, String>,
    roles: [Role; people::COUNT],
}

impl HistoryDb {
    pub async fn new() -> Result<Self> {
        let database = Database::create(Grants::default()).await?;
        let mut service = database.connect("authenticator").await?;
        service.execute("set role service_role").await.context("setting the role service_role")?;
        let mut operator = database.connect("supabase_admin").await?;
        let catalogue = Catalogue::read(&mut operator).await?;
        Ok(Self { service, operator, catalogue, database })
    }

    pub async fn definition(&mut self, function: &str) -> Result<String> {
        let definition = sqlx::query_scalar("select pg_get_functiondef($1::regproc)").bind(function);
        definition.fetch_one(&mut self.operator).await.with_context(|| function.to_owned())
    }

    /// Executes a statement that changes the database.
    pub async fn apply(&mut self, statement: &str) -> Result<()> {
        let statement = AssertSqlSafe(statement.to_owned());
        self.operator.execute(sqlx::raw_sql(statement)).await.context("changing the database")?;
        Ok(())
    }

    pub async fn remove(self) -> Result<()> {
        drop((self.service, self.operator));
        self.database.remove().await
    }

    /// Vacuums the tables after many histories.
    pub async fn vacuum(&mut self) -> Result<()> {
        self.operator.execute("vacuum").await.context("vacuuming")?;
        Ok(())
    }

    pub(super) async fn call(
        &mut self,
        name: &str,
        params: Map<String, Value>,
    ) -> Result<Result<Value, RpcError>> {
        self.catalogue.call(&mut self.service, name, &params).await
    }

    pub(super) async fn call_or_fail(&mut self, name: &str, params: Map<String, Value>) -> Result<Value> {
        match self.call(name, params).await? {
            Ok(answer) => Ok(answer),
            Err(error) => bail!("{name} failed: {error:?}"),
        }
    }

    /// Creates the users, agents and sessions of a history.
    pub async fn begin(&mut self, setup: &Setup) -> Result<HistoryIds> {
        let new_ids = |count: usize| -> Vec<Uuid> { (0..count).map(|_| Uuid::new_v4()).collect() };
        let mut sessions: Vec<Uuid> = setup.sessions.iter().map(|_| Uuid::now_v7()).collect();
        // Dispatchers claim sessions in the order of their ids.
        sessions.sort_unstable();
        let mut ids = HistoryIds {
            org_id: Uuid::new_v4(),
            stranger_org_id: Uuid::new_v4(),
            people: new_ids(people::COUNT),
            sessions,
            names: HashMap::new(),
            roles: setup.roles,
        };
        ids.names.insert(ids.org_id.to_string(), "organisation".to_owned());
        for (place, id) in ids.people.iter().enumerate() {
            ids.names.insert(id.to_string(), person_name(place));
        }
        for (place, id) in ids.sessions.iter().enumerate() {
            ids.names.insert(id.to_string(), session_name(place));
        }
        let mut names = std::mem::take(&mut ids.names);
        add_names(&ids, &mut names);
        ids.names = names;
        // A history sends more than people do in a minute.
        let limits =
            arguments([("p_org_id", json!(ids.org_id)), ("p_turns_per_minute_user", json!(100_000))]);
        self.call_or_fail("set_org_limits", limits).await?;
        for person in 0..people::COUNT {
            self.set_membership(&ids, person, Membership::Restored).await?;
        }
        for agent in &setup.agents {
            self.register(&ids, agent).await?;
            let mut params = agent.server.registration();
            params.extend(arguments([("p_org_id", json!(ids.org_id)), ("p_agent_id", json!(agent.id))]));
            self.call_or_fail("register_agent_server", params).await?;
        }
        for (session, metadata) in setup.sessions.iter().enumerate() {
            self.open_session(&ids, session, metadata).await?;
        }
        Ok(ids)
    }

    /// Clears due work of a history, so that it does not affect the next one.
    pub async fn end(&mut self, ids: &HistoryIds) -> Result<()> {
        for statement in [
            "delete from delivery_queues where org_id = $1",
            "update chat_escalations set status = 'withdrawn', closed_at = clock_timestamp()
             where org_id = $1 and status = 'open'",
            "update chat_runs set status = 'interrupted', finished_at = clock_timestamp(), last_item_seq = 1
             where org_id = $1 and status = 'running'",
        ] {
            sqlx::query(statement).bind(ids.org_id).execute(&mut self.operator).await?;
        }
        Ok(())
    }

    async fn register(&mut self, ids: &HistoryIds, agent: &Agent) -> Result<()> {
        let roles = agent
            .allowed_org_roles
            .as_ref()
            .map(|roles| roles.iter().map(|role| role.name()).collect::<Vec<_>>());
        let params = arguments([
            ("p_org_id", json!(ids.org_id)),
            ("p_agent_id", json!(agent.id)),
            ("p_display_name", json!(agent.id)),
            ("p_description", json!("")),
            ("p_model", json!("gpt-5-mini")),
            ("p_enabled", json!(agent.enabled)),
            ("p_allowed_org_roles", json!(roles)),
        ]);
        self.call_or_fail("register_agent", params).await.map(drop)
    }

    async fn set_membership(
        &mut self,
        ids: &HistoryIds,
        person: usize,
        membership: Membership,
    ) -> Result<()> {
        let org_id = if person == people::STRANGER { ids.stranger_org_id } else { ids.org_id };
        let role = match membership {
            Membership::Role(role) => role,
            _ => ids.roles[person],
        };
        let metadata = if membership == Membership::Dismissed {
            json!({})
        } else {
            json!({ "org_id": org_id, "org_role": role.name() })
        };
        let statement = "insert into auth.users (id, aud, role, raw_app_meta_data, is_anonymous, banned_until, deleted_at)
            values ($1, 'authenticated', 'authenticated', $2, $3, case when $4 then timestamptz '2100-01-01' end,
                    case when $5 then now() end)
            on conflict (id) do update set raw_app_meta_data = excluded.raw_app_meta_data,
              is_anonymous = excluded.is_anonymous, banned_until = excluded.banned_until,
              deleted_at = excluded.deleted_at";
        sqlx::query(statement)
            .bind(ids.people[person])
            .bind(metadata)
            .bind(membership == Membership::Anonymous)
            .bind(membership == Membership::Banned)
            .bind(membership == Membership::Deleted)
            .execute(&mut self.operator)
            .await?;
        Ok(())
    }

    /// Executes a step. `before` is the model before the step, which names its rows.
    pub async fn execute(
        &mut self,
        ids: &HistoryIds,
        before: &State,
        rows: &mut Rows,
        operation: &Operation,
    ) -> Result<StepResult> {
        let mut done = StepResult::default();
        let mut calls = Vec::new();
        let outcome: Result<Value, RpcError> = match operation {
            Operation::Claim => {
                calls = self.claim().await?;
                Ok(Value::Null)
            }
            Operation::Record { session, person, events } => {
                let events: Option<Vec<Value>> =
                    events.iter().map(|input| messages::event(before, rows, input)).collect();
                let params = arguments([
                    ("p_org_id", json!(ids.org_id)),
                    ("p_user_id", json!(ids.people[*person])),
                    ("p_session_id", json!(ids.sessions[*session])),
                    ("p_actor_type", json!("user")),
                    ("p_actor_id", json!(ids.people[*person])),
                    ("p_events", json!(events.context("the event refers to a missing row")?)),
                ]);
                self.call("record_events", params).await?
            }
            Operation::Finish { delivery, outcome, stale } => {
                let name = before.delivery_name(*delivery);
                let fence = rows.fence(&name) + if *stale { 7 } else { 0 };
                let params = arguments([
                    ("p_delivery_id", json!(rows.id(&name))),
                    ("p_fence", json!(fence)),
                    ("p_outcome", outcomes::to_json(outcome)),
                ]);
                let answer = self.call("finish_delivery", params).await?;
                done.flag = answer.as_ref().ok().and_then(|answer| answer["finished"].as_bool());
                answer
            }
            Operation::Decide { person, escalation, choice } => {
                let name = before.escalation_name(*escalation);
                let params = arguments([
                    ("p_org_id", json!(ids.org_id)),
                    ("p_user_id", json!(ids.people[*person])),
                    ("p_escalation_id", json!(rows.id(&name))),
                    ("p_decision", json!(choice.decision)),
                    ("p_subject_hash", json!(messages::hash(rows, &name, choice))),
                    ("p_answer", choice.answer.clone().unwrap_or_default()),
                ]);
                let answer = self.call("decide_escalation", params).await?;
                done.flag = answer.as_ref().ok().and_then(|answer| answer["replayed"].as_bool());
                answer
            }
            Operation::Replay { delivery, foreign } => {
                let org_id = if *foreign { ids.stranger_org_id } else { ids.org_id };
                let id = rows.id(&before.delivery_name(*delivery));
                let params = arguments([("p_org_id", json!(org_id)), ("p_delivery_id", json!(id))]);
                let answer = self.call("replay_delivery", params).await?;
                done.flag = answer.as_ref().ok().and_then(|answer| answer["replayed"].as_bool());
                answer
            }
            Operation::Register { agent, server } => {
                let mut params = server.registration();
                params.extend(arguments([
                    ("p_org_id", json!(ids.org_id)),
                    ("p_agent_id", json!(before.agents[*agent].id)),
                ]));
                self.call("register_agent_server", params).await?
            }
            Operation::Change { agent, enabled, allowed_org_roles } => {
                let changed = Agent {
                    enabled: *enabled,
                    allowed_org_roles: allowed_org_roles.clone(),
                    ..before.agents[*agent].clone()
                };
                self.register(ids, &changed).await?;
                Ok(Value::Null)
            }
            Operation::Person { person, change } => {
                self.set_membership(ids, *person, *change).await?;
                Ok(Value::Null)
            }
            Operation::End { session } => {
                let params = arguments([
                    ("p_org_id", json!(ids.org_id)),
                    ("p_user_id", json!(ids.people[people::REQUESTER])),
                    ("p_session_id", json!(ids.sessions[*session])),
                ]);
                self.call("cancel_session", params).await?
            }
            Operation::Advance { seconds } => {
                self.advance(ids, *seconds).await?;
                Ok(Value::Null)
            }
            Operation::Chat(operation) => {
                let ChatAnswer { answer, outcome, flag, call } =
                    self.execute_chat(ids, before, operation).await?;
                (done.outcome, done.flag) = (outcome, flag);
                calls.extend(call);
                answer
            }
            Operation::Expire => {
                self.call("expire_escalations", arguments([("p_limit", json!(1000))])).await?
            }
        };
        if let Err(error) = outcome {
            let Some(status) = error.status() else { bail!("an unexpected SQL state: {error:?}") };
            done.rejection = Some(Rejection(status, Box::leak(error.message.into_boxed_str())));
        }
        rows.read(&mut self.operator).await?;
        done.sent = calls.iter().map(|call| messages::sent(rows, call)).collect();
        Ok(done)
    }

    pub async fn rows(&mut self, ids: &HistoryIds) -> Result<Rows> {
        let mut rows = Rows::new(ids.org_id, ids.names.clone());
        rows.read(&mut self.operator).await?;
        Ok(rows)
    }

    async fn claim(&mut self) -> Result<Vec<Value>> {
        let mut calls = Vec::new();
        for _ in 0..MAX_CLAIMS {
            let params = arguments([
                ("p_limit", json!(100)),
                ("p_lease_seconds", json!(super::calls::LEASE)),
                ("p_claim_id", json!(Uuid::now_v7())),
            ]);
            let answer = self.call_or_fail("claim_deliveries", params).await?;
            let claimed = answer["deliveries"].as_array().context("the response has no deliveries")?;
            calls.extend(claimed.iter().cloned());
            if claimed.is_empty() && answer["next_due_in_seconds"] != 0 {
                return Ok(calls);
            }
        }
        bail!("deliveries are still due after the maximum number of claims")
    }

    /// Moves every time of the organisation into the past.
    async fn advance(&mut self, ids: &HistoryIds, seconds: i64) -> Result<()> {
        for statement in [
            "update deliveries set next_attempt_at = next_attempt_at - make_interval(secs => $2),
               lease_until = lease_until - make_interval(secs => $2) where org_id = $1",
            "update chat_escalations set created_at = created_at - make_interval(secs => $2),
               expires_at = expires_at - make_interval(secs => $2) where org_id = $1",
            "update chat_runs set lease_until = lease_until - make_interval(secs => $2) where org_id = $1",
            "update auto_call_amounts set begun_at = begun_at - make_interval(secs => $2) where org_id = $1",
        ] {
            let update = sqlx::query(statement).bind(ids.org_id).bind(seconds as f64);
            update.execute(&mut self.operator).await.context("moving times into the past")?;
        }
        ensure!(seconds > 0, "time can only advance");
        Ok(())
    }
}
