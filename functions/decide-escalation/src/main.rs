//! `POST /chatkit/escalations/{id}/decision`: a person decides, once and for all.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::DecideEscalation>()
}
