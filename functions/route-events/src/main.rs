//! Scheduled function, also started by a database webhook: delivers events to agents.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_webhook::<handler::RouteEvents>()
}
