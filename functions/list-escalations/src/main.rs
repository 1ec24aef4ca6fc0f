//! `GET /chatkit/escalations`: lists escalations.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListEscalations>()
}
