//! `POST /chatkit/sessions`: opens a session, or gives an open one to another device.

mod body;
mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::CreateSession>()
}
