//! Two organisations, three people and the agents they talk to.

use anyhow::Result;
use serde_json::json;
use uuid::Uuid;

use crate::stack::LocalStack;
use crate::supabase::{OrgRole, User};

/// Long enough for a day's work; a token of Supabase lives for an hour.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// Somebody, and the token they are signed in with.
#[derive(Clone, Debug)]
pub struct Person {
    /// Who they are.
    pub title: &'static str,
    /// What they are called on stage.
    pub name: &'static str,
    /// The shell's name for their token.
    pub variable: &'static str,
    /// Their row in `auth.users`.
    pub user: User,
    /// Their access token.
    pub token: String,
}

/// Everybody.
#[derive(Clone, Debug)]
pub struct Cast {
    /// A member of the first organisation.
    pub clerk: Person,
    /// A colleague, who may decide for others.
    pub approver: Person,
    /// A member of the other organisation, its owner even.
    pub stranger: Person,
}

impl Cast {
    /// Signs everybody up and registers the agents of both organisations.
    pub async fn assemble(stack: &LocalStack) -> Result<Self> {
        let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
        let cast = Self {
            clerk: Person::sign_up(stack, ["a clerk", "the clerk", "CLERK"], here, OrgRole::Member).await?,
            approver: Person::sign_up(
                stack,
                ["an approver, colleague of the clerk", "the approver", "APPROVER"],
                here,
                OrgRole::Approver,
            )
            .await?,
            stranger: Person::sign_up(
                stack,
                ["the owner of another organisation", "the stranger", "STRANGER"],
                there,
                OrgRole::Owner,
            )
            .await?,
        };
        for (org_id, id, name) in [
            (here, "accounts_payable", "Accounts payable"),
            (here, "tax_compliance", "Tax compliance"),
            (there, "accounts_payable", "Accounts payable"),
        ] {
            stack.register_agent(org_id, id, name).await?;
        }
        Ok(cast)
    }

    /// Has the agents of the first organisation told of what happens in their sessions.
    pub async fn put_agents_to_work(&self, stack: &LocalStack) -> Result<()> {
        let org_id = self.clerk.user.org_id;
        stack.register_agent(org_id, "cfo_strategy", "CFO strategy").await?;
        for agent in stack.agents().iter() {
            stack
                .register_agent_tool(org_id, agent.id(), json!({ "idempotent": true, "policy": "auto" }))
                .await?;
        }
        Ok(())
    }

    /// Everybody, in order of appearance.
    pub fn people(&self) -> [&Person; 3] {
        [&self.clerk, &self.approver, &self.stranger]
    }
}

impl Person {
    async fn sign_up(
        stack: &LocalStack,
        names: [&'static str; 3],
        org_id: Uuid,
        role: OrgRole,
    ) -> Result<Self> {
        let [title, name, variable] = names;
        let user = stack.add_user(org_id, role).await?;
        // "Expired so many seconds ago", the other way run.
        let token = stack.issuer().forge(&user).expired(-TOKEN_SECONDS).sign();
        Ok(Self { title, name, variable, user, token })
    }
}
