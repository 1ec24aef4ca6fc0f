//! Two organisations, and everybody in and around them.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use uuid::Uuid;

use super::lifecycle::{ASKS, LIFE, SERVERS, SERVERS_ELSEWHERE};
use super::person::Person;
use super::roles::Who;
use super::rows;

/// The role by which the stand-in for PostgREST sees every table. It can read none.
pub const SEES_THE_SCHEMA: &str = "sees_the_schema";

/// A stack with two organisations in it. Everybody who can have a session has three, with a row in every table.
pub struct Tenants {
    pub stack: LocalStack,
    pub here: Uuid,
    pub elsewhere: Uuid,
    people: BTreeMap<Who, Person>,
    keys: BTreeMap<Who, String>,
}

impl Tenants {
    /// Moves them into a stack.
    pub async fn new(stack: LocalStack) -> Result<Self> {
        let (here, elsewhere) = (Uuid::new_v4(), Uuid::new_v4());
        let user = User::new(here, OrgRole::Member);
        let of = |role, org_id| Person::new(User::new(org_id, role));
        let people = BTreeMap::from([
            (Who::UserElsewhere, Person::new(User { org_id: elsewhere, ..user.clone() })),
            (Who::User, Person::new(user)),
            (Who::Colleague, of(OrgRole::Member, here)),
            (Who::Approver, of(OrgRole::Approver, here)),
            (Who::Admin, of(OrgRole::Admin, here)),
            (Who::Owner, of(OrgRole::Owner, here)),
            (Who::Stranger, of(OrgRole::Member, elsewhere)),
            (Who::OwnerElsewhere, of(OrgRole::Owner, elsewhere)),
        ]);
        let mut keys: BTreeMap<Who, String> =
            people.iter().map(|(who, person)| (*who, stack.issuer().token(&person.user))).collect();
        let anonymous = User::new(here, OrgRole::Owner);
        keys.insert(
            Who::AnonymousSignIn,
            stack.issuer().forge(&anonymous).claim("is_anonymous", true).sign(),
        );
        keys.insert(Who::Nobody, stack.supabase().publishable_key().to_owned());
        keys.insert(Who::Service, stack.supabase().secret_key().to_owned());

        let mut tenants = Self { stack, here, elsewhere, people, keys };
        tenants.found().await?;
        tenants.move_in().await?;
        tenants.settle().await?;
        rows::keep(&tenants).await?;
        tenants.show_postgrest_all_tables().await?;
        Ok(tenants)
    }

    /// Somebody with a session.
    pub fn person(&self, who: Who) -> &Person {
        &self.people[&who]
    }

    /// Whose rows these are.
    pub fn who(&self, org_id: &str, user_id: &str) -> Option<Who> {
        let is = |person: &Person| {
            person.user.org_id.to_string() == org_id && person.user.id.to_string() == user_id
        };
        self.people.iter().find(|(_, person)| is(person)).map(|(who, _)| *who)
    }

    /// Asks PostgREST as somebody.
    pub async fn ask(
        &self,
        who: Who,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let (status, body) = self.stack.rest(&self.keys[&who], method, path, body).await?;
        Ok((status.as_u16(), body))
    }

    /// What somebody signs in with: their token, or the key of those who have none.
    pub fn key(&self, who: Who) -> &str {
        &self.keys[&who]
    }

    /// Has those who show a key alone show that of an older project.
    pub fn use_legacy_keys(&mut self) {
        let supabase = self.stack.supabase();
        let keys = [(Who::Nobody, supabase.legacy_anon_key()), (Who::Service, supabase.legacy_service_key())];
        self.keys.extend(keys.map(|(who, key)| (who, key.to_owned())));
    }

    async fn rpc(&self, name: &str, arguments: Value) -> Result<Value> {
        let (status, body) = self.stack.rpc(name, arguments).await?;
        ensure!(status.is_success(), "{name} answered {status}: {body}");
        Ok(body)
    }

