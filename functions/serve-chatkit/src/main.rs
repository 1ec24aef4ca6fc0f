//! `POST /chatkit`: ChatKit's protocol for self-hosted agents, streamed.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_streaming::<handler::ServeChatKit>()
}
