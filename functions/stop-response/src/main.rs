//! `POST /chatkit/sessions/{id}/stop`: stops the answers that are being written in a session.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::StopResponse>()
}
