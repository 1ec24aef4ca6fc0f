//! `GET /chatkit/sessions`: lists the caller's or the organisation's sessions, latest activity
//! first.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::ListSessions>()
}
