//! Seed data: two organisations, their users and their agents.

use anyhow::Result;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::agents;
use crate::model::MODEL;
use crate::stack::LocalStack;
use crate::supabase::{OrgRole, User};

/// The agent that pays invoices.
const PAYING_AGENT: &str = "accounts_payable";

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
    pub token: String,
}

/// The users of the local stack.
#[derive(Clone, Debug)]
pub struct SeedData {
    /// A member of the first organisation.
    pub clerk: Person,
    /// An approver of the first organisation.
    pub approver: Person,
    /// Another approver of the first organisation.
    pub second_approver: Person,
    /// An administrator of the first organisation.
    pub operator: Person,
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
            second_approver: Person::sign_up(
                stack,
                ["second approver", "the second approver", "SECOND_APPROVER"],
                here,
                OrgRole::Approver,
            )
            .await?,
            operator: Person::sign_up(
                stack,
                ["operator, an administrator", "the operator", "OPERATOR"],
                here,
                OrgRole::Admin,
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
                "p_built_in_tools": ["ask_person", "hand_over_to_agent", "set_task"],
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
            let mut tool = tool_registration(agent.id());
            if agent.id() != PAYING_AGENT {
                stack.register_agent_tool(org_id, agent.id(), tool).await?;
                continue;
            }
            // Its model calls other tools.
            agent.add_tool(agents::PAY_TOOL);
            agent.add_tool(agents::FEE_TOOL);
            tool["name"] = json!(agents::TOOL);
            tool["description"] = Value::Null;
            let tools = json!([tool, pay_registration(), fee_registration()]);
            let credential = Some(agent.id());
            stack.register_agent_server_with(org_id, agent.id(), &agent.url(), credential, tools).await?;
        }
        Ok(())
    }

    pub fn people(&self) -> [&Person; 5] {
        [&self.clerk, &self.approver, &self.second_approver, &self.operator, &self.stranger]
    }
}

/// Returns the registration of the tool that pays an invoice. Above 10,000 EUR another person
/// approves the call, and sees the arguments that matter.
fn pay_registration() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "name": agents::PAY_TOOL, "idempotent": true,
        "policy": "auto", "ask_above": 10_000, "risk": "medium", "approver": "other",
        "amount_pointer": "/amount", "currency": "EUR", "currency_pointer": "/currency",
        "comment_required": ["reject"],
        "description": "Pays an invoice. Above 10,000 EUR another person approves it first.",
        "input_schema": {
            "type": "object", "required": ["invoice", "amount", "currency", "supplier"],
            "properties": {
                "invoice": text("The number of the invoice"),
                "supplier": text("The name of the supplier"),
                "amount": { "type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,2})?$", "description": "For example 12000.00" },
                "currency": { "enum": ["EUR"] },
                "account": text("The IBAN of the supplier"),
                "dueDate": { "type": "string", "format": "date" },
            },
        },
        "display": [
            { "pointer": "/amount", "label": "Amount", "kind": "money", "currency_pointer": "/currency", "unit": "major" },
            { "pointer": "/supplier", "label": "Supplier", "kind": "party" },
            { "pointer": "/account", "label": "Account", "kind": "account" },
            { "pointer": "/dueDate", "label": "Due date", "kind": "date" },
            { "pointer": "/invoice", "label": "Invoice", "kind": "text" },
        ],
    })
}

/// Returns the registration of the tool that pays a fee. Up to 100 EUR the requester confirms the
/// call, and above that another person approves it.
fn fee_registration() -> Value {
    let mut tool = pay_registration();
    let differences = json!({
        "name": agents::FEE_TOOL, "policy": "confirm", "ask_above": 100, "risk": "low",
        "comment_required": [],
        "description": "Pays a small fee of an invoice. The requester confirms it first.",
    });
    if let (Value::Object(tool), Value::Object(differences)) = (&mut tool, differences) {
        tool.extend(differences);
    }
    tool
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
    /// The name by which colleagues know the user.
    pub fn display_name(&self) -> String {
        capitalised(self.name.trim_start_matches("the "))
    }

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
        let person = Self { title, name, variable, user, token };
        stack.name_user(&person.user, &person.display_name()).await?;
        Ok(person)
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).collect()).unwrap_or_default()
}
