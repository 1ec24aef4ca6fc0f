//! The page of `cargo dev`: a clerk's screen, an approvers' desk and an operator's metrics.
//!
//! The page is built in the background, because the first build downloads packages. It is served on
//! a loopback address only, and so are the tokens of the users.

mod build;
mod headers;
mod server;

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::http::Port;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

pub use build::{Build, BuildState};
pub use server::PageServer;

use super::{Person, SeedData};

/// The agent whose actions the page shows.
const PAYING_AGENT: &str = "accounts_payable";

/// Requests of the page to the running stack.
#[derive(Debug)]
pub enum StackRequest {
    /// The actions that the agent has executed.
    ListActions(oneshot::Sender<Value>),
    /// Kills the processes of a function, also while they handle a request.
    Kill { function: String, reply: oneshot::Sender<Option<usize>> },
}

/// Responds to a request of the page.
pub fn respond(stack: &LocalStack, request: StackRequest) {
    // A page that has left does not need the reply.
    match request {
        StackRequest::ListActions(reply) => {
            let _ = reply.send(actions(stack));
        }
        StackRequest::Kill { function, reply } => {
            let _ = reply.send(stack.lambda().function(&function).ok().map(|function| function.kill()));
        }
    }
}

fn actions(stack: &LocalStack) -> Value {
    let actions = stack.agents().agent(PAYING_AGENT).map(|agent| agent.actions()).unwrap_or_default();
    let actions = actions
        .into_iter()
        .map(|action| json!({ "key": action.key, "kind": action.kind, "data": action.data }));
    json!({ "actions": actions.collect::<Vec<_>>() })
}

/// Starts to serve the page. Returns its server, and the requests that it has for the stack.
pub async fn serve(
    port: Port,
    stack: &LocalStack,
    seed: &SeedData,
    build: Build,
) -> Result<(PageServer, mpsc::Receiver<StackRequest>)> {
    let (sender, requests) = mpsc::channel(16);
    let chat = stack.function_url("serve-chatkit");
    let people = [
        ("clerk", &seed.clerk),
        ("approver", &seed.approver),
        ("second_approver", &seed.second_approver),
        ("operator", &seed.operator),
    ];
    let config = json!({
        "apiUrl": stack.api_url(),
        "people": people.map(|(key, person)| describe(key, person)),
    });
    let server = PageServer::start(port, config, [stack.api_url(), chat], build, sender);
    Ok((server, requests))
}

fn describe(key: &str, person: &Person) -> Value {
    json!({
        "key": key,
        "id": person.user.id,
        "name": person.display_name(),
        "token": person.token,
    })
}
