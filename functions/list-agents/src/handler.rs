//! Reads the registry as the caller.

use serde::Serialize;
use shared::{
    agents::{self, Agent},
    app::Setup,
    edge::{Answer, Function, Request, Route},
    error::Error,
    supabase::Reader,
};

/// Lists the agents that the caller may open. Holds no secret key.
pub struct ListAgents {
    reader: Reader,
}

#[derive(Serialize)]
struct Agents {
    agents: Vec<Agent>,
}

impl Function for ListAgents {
    const ROUTE: Route = Route::get("/chatkit/agents");

    fn new(setup: &mut Setup) -> Option<Self> {
        Some(Self { reader: setup.reader()? })
    }

    async fn handle(&self, request: Request) -> Result<Answer, Error> {
        let agents = agents::list(&self.reader, &request.call).await?;
        Answer::ok(&Agents { agents })
    }
}
