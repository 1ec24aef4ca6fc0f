//! `create-session` as it is with the feature `opentelemetry`, which the functions are built without unless somebody asks for it.

#[path = "../../../functions/create-session/src/body.rs"]
mod body;
#[path = "../../../functions/create-session/src/handler.rs"]
mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve::<handler::CreateSession>()
}
