//! `POST /chatkit/sessions/{id}/cancel`: ends a session.

mod handler;

fn main() -> std::process::ExitCode {
    shared::edge::serve::<handler::CancelSession>()
}
