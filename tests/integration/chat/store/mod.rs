//! The store of the self-hosted chat: its RPCs, called through PostgREST with the key of the
//! service.

mod budgets;
mod call_repeats;
mod call_retention;
mod calls;
mod foreign_ids;
mod late_repeats;
mod pages;
mod repeats;
mod retention;
mod runs;
mod sessions;
mod threads;

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::lambda::Binaries;
use local_stack::supabase::{OrgRole, User};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::chat_rpc::{self as rpc, CHAT_AGENT, ChatSession};

/// A stack without functions, and a member of an organisation with self-hosted agents.
struct Chat {
    stack: LocalStack,
    user: User,
}

impl Chat {
    async fn start() -> Result<Self> {
        let stack = LocalStack::builder().binaries(Binaries::new()).start().await?;
        let org_id = Uuid::new_v4();
        rpc::register_agents(&stack, org_id).await?;
        stack.raise_limits(org_id).await?;
        let user = stack.add_user(org_id, OrgRole::Member).await?;
        Ok(Self { stack, user })
    }

    /// Opens a session of the user.
    async fn open(&self) -> Result<ChatSession> {
        rpc::open_session(&self.stack, &self.user, CHAT_AGENT).await
    }

    /// Executes statements as the superuser.
    async fn execute(&self, statements: &str) -> Result<()> {
        sqlx::raw_sql(AssertSqlSafe(statements.to_owned())).execute(self.stack.database()).await?;
        Ok(())
    }

    /// Executes statements without triggers and foreign keys.
    async fn execute_without_triggers(&self, statements: &str) -> Result<()> {
        self.execute(&format!("begin; set local session_replication_role = replica; {statements}; commit"))
            .await
    }

    /// Returns a hash of every row that a request of the chat can change. A repeat renews leases, and
    /// counts as activity.
    async fn digest(&self) -> Result<String> {
        const TABLES: [&str; 12] = [
            "chat_sessions",
            "chat_threads",
            "chat_messages",
            "chat_hidden_items",
            "chat_runs",
            "chat_run_chunks",
            "chat_events",
            "chat_escalations",
            "chat_tasks",
            "deliveries",
            "delivery_queues",
            "throttles",
        ];
        let row = "to_jsonb(t) - '{lease_until,last_activity_at}'::text[]";
        let hashes = TABLES.map(|table| {
            format!("(select coalesce(md5(jsonb_agg({row} order by t::text)::text), '') from {table} as t)")
        });
        let query =
            sqlx::query_scalar(AssertSqlSafe(format!("select concat_ws(' ', {})", hashes.join(", "))));
        Ok(query.fetch_one(self.stack.database()).await?)
    }

    async fn count(&self, query: &str) -> Result<i64> {
        let count = sqlx::query_scalar(AssertSqlSafe(format!("select count(*) from {query}")));
        Ok(count.fetch_one(self.stack.database()).await?)
    }
}
