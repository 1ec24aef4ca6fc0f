//! `receive-webhook` with the feature `runtime-secrets`, which is off by default.

#[path = "../src/handler.rs"]
mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_webhook::<handler::ReceiveWebhook>()
}
