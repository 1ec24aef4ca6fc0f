//! `POST /chatkit/sessions`: opens a session, or issues another client secret for an open one.

mod body;
mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::CreateSession>()
}
