//! `GET /chatkit/sessions/{id}/messages`: lists the transcript of a session, for replay.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListMessages>()
}
