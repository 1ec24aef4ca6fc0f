//! Parses the response to a tool call in place of rmcp.
//!
//! rmcp's types reject a whole result for one block that they do not know, and its parser stops at
//! 128 levels. It does not deliver an error without an id to the pending call. So rmcp gets only a
//! message that the call was answered.

use rmcp::model::RequestId;
use serde_json::value::RawValue;

use super::{
    call_state::CallState,
    result::{
        self,
        json::{Members, parse},
    },
};

/// Code for an error whose code is not a number, from the range of server errors.
const NO_CODE: i32 = -32000;

/// Reads the response to the call `id`, if the text is one, and records it in the call state.
/// Returns the message that rmcp gets instead.
pub(super) fn read(text: &str, id: &RequestId, state: &CallState) -> Option<String> {
    // Servers of 2025-03-26 may answer with a batch.
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(batch) => batch.into_iter().find_map(|message| one(message, id, state)),
        Err(_) => one(parse(text)?, id, state),
    }
}

fn one(message: &RawValue, id: &RequestId, state: &CallState) -> Option<String> {
    let message = Members::parse(message).filter(|message| message.get("method").is_none())?;
    let response_id = message.get("id").map(|id| id.get().trim_matches('"'));
    let is_ours = response_id.is_some_and(|response_id| response_id == id.to_string());
    let answered = match (message.get("result"), message.get("error")) {
        (Some(result), _) if is_ours && is_complete(result) => {
            state.set_result(result::parse_tool_result(result));
            r#""result":{}"#.to_owned()
        }
        // A server that could not read the request does not know its id.
        (None, Some(error)) if is_ours || response_id.is_none() => {
            let code = Members::parse(error).and_then(|error| error.value("code")?.as_i64());
            let code = code.and_then(|code| i32::try_from(code).ok()).unwrap_or(NO_CODE);
            state.rpc_error(code);
            format!(r#""error":{{"code":{code},"message":""}}"#)
        }
        _ => return None,
    };
    let id = serde_json::to_string(id).ok()?;
    Some(format!(r#"{{"jsonrpc":"2.0","id":{id},{answered}}}"#))
}

/// Returns whether this is a result and not a request for
/// input (`input_required`), which rmcp reads.
fn is_complete(result: &RawValue) -> bool {
    let kind = Members::parse(result).and_then(|result| result.get("resultType"));
    kind.is_none_or(|kind| kind.get() == r#""complete""#)
}
