//! `POST /chatkit/escalations/{id}/claim`: marks an escalation as being worked on.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ClaimEscalation>()
}
