//! The chat, verified with openai-chatkit, the reference implementation of the protocol: its types
//! parse every byte of generated conversations, and its server answers the same requests.

mod conversation;
mod conversations;
pub mod exchange;
mod plan;
pub mod python;
mod recorded_requests;
mod reference;
mod side_by_side;
mod tool_streams;

/// The version of openai-chatkit in the pinned requirements.
const VERSION: &str = "1.6.5";
