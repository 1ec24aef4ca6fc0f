//! `GET /chatkit/sessions/{id}`: returns a session with its events, tasks, escalations and threads.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::GetSession>()
}
