//! Scheduled function, also started by `receive-webhook`: delivers events to agents.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_schedule::<handler::RouteEvents>()
}
