//! Scheduled, and woken by a webhook: brings events to the agents that want them.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_webhook::<handler::RouteEvents>()
}
