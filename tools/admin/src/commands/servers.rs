//! `cargo admin servers`.

use clap::Subcommand;
use serde_json::{Value, json};
use shared::domain::administration::ServerRegistration;

use super::registrations::{self, RegistrationFile};
use crate::{
    arguments::Organisation,
    deployment::Deployment,
    failure::Failure,
    output::{Output, plain, two_columns},
};

#[derive(Subcommand)]
pub enum Command {
    /// Register an agent's MCP server, or replace its registration with all tools and routes
    ///
    /// docs/guides/write-an-agent.md lists the fields of the file. Pending deliveries for a tool
    /// that the file leaves out are not called.
    Register(RegistrationFile),
    /// List the MCP servers of an organisation, with their tools and routes
    ///
    /// A credential is shown by its name. Its value is in the functions' configuration only.
    List {
        #[command(flatten)]
        organisation: Organisation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        match self {
            Self::Register(file) => {
                let registered = file.register::<ServerRegistration>(deployment).await?;
                let server = &registered["agent_server"];
                let (agent, url) = (plain(&server["agent_id"]), plain(&server["url"]));
                let text = format!("The server of {agent} is registered: {url}\n{}", tools(server));
                Ok(Output::new(registered, text))
            }
            Self::List { organisation } => {
                let agents = registrations::list(&organisation, deployment).await?;
                let servers: Vec<Value> = agents.into_iter().filter_map(server_of).collect();
                let text = list_text(&servers);
                Ok(Output::new(json!({ "servers": servers }), text))
            }
        }
    }
}

/// The server of an agent, with the agent's id. `None` for an agent without a server.
fn server_of(mut agent: Value) -> Option<Value> {
    let mut server = agent["server"].take();
    server.as_object_mut()?.insert("agent_id".to_owned(), agent["id"].take());
    Some(server)
}

fn list_text(servers: &[Value]) -> String {
    if servers.is_empty() {
        return "The organisation does not have servers.".to_owned();
    }
    let entry = |server: &Value| {
        let credential = match &server["credential"] {
            Value::Null => "none".to_owned(),
            name => plain(name),
        };
        format!(
            "{}  {}\n  credential {credential}, timeout {} s, attempts {}\n{}",
            plain(&server["agent_id"]),
            plain(&server["url"]),
            server["timeout_seconds"],
            server["max_attempts"],
            tools(server)
        )
    };
    servers.iter().map(entry).collect()
}

/// Lines of a server's tools, each with its policy and the events that are routed to it.
fn tools(server: &Value) -> String {
    let list = |name: &str| server[name].as_array().cloned().unwrap_or_default();
    let routes = list("routes");
    let tools = list("tools").into_iter().map(|tool| {
        let events = routes.iter().filter(|route| route["tool"] == tool["name"]);
        let events: Vec<String> = events.map(|route| plain(&route["event_type"])).collect();
        let events = if events.is_empty() { "no events".to_owned() } else { events.join(", ") };
        (plain(&tool["name"]), format!("{}; {events}", plain(&tool["policy"])))
    });
    let tools: Vec<(String, String)> = tools.collect();
    two_columns(tools.iter().map(|(name, rest)| (name.as_str(), rest.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_a_server_for_each_agent_that_has_one() {
        let agent = json!({ "id": "a", "server": {
            "url": "https://a.example", "credential": "erp", "timeout_seconds": 20, "max_attempts": 5,
            "tools": [{ "name": "pay", "policy": "ask" }, { "name": "look", "policy": "auto" }],
            "routes": [{ "tool": "pay", "event_type": "click" }],
        } });
        let servers = [server_of(agent), server_of(json!({ "id": "b", "server": null }))];
        let servers: Vec<Value> = servers.into_iter().flatten().collect();
        assert_eq!(servers.len(), 1, "{servers:?}");
        let expected = "\
            a  https://a.example\n  credential erp, timeout 20 s, attempts 5\n  pay   ask; click\n  \
            look  auto; no events\n";
        assert_eq!(list_text(&servers), expected);
    }
}
