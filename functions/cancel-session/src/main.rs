//! `POST /chatkit/sessions/{id}/cancel`: ends a session.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::CancelSession>()
}
