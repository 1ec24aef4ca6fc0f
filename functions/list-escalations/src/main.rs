//! `GET /chatkit/escalations`: lists the open escalations, oldest first.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListEscalations>()
}