    /// Agents of the same names and limits of the same kinds, but not the same: here an agent waits for a day and a limit
    /// is a thousand, elsewhere a year and two thousand.
    async fn found(&self) -> Result<()> {
        for (org_id, timeout, limit) in [(self.here, 86_400, 1000), (self.elsewhere, 31_536_000, 2000)] {
            self.rpc("set_retention", json!({ "p_org_id": org_id, "p_keep_days": limit / 20 })).await?;
            for (id, enabled, roles) in [
                ("accounts_payable", true, None),
                ("cfo_strategy", true, Some(["owner", "approver"])),
                ("regulatory_filings", false, None),
            ] {
                let mut agent = json!({
                    "p_org_id": org_id, "p_agent_id": id, "p_display_name": id, "p_description": "An agent",
                    "p_chatkit_workflow_id": format!("wf_{id}"), "p_enabled": enabled,
                    "p_idle_timeout_seconds": timeout,
                });
                if let Some(roles) = roles {
                    agent["p_allowed_org_roles"] = json!(roles);
                }
                self.rpc("register_agent", agent).await?;
            }
            let limits = json!({
                "p_org_id": org_id, "p_secrets_per_minute_user": limit, "p_secrets_per_minute_session": limit,
                "p_events_per_minute_user": limit, "p_events_per_minute_session": limit,
            });
            self.rpc("set_org_limits", limits).await?;
        }
        self.register(Who::User, SERVERS).await?;
        self.register(Who::Stranger, SERVERS).await
    }

    /// Registers agents' servers in somebody's organisation.
    async fn register(&self, of: Who, servers: &[&str]) -> Result<()> {
        for server in servers {
            self.rpc("register_agent_server", self.person(of).call(server)?).await?;
        }
        Ok(())
    }

    /// Agents are called until each has failed one thing, asks about another and is at work on a third. Then nothing is due.
    async fn call_agents(&self) -> Result<()> {
        let begun = json!({ "p_limit": 100, "p_lease_seconds": 86_400 });
        let calls = self.rpc("claim_deliveries", begun.clone()).await?;
        for call in calls["deliveries"].as_array().into_iter().flatten() {
            let asks: Value = serde_json::from_str(ASKS)?;
            let finish = json!({ "p_delivery_id": call["id"], "p_fence": call["fence"], "p_outcome": asks });
            self.rpc("finish_delivery", finish).await?;
        }
        self.rpc("claim_deliveries", begun).await?;
        Ok(())
    }

    /// What has become of it all is looked up, and stays as it is for a day.
    async fn settle(&mut self) -> Result<()> {
        for person in self.people.values_mut() {
            person.learn(self.stack.database()).await?;
        }
        self.register(Who::Stranger, SERVERS_ELSEWHERE).await?;
        // A lease is no longer than a call may take, and this room takes longer.
        for all_day in [
            "update public.deliveries set lease_until = now() + interval '1 day' where status = 'running'",
            "update public.delivery_queues set due_at = now() + interval '1 day'",
            "update public.transcripts_due set due_at = now() + interval '1 day'",
            // Everybody was erased before and has come back, and somebody is about to erase what has ended.
            "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until, finished_at)
             select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now(), now() from public.chatkit_users",
            "insert into public.retention_leases (org_id, user_id, session_id, lease_until)
             select org_id, user_id, id, now() + interval '1 day' from public.chat_sessions where status = 'ended'",
        ] {
            rows::run(self, all_day).await?;
        }
        Ok(())
    }

    async fn move_in(&self) -> Result<()> {
        // One person has one organisation at a time, so the user has been elsewhere before.
        let elsewhere = self.person(Who::UserElsewhere);
        self.stack.put_user(&elsewhere.user).await?;
        self.open(elsewhere).await?;
        self.call_agents().await?;
        let others = self.people.iter().filter(|(who, _)| **who != Who::UserElsewhere);
        try_join_all(others.map(async |(_, person)| {
            self.stack.put_user(&person.user).await?;
            self.open(person).await
        }))
        .await?;
        self.call_agents().await
    }

    /// Opens a session and leaves something in every table.
    async fn open(&self, person: &Person) -> Result<()> {
        for (name, call) in LIFE {
            self.rpc(name, person.call(call)?).await?;
        }
        Ok(())
    }

    /// PostgREST knows every table and column, whoever may use them, and the database refuses. Its stand-in reads only
    /// what some role that it can become has a grant on, and says itself that the rest does not exist. A grant to
    /// refer to it all, for a role that no token names, opens its eyes and nothing else.
    async fn show_postgrest_all_tables(&self) -> Result<()> {
        let grant = format!(
            "do $$ begin
               lock table pg_catalog.pg_authid in share row exclusive mode;
               if not exists (select from pg_roles where rolname = '{SEES_THE_SCHEMA}') then
                 create role {SEES_THE_SCHEMA} nologin noinherit;
               end if;
               grant {SEES_THE_SCHEMA} to authenticator;
               grant references on all tables in schema public to {SEES_THE_SCHEMA};
             end $$"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(grant)).execute(self.stack.database()).await?;
        self.stack.supabase().reload_schema().await
    }
}
