//! Seed data: two organisations, three users and their agents.

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::model::MODEL;
use crate::stack::LocalStack;
use crate::supabase::{OrgRole, User};

/// A day; a token of Supabase is valid for an hour.
const TOKEN_SECONDS: i64 = 24 * 3600;

/// A user with an access token.
#[derive(Clone, Debug)]
pub struct Person {
    /// A description of the user.
    pub title: &'static str,
    /// The name in the demo's output.
    pub name: &'static str,
    /// The shell variable for the token.
    pub variable: &'static str,
    /// The row in `auth.users`.
    pub user: User,
    /// The access token.
    pub token: String,
}

/// The users of the local stack.
#[derive(Clone, Debug)]
pub struct SeedData {
    /// A member of the first organisation.
    pub clerk: Person,
    /// An approver of the first organisation.
    pub approver: Person,
    /// The owner of the other organisation.
    pub stranger: Person,
}

impl SeedData {
    /// Creates the users and registers the agents of both organisations.
    pub async fn create(stack: &LocalStack) -> Result<Self> {
        let (here, there) = (Uuid::new_v4(), Uuid::new_v4());
        let seed = Self {
            clerk: Person::sign_up(stack, ["clerk", "the clerk", "CLERK"], here, OrgRole::Member).await?,
            approver: Person::sign_up(
                stack,
                ["approver of the same organisation", "the approver", "APPROVER"],
                here,
                OrgRole::Approver,
            )
            .await?,
            stranger: Person::sign_up(
                stack,
                ["owner of another organisation", "the stranger", "STRANGER"],
                there,
                OrgRole::Owner,
            )
            .await?,
        };
        for org_id in [here, there] {
            let settings = json!({
                "p_display_name": "Accounts payable",
                "p_description": "Answers questions about accounts payable",
                "p_model": MODEL,
                "p_instructions": "You answer questions about invoices, briefly.",
            });
            stack.register_self_hosted_agent(org_id, "accounts_payable", settings).await?;
        }
        // An agent at OpenAI, for comparison.
        stack.register_agent(here, "tax_compliance", "Tax compliance").await?;
        Ok(seed)
    }

    /// Registers the agents' tools of the first organisation, so that they receive events.
    pub async fn register_agent_tools(&self, stack: &LocalStack) -> Result<()> {
        let org_id = self.clerk.user.org_id;
        stack.register_agent(org_id, "cfo_strategy", "CFO strategy").await?;
        for agent in stack.agents().iter() {
            stack.register_agent_tool(org_id, agent.id(), tool_registration(agent.id())).await?;
        }
        Ok(())
    }

    /// Returns all users.
    pub fn people(&self) -> [&Person; 3] {
        [&self.clerk, &self.approver, &self.stranger]
    }
}

/// Returns the registration of an agent's tool. The tools that work on an invoice are described, so
/// that models can call them.
pub fn tool_registration(agent_id: &str) -> Value {
    let description = match agent_id {
        "accounts_payable" => Some("Pays an invoice. Above 10,000 EUR it asks another person first."),
        "tax_compliance" => Some("Checks the VAT of an invoice."),
        _ => None,
    };
    let schema = json!({
        "type": "object", "required": ["invoice", "amount"],
        "properties": {
            "invoice": { "type": "string", "description": "The number of the invoice" },
            "amount": { "type": "number", "exclusiveMinimum": 0, "description": "The amount in EUR" },
        },
    });
    json!({
        "idempotent": true, "policy": "auto",
        "description": description, "input_schema": description.map(|_| schema),
    })
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
        // A negative age is an expiry in the future.
        let token = stack.issuer().token_builder(&user).expired(-TOKEN_SECONDS).sign();
        Ok(Self { title, name, variable, user, token })
    }
}
