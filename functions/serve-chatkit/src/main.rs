//! `POST /chatkit`: the chat of self-hosted agents, in ChatKit's protocol.

mod handler;

fn main() -> std::process::ExitCode {
    shared::runtime::serve_streaming::<handler::ServeChatkit>()
}
