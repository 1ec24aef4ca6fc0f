//! Scheduled function: ends idle sessions and runs the other maintenance jobs.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_schedule::<handler::ExpireSessions>()
}
