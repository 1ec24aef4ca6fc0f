//! Two organisations with users of every role.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use http_client::Method;
use local_stack::LocalStack;
use local_stack::supabase::{OrgRole, User};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::callers::Caller;
use super::person::Person;
use super::rows;
use super::seed_calls::{AGENT_SERVERS, ASK_OUTCOME, OTHER_ORG_AGENT_SERVERS, SEED_CALLS};

/// A role that has only the privilege to reference every table.
pub const SCHEMA_READER_ROLE: &str = "schema_reader";

/// A stack with two organisations. Each person has four sessions, and a row in every table.
pub struct Tenants {
    pub stack: LocalStack,
    pub org_id: Uuid,
    pub other_org_id: Uuid,
    people: BTreeMap<Caller, Person>,
    credentials: BTreeMap<Caller, String>,
}

impl Tenants {
    pub async fn new(stack: LocalStack) -> Result<Self> {
        let (org_id, other_org_id) = (Uuid::new_v4(), Uuid::new_v4());
        let user = User::new(org_id, OrgRole::Member);
        let person = |role, org_id| Person::new(User::new(org_id, role));
        let people = BTreeMap::from([
            (Caller::UserInOtherOrg, Person::new(User { org_id: other_org_id, ..user.clone() })),
            (Caller::User, Person::new(user)),
            (Caller::Colleague, person(OrgRole::Member, org_id)),
            (Caller::Approver, person(OrgRole::Approver, org_id)),
            (Caller::Admin, person(OrgRole::Admin, org_id)),
            (Caller::Owner, person(OrgRole::Owner, org_id)),
            (Caller::MemberOfOtherOrg, person(OrgRole::Member, other_org_id)),
            (Caller::OwnerOfOtherOrg, person(OrgRole::Owner, other_org_id)),
        ]);
        let mut credentials: BTreeMap<Caller, String> =
            people.iter().map(|(caller, person)| (*caller, stack.issuer().token(&person.user))).collect();
        let anonymous = User::new(org_id, OrgRole::Owner);
        let anonymous = stack.issuer().token_builder(&anonymous).claim("is_anonymous", true).sign();
        credentials.insert(Caller::AnonymousSignIn, anonymous);
        credentials.insert(Caller::NoToken, stack.supabase().publishable_key().to_owned());
        credentials.insert(Caller::Service, stack.supabase().secret_key().to_owned());

        let mut tenants = Self { stack, org_id, other_org_id, people, credentials };
        tenants.create_organisations().await?;
        tenants.create_people().await?;
        tenants.complete_rows().await?;
        rows::back_up(&tenants).await?;
        tenants.expose_all_tables().await?;
        Ok(tenants)
    }

    pub fn person(&self, caller: Caller) -> &Person {
        &self.people[&caller]
    }

    pub fn caller_with_ids(&self, org_id: &str, user_id: &str) -> Option<Caller> {
        let has_ids = |person: &Person| {
            person.user.org_id.to_string() == org_id && person.user.id.to_string() == user_id
        };
        self.people.iter().find(|(_, person)| has_ids(person)).map(|(caller, _)| *caller)
    }

