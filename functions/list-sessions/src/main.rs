//! `GET /chatkit/sessions`: the caller's sessions, or the organisation's, newest activity first.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListSessions>()
}
