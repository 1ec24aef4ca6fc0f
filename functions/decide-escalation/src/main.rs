//! `POST /chatkit/escalations/{id}/decision`: records a person's final decision.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::DecideEscalation>()
}
