//! Where histories are executed: a database of its own for each worker, reached as the functions reach it.

use std::collections::HashMap;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Value, json};
use sqlx::{AssertSqlSafe, Executor, PgConnection};
use uuid::Uuid;

use super::apply::Done;
use super::messages;
use super::operations::{Membership, Operation, Setup, people};
use super::outcomes;
use super::registry::{Agent, Role};
use super::rows::Rows;
use super::state::{Refusal, State, person_name, session_name};
use crate::stress::rpc::{Catalogue, Failure, arguments};
use local_stack::postgres::{Database, Grants};

/// As often as a router claims until nothing is due.
const MOST_CLAIMS: usize = 60;

/// A database, and the connections of a router and of an operator.
pub struct Arena {
    // Closed before the database is removed.
    service: PgConnection,
    operator: PgConnection,
    catalogue: Catalogue,
    database: Database,
}

/// The ids of a history.
pub struct Cast {
    pub org_id: Uuid,
    stranger_org_id: Uuid,
    people: Vec<Uuid>,
    sessions: Vec<Uuid>,
    names: HashMap<String, String>,
    roles: [Role; people::COUNT],
}

impl Arena {
    /// One in a fresh database.
    pub async fn new() -> Result<Self> {
        let database = Database::create(Grants::default()).await?;
        let mut service = database.connect("authenticator").await?;
        service.execute("set role service_role").await.context("becoming service_role")?;
        let mut operator = database.connect("supabase_admin").await?;
        let catalogue = Catalogue::read(&mut operator).await?;
        Ok(Self { service, operator, catalogue, database })
    }

    /// The statement that makes a function.
    pub async fn definition(&mut self, function: &str) -> Result<String> {
        let definition = sqlx::query_scalar("select pg_get_functiondef($1::regproc)").bind(function);
        definition.fetch_one(&mut self.operator).await.with_context(|| function.to_owned())
    }

    /// Changes the database.
    pub async fn apply(&mut self, statement: &str) -> Result<()> {
        let statement = AssertSqlSafe(statement.to_owned());
        self.operator.execute(sqlx::raw_sql(statement)).await.context("changing the database")?;
        Ok(())
    }

    pub async fn remove(self) -> Result<()> {
        drop((self.service, self.operator));
        self.database.remove().await
    }

    /// Makes a database as it was again: the planner's and the tables' leftovers of many histories are removed.
    pub async fn vacuum(&mut self) -> Result<()> {
        self.operator.execute("vacuum").await.context("vacuuming")?;
        Ok(())
    }

    async fn call(&mut self, name: &str, given: Map<String, Value>) -> Result<Result<Value, Failure>> {
        self.catalogue.call(&mut self.service, name, &given).await
    }

    async fn insist(&mut self, name: &str, given: Map<String, Value>) -> Result<Value> {
        match self.call(name, given).await? {
            Ok(answer) => Ok(answer),
            Err(failure) => bail!("{name} failed: {failure:?}"),
        }
    }

    /// Begins a history.
    pub async fn begin(&mut self, setup: &Setup) -> Result<Cast> {
        let ids = |count: usize| -> Vec<Uuid> { (0..count).map(|_| Uuid::new_v4()).collect() };
        let mut sessions: Vec<Uuid> = setup.sessions.iter().map(|_| Uuid::now_v7()).collect();
        // Sessions are claimed in the order of their ids.
        sessions.sort_unstable();
        let mut cast = Cast {
            org_id: Uuid::new_v4(),
            stranger_org_id: Uuid::new_v4(),
            people: ids(people::COUNT),
            sessions,
            names: HashMap::new(),
            roles: setup.roles,
        };
        cast.names.insert(cast.org_id.to_string(), "organisation".to_owned());
        for (place, id) in cast.people.iter().enumerate() {
            cast.names.insert(id.to_string(), person_name(place));
        }
        for (place, id) in cast.sessions.iter().enumerate() {
            cast.names.insert(id.to_string(), session_name(place));
        }
        for person in 0..people::COUNT {
            self.enrol(&cast, person, Membership::Restored).await?;
        }
        for agent in &setup.agents {
            self.register(&cast, agent).await?;
            let mut given = agent.server.registration();
            given.extend(arguments([("p_org_id", json!(cast.org_id)), ("p_agent_id", json!(agent.id))]));
            self.insist("register_agent_server", given).await?;
        }
        // Whoever opens the sessions may open the agent; its roles are not what this is about.
        for (session, metadata) in cast.sessions.clone().into_iter().zip(&setup.sessions) {
            let given = arguments([
                ("p_org_id", json!(cast.org_id)),
                ("p_user_id", json!(cast.people[people::REQUESTER])),
                ("p_session_id", json!(session)),
                ("p_agent_id", json!("alpha")),
                ("p_channel", json!("web")),
                ("p_metadata", metadata.clone()),
            ]);
            self.insist("open_session", given).await?;
        }
        Ok(cast)
    }

