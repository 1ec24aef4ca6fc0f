//! `POST /chatkit/escalations/{id}/release`: ends the claim of an escalation.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ReleaseEscalation>()
}