    /// Sends a request to PostgREST.
    pub async fn request(
        &self,
        caller: Caller,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(u16, Value)> {
        let (status, body) = self.stack.rest(self.credential(caller), method, path, body).await?;
        Ok((status.as_u16(), body))
    }

    /// The token of a caller, or the key of a caller without a token.
    pub fn credential(&self, caller: Caller) -> &str {
        &self.credentials[&caller]
    }

    /// Replaces the keys by the legacy keys of an older project.
    pub fn use_legacy_keys(&mut self) {
        let supabase = self.stack.supabase();
        let keys =
            [(Caller::NoToken, supabase.legacy_anon_key()), (Caller::Service, supabase.legacy_service_key())];
        self.credentials.extend(keys.map(|(caller, key)| (caller, key.to_owned())));
    }

    async fn rpc(&self, name: &str, arguments: Value) -> Result<Value> {
        let (status, body) = self.stack.rpc(name, arguments).await?;
        ensure!(status.is_success(), "{name} returned {status}: {body}");
        Ok(body)
    }

    /// Registers agents with equal ids in both organisations, but with different timeouts and
    /// limits.
    async fn create_organisations(&self) -> Result<()> {
        for (org_id, timeout, limit) in [(self.org_id, 86_400, 1000), (self.other_org_id, 31_536_000, 2000)] {
            self.rpc("set_retention", json!({ "p_org_id": org_id, "p_keep_days": limit / 20 })).await?;
            for (id, is_enabled, roles) in [
                ("accounts_payable", true, None),
                ("cfo_strategy", true, Some(["owner", "approver"])),
                ("regulatory_filings", false, None),
            ] {
                let mut agent = json!({
                    "p_org_id": org_id, "p_agent_id": id, "p_display_name": id, "p_description": "An agent",
                    "p_chatkit_workflow_id": format!("wf_{id}"), "p_enabled": is_enabled,
                    "p_idle_timeout_seconds": timeout,
                });
                if let Some(roles) = roles {
                    agent["p_allowed_org_roles"] = json!(roles);
                }
                self.rpc("register_agent", agent).await?;
            }
            let chat_agent = json!({
                "p_org_id": org_id, "p_agent_id": "treasury_chat", "p_display_name": "treasury_chat",
                "p_description": "An agent", "p_model": "gpt-5-mini", "p_idle_timeout_seconds": timeout,
            });
            self.rpc("register_agent", chat_agent).await?;
            let limits = json!({
                "p_org_id": org_id, "p_secrets_per_minute_user": limit, "p_secrets_per_minute_session": limit,
                "p_events_per_minute_user": limit, "p_events_per_minute_session": limit,
            });
            self.rpc("set_org_limits", limits).await?;
        }
        self.register_agent_servers(Caller::User, AGENT_SERVERS).await?;
        self.register_agent_servers(Caller::MemberOfOtherOrg, AGENT_SERVERS).await
    }

    /// Registers agent servers in the organisation of a caller.
    async fn register_agent_servers(&self, caller: Caller, servers: &[&str]) -> Result<()> {
        for server in servers {
            self.rpc("register_agent_server", self.person(caller).arguments(server)?).await?;
        }
        Ok(())
    }

    async fn create_people(&self) -> Result<()> {
        // A user is a member of one organisation at a time, so the user leaves the other one.
        let in_other_org = self.person(Caller::UserInOtherOrg);
        self.stack.upsert_user(&in_other_org.user).await?;
        self.create_rows(in_other_org).await?;
        self.process_deliveries().await?;
        let others = self.people.iter().filter(|(caller, _)| **caller != Caller::UserInOtherOrg);
        try_join_all(others.map(async |(_, person)| {
            self.stack.upsert_user(&person.user).await?;
            self.create_rows(person).await
        }))
        .await?;
        self.process_deliveries().await
    }

    /// Creates the sessions of a person, and a row in every table.
    async fn create_rows(&self, person: &Person) -> Result<()> {
        for (name, arguments) in SEED_CALLS {
            self.rpc(name, person.arguments(arguments)?).await?;
        }
        Ok(())
    }

    /// Leaves each new session with a dead delivery, one whose agent asked a question, and a
    /// running one. Nothing is due afterwards.
    async fn process_deliveries(&self) -> Result<()> {
        let claim = json!({ "p_limit": 100, "p_lease_seconds": 86_400 });
        let claimed = self.rpc("claim_deliveries", claim.clone()).await?;
        for delivery in claimed["deliveries"].as_array().into_iter().flatten() {
            let outcome: Value = serde_json::from_str(ASK_OUTCOME)?;
            let arguments = json!({
                "p_delivery_id": delivery["id"], "p_fence": delivery["fence"], "p_outcome": outcome,
            });
            self.rpc("finish_delivery", arguments).await?;
        }
        self.rpc("claim_deliveries", claim).await?;
        Ok(())
    }

    /// Reads the generated ids, and moves every due time by a day, so that the rows do not change
    /// during a test.
    async fn complete_rows(&mut self) -> Result<()> {
        for person in self.people.values_mut() {
            person.load_ids(self.stack.database()).await?;
        }
        self.register_agent_servers(Caller::MemberOfOtherOrg, OTHER_ORG_AGENT_SERVERS).await?;
        for statement in [
            "update public.deliveries set lease_until = now() + interval '1 day' where status = 'running'",
            "update public.delivery_queues set due_at = now() + interval '1 day'",
            "update public.transcripts_due set due_at = now() + interval '1 day'",
            "update public.chatkit_sessions set expires_at = '2030-01-01T00:00:00Z'
             where provider = 'self_hosted'",
            // Each person was erased before, and the retention of each ended session is in
            // progress.
            "insert into public.erasures (id, org_id, user_id, requested_by, reason, lease_until, finished_at)
             select gen_random_uuid(), org_id, user_id, 'ops', 'asked', now(), now() from public.chatkit_users",
            "insert into public.retention_leases (org_id, user_id, session_id, lease_until)
             select org_id, user_id, id, now() + interval '1 day'
             from public.chat_sessions where status = 'ended'",
        ] {
            rows::execute(self, statement).await?;
        }
        Ok(())
    }

    /// PostgREST knows every table and column, and the database denies access. The compatible
    /// server knows only what a role has a grant on, and would return 404 for the rest. A grant of
    /// `references` to an unused role makes it behave like PostgREST.
    async fn expose_all_tables(&self) -> Result<()> {
        let grant = format!(
            "do $$ begin
               lock table pg_catalog.pg_authid in share row exclusive mode;
               if not exists (select from pg_roles where rolname = '{SCHEMA_READER_ROLE}') then
                 create role {SCHEMA_READER_ROLE} nologin noinherit;
               end if;
               grant {SCHEMA_READER_ROLE} to authenticator;
               grant references on all tables in schema public to {SCHEMA_READER_ROLE};
             end $$"
        );
        sqlx::raw_sql(AssertSqlSafe(grant)).execute(self.stack.database()).await?;
        self.stack.supabase().reload_schema().await
    }
}
