//! `GET /chatkit/metrics`: returns metrics of the organisation's sessions, escalations and
//! deliveries.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::GetMetrics>()
}
