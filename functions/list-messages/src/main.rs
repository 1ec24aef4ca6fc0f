//! `GET /chatkit/sessions/{id}/messages`: the transcript, for replay.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListMessages>()
}
