//! Receives the database webhook and starts `route-events`, which has no URL.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_webhook::<handler::ReceiveWebhook>()
}
