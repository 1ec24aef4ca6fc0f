//! `GET /chatkit/escalations/{id}`: returns an escalation.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::GetEscalation>()
}
