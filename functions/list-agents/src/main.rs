//! `GET /chatkit/agents`: lists the agents that the caller may open a session with.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListAgents>()
}
