//! Scheduled: ends idle sessions, and puts right what was left behind.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_schedule::<handler::ExpireSessions>()
}
