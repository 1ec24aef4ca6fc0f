//! `POST /chatkit/escalations/{id}/decision`: a person decides, once and for all.

mod handler;

fn main() -> std::process::ExitCode {
    shared::edge::serve::<handler::DecideEscalation>()
}