    /// Ends a history: what it left due is nobody else's.
    pub async fn end(&mut self, cast: &Cast) -> Result<()> {
        for statement in [
            "delete from delivery_queues where org_id = $1",
            "update chat_escalations set status = 'withdrawn', closed_at = clock_timestamp()
             where org_id = $1 and status = 'open'",
        ] {
            sqlx::query(statement).bind(cast.org_id).execute(&mut self.operator).await?;
        }
        Ok(())
    }

    async fn register(&mut self, cast: &Cast, agent: &Agent) -> Result<()> {
        let roles = agent
            .allowed_org_roles
            .as_ref()
            .map(|roles| roles.iter().map(|role| role.name()).collect::<Vec<_>>());
        let given = arguments([
            ("p_org_id", json!(cast.org_id)),
            ("p_agent_id", json!(agent.id)),
            ("p_display_name", json!(agent.id)),
            ("p_description", json!("")),
            ("p_chatkit_workflow_id", json!("wf_1")),
            ("p_chatkit_workflow_version", json!("1")),
            ("p_enabled", json!(agent.enabled)),
            ("p_allowed_org_roles", json!(roles)),
        ]);
        self.insist("register_agent", given).await.map(drop)
    }

    async fn enrol(&mut self, cast: &Cast, person: usize, membership: Membership) -> Result<()> {
        let org_id = if person == people::STRANGER { cast.stranger_org_id } else { cast.org_id };
        let role = match membership {
            Membership::Role(role) => role,
            _ => cast.roles[person],
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
            .bind(cast.people[person])
            .bind(metadata)
            .bind(membership == Membership::Anonymous)
            .bind(membership == Membership::Banned)
            .bind(membership == Membership::Deleted)
            .execute(&mut self.operator)
            .await?;
        Ok(())
    }

    /// Executes a step. The model as it was before says what the step's rows are called.
    pub async fn execute(
        &mut self,
        cast: &Cast,
        before: &State,
        rows: &mut Rows,
        operation: &Operation,
    ) -> Result<Done> {
        let mut done = Done::default();
        let mut calls = Vec::new();
        let outcome: Result<Value, Failure> = match operation {
            Operation::Claim => {
                calls = self.claim().await?;
                Ok(Value::Null)
            }
            Operation::Record { session, person, events } => {
                let events: Option<Vec<Value>> =
                    events.iter().map(|given| messages::event(before, rows, given)).collect();
                let given = arguments([
                    ("p_org_id", json!(cast.org_id)),
                    ("p_user_id", json!(cast.people[*person])),
                    ("p_session_id", json!(cast.sessions[*session])),
                    ("p_actor_type", json!("user")),
                    ("p_actor_id", json!(cast.people[*person])),
                    ("p_events", json!(events.context("an event of what is not there")?)),
                ]);
                self.call("record_events", given).await?
            }
            Operation::Finish { delivery, outcome, stale } => {
                let name = before.delivery_name(*delivery);
                let fence = rows.fence(&name) + if *stale { 7 } else { 0 };
                let given = arguments([
                    ("p_delivery_id", json!(rows.id(&name))),
                    ("p_fence", json!(fence)),
                    ("p_outcome", outcomes::json_of(outcome)),
                ]);
                let answer = self.call("finish_delivery", given).await?;
                done.flag = answer.as_ref().ok().and_then(|answer| answer["finished"].as_bool());
                answer
            }
            Operation::Decide { person, escalation, choice } => {
                let name = before.escalation_name(*escalation);
                let given = arguments([
                    ("p_org_id", json!(cast.org_id)),
                    ("p_user_id", json!(cast.people[*person])),
                    ("p_escalation_id", json!(rows.id(&name))),
                    ("p_decision", json!(choice.decision)),
                    ("p_subject_hash", json!(messages::hash(rows, &name, choice))),
                    ("p_answer", choice.answer.clone().unwrap_or_default()),
                ]);
                let answer = self.call("decide_escalation", given).await?;
                done.flag = answer.as_ref().ok().and_then(|answer| answer["replayed"].as_bool());
                answer
            }
            Operation::Replay { delivery, foreign } => {
                let org_id = if *foreign { cast.stranger_org_id } else { cast.org_id };
                let id = rows.id(&before.delivery_name(*delivery));
                let given = arguments([("p_org_id", json!(org_id)), ("p_delivery_id", json!(id))]);
                let answer = self.call("replay_delivery", given).await?;
                done.flag = answer.as_ref().ok().and_then(|answer| answer["replayed"].as_bool());
                answer
            }
            Operation::Register { agent, server } => {
                let mut given = server.registration();
                given.extend(arguments([
                    ("p_org_id", json!(cast.org_id)),
                    ("p_agent_id", json!(before.agents[*agent].id)),
                ]));
                self.call("register_agent_server", given).await?
            }
            Operation::Change { agent, enabled, allowed_org_roles } => {
                let changed = Agent {
                    enabled: *enabled,
                    allowed_org_roles: allowed_org_roles.clone(),
                    ..before.agents[*agent].clone()
                };
                self.register(cast, &changed).await?;
                Ok(Value::Null)
            }
            Operation::Person { person, change } => {
                self.enrol(cast, *person, *change).await?;
                Ok(Value::Null)
            }
            Operation::End { session } => {
                let given = arguments([
                    ("p_org_id", json!(cast.org_id)),
                    ("p_user_id", json!(cast.people[people::REQUESTER])),
                    ("p_session_id", json!(cast.sessions[*session])),
                ]);
                self.call("cancel_session", given).await?
            }
            Operation::Advance { seconds } => {
                self.advance(cast, *seconds).await?;
                Ok(Value::Null)
            }
            Operation::Expire => {
                self.call("expire_escalations", arguments([("p_limit", json!(1000))])).await?
            }
        };
        if let Err(failure) = outcome {
            let Some(status) = failure.status() else { bail!("an unexpected SQL state: {failure:?}") };
            done.refusal = Some(Refusal(status, Box::leak(failure.message.into_boxed_str())));
        }
        rows.read(&mut self.operator).await?;
        done.sent = calls.iter().map(|call| messages::sent(rows, call)).collect();
        Ok(done)
    }

    pub async fn rows(&mut self, cast: &Cast) -> Result<Rows> {
        let mut rows = Rows::new(cast.org_id, cast.names.clone());
        rows.read(&mut self.operator).await?;
        Ok(rows)
    }

    async fn claim(&mut self) -> Result<Vec<Value>> {
        let mut calls = Vec::new();
        for _ in 0..MOST_CLAIMS {
            let given = arguments([
                ("p_limit", json!(100)),
                ("p_lease_seconds", json!(super::calls::LEASE)),
                ("p_claim_id", json!(Uuid::now_v7())),
            ]);
            let answer = self.insist("claim_deliveries", given).await?;
            let claimed = answer["deliveries"].as_array().context("no deliveries")?;
            calls.extend(claimed.iter().cloned());
            if claimed.is_empty() && answer["next_due_in_seconds"] != 0 {
                return Ok(calls);
            }
        }
        bail!("claims never came to an end")
    }

    /// Time passes for everything of the organisation that has a time.
    async fn advance(&mut self, cast: &Cast, seconds: i64) -> Result<()> {
        for statement in [
            "update deliveries set next_attempt_at = next_attempt_at - make_interval(secs => $2),
               lease_until = lease_until - make_interval(secs => $2) where org_id = $1",
            "update chat_escalations set created_at = created_at - make_interval(secs => $2),
               expires_at = expires_at - make_interval(secs => $2) where org_id = $1",
            "update auto_call_amounts set begun_at = begun_at - make_interval(secs => $2) where org_id = $1",
        ] {
            let update = sqlx::query(statement).bind(cast.org_id).bind(seconds as f64);
            update.execute(&mut self.operator).await.context("letting time pass")?;
        }
        ensure!(seconds > 0, "time goes on");
        Ok(())
    }
}
