//! `create-session` with the feature `runtime-secrets`, which is off by default.

#[path = "../src/body.rs"]
mod body;
#[path = "../src/handler.rs"]
mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::CreateSession>()
}
