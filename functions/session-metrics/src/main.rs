//! `GET /chatkit/metrics`: how the organisation's sessions, escalations and deliveries went.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::SessionMetrics>()
}
