//! `GET /chatkit/escalations`: what waits for a person, oldest first.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListEscalations>()
}
