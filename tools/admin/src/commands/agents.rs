//! `cargo admin agents`.

use clap::Subcommand;
use serde_json::{Value, json};
use shared::domain::administration::AgentRegistration;

use super::registrations::{self, RegistrationFile};
use crate::{
    arguments::Organisation,
    deployment::Deployment,
    failure::Failure,
    output::{Output, plain, table, two_columns},
};

#[derive(Subcommand)]
pub enum Command {
    /// Register an agent, or replace its registration
    ///
    /// docs/guides/register-an-agent.md lists the fields of the file. A field that the file leaves
    /// out gets its default.
    Register(RegistrationFile),
    /// List the agents of an organisation
    ///
    /// With --json, each agent has its server, tools and routes. Instructions and schemas are left
    /// out.
    List {
        #[command(flatten)]
        organisation: Organisation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        match self {
            Self::Register(file) => {
                let registered = file.register::<AgentRegistration>(deployment).await?;
                let text = text(&registered["agent"]);
                Ok(Output::new(registered, text))
            }
            Self::List { organisation } => {
                let agents = registrations::list(&organisation, deployment).await?;
                let text = list_text(&agents);
                Ok(Output::new(json!({ "agents": agents }), text))
            }
        }
    }
}

fn text(agent: &Value) -> String {
    let shown = ["display_name", "provider", "chatkit_workflow_id", "chatkit_workflow_version", "model"];
    let shown = shown.into_iter().chain(["enabled", "allowed_org_roles", "idle_timeout_seconds"]);
    let given = shown.filter(|field| !agent[field].is_null());
    format!(
        "The agent {} is registered.\n{}",
        plain(&agent["id"]),
        two_columns(given.map(|field| (field, plain(&agent[field]))))
    )
}

fn list_text(agents: &[Value]) -> String {
    if agents.is_empty() {
        return "The organisation does not have agents.".to_owned();
    }
    let header = ["agent", "provider", "workflow or model", "roles", "state", "server"].map(str::to_owned);
    table([header].into_iter().chain(agents.iter().map(list_row)))
}

fn list_row(agent: &Value) -> [String; 6] {
    let workflow_or_model = match &agent["model"] {
        Value::Null => plain(&agent["chatkit_workflow_id"]),
        model => plain(model),
    };
    let roles = match agent["allowed_org_roles"].as_array() {
        Some(roles) => roles.iter().map(plain).collect::<Vec<_>>().join(", "),
        None => "all".to_owned(),
    };
    let state = if agent["enabled"] == true { "enabled" } else { "disabled" };
    let server = match &agent["server"] {
        Value::Null => "-".to_owned(),
        server => plain(&server["url"]),
    };
    [plain(&agent["id"]), plain(&agent["provider"]), workflow_or_model, roles, state.to_owned(), server]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_names_the_workflow_or_the_model() {
        let agents = [
            json!({
                "id": "a", "provider": "openai_hosted", "chatkit_workflow_id": "wf_1", "model": null,
                "allowed_org_roles": ["owner", "admin"], "enabled": true, "server": null,
            }),
            json!({
                "id": "long", "provider": "self_hosted", "chatkit_workflow_id": null, "model": "m",
                "allowed_org_roles": null, "enabled": false, "server": { "url": "https://a.example" },
            }),
        ];
        let expected = "\
            agent  provider       workflow or model  roles         state     server\n\
            a      openai_hosted  wf_1               owner, admin  enabled   -\n\
            long   self_hosted    m                  all           disabled  https://a.example\n";
        assert_eq!(list_text(&agents), expected);
    }
}
