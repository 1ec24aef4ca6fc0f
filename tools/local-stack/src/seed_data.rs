//! Two organisations, three people and the agents they talk to.

use anyhow::Result;
use serde_json::json;
use uuid::Uuid;

use crate::stack::World;
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
    pub async fn assemble(world: &World) -> Result<Self> {
        let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
        let cast = Self {
            clerk: Person::sign_up(world, ["a clerk", "the clerk", "CLERK"], here, OrgRole::Member).await?,
            approver: Person::sign_up(
                world,
                ["an approver, colleague of the clerk", "the approver", "APPROVER"],
                here,
                OrgRole::Approver,
            )
            .await?,
            stranger: Person::sign_up(
                world,
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
            world.register_agent(org_id, id, name).await?;
        }
        Ok(cast)
    }

    /// Has the agents of the first organisation told of what happens in their sessions.
    pub async fn put_agents_to_work(&self, world: &World) -> Result<()> {
        let org_id = self.clerk.user.org_id;
        world.register_agent(org_id, "cfo_strategy", "CFO strategy").await?;
        for agent in world.agents().iter() {
            world.put_to_work(org_id, agent.id(), json!({ "idempotent": true, "policy": "auto" })).await?;
        }
        Ok(())
    }

    /// Everybody, in order of appearance.
    pub fn people(&self) -> [&Person; 3] {
        [&self.clerk, &self.approver, &self.stranger]
    }
}

impl Person {
    async fn sign_up(world: &World, names: [&'static str; 3], org_id: Uuid, role: OrgRole) -> Result<Self> {
        let [title, name, variable] = names;
        let user = world.add_user(org_id, role).await?;
        // "Expired so many seconds ago", the other way run.
        let token = world.issuer().forge(&user).expired(-TOKEN_SECONDS).sign();
        Ok(Self { title, name, variable, user, token })
    }
}
