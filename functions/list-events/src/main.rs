//! `GET /chatkit/sessions/{id}/events`: lists the events of a session.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListEvents>()
}
