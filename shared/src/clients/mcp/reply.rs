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
        json::{Members, has_unique_names, parse},
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
    let members = Members::parse(message).filter(|members| members.is_absent("method"))?;
    let is_ours = members.all("id").iter().any(|one| one.get().trim_matches('"') == id.to_string());
    let answered = match members.get("result") {
        Some(result) if is_ours && is_complete(result) => {
            state.set_result(result::parse_tool_result(result));
            r#""result":{}"#.to_owned()
        }
        // An ambiguous question cannot be shown. Without a result, the outcome of the call is
        // unknown.
        Some(result) if is_ours && !has_unique_names(result) => r#""result":{}"#.to_owned(),
        // The message has two results, and is kept as text.
        None if is_ours && !members.is_absent("result") => {
            state.set_result(result::parse_tool_result(message));
            r#""result":{}"#.to_owned()
        }
        // A server that could not read the request does not know its id.
        None if (is_ours || members.is_absent("id")) && !members.is_absent("error") => {
            let error = members.get("error").and_then(Members::parse);
            let code = error.and_then(|error| error.value("code")?.as_i64());
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
    let members = Members::parse(result).unwrap_or_default();
    members.all("resultType").iter().all(|kind| matches!(kind.get(), r#""complete""# | "null"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::mcp::{CallError, Completed, ToolResult, error::Reason};

    /// Reads the response to the call 7. Returns whether it ends the call, and the recorded result.
    fn read_response(text: &str) -> (bool, Option<ToolResult>) {
        let id = RequestId::Number(7);
        let state = CallState::new();
        state.request_sent(Some(&id));
        let message = read(text, &id, &state);
        (message.is_some(), state.take_result())
    }

    /// A call that was made is not lost, and a part that the message has twice is not believed.
    #[test]
    fn message_with_two_results_is_kept_as_text() {
        let paid = r#"{"structuredContent":{"status":"completed","message":"Paid."}}"#;
        for text in [
            format!(r#"{{"jsonrpc":"2.0","id":7,"result":{paid},"result":{{"isError":true}}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":7,"result":null,"result":{paid}}}"#),
            format!(r#"{{"jsonrpc":"2.0","id":7,"id":8,"result":{paid},"result":{paid}}}"#),
        ] {
            let completed = Completed {
                output: Some(text.as_str().into()),
                notices: vec![serde_json::json!({"type": "output", "keptAs": "text"})],
                ..Completed::default()
            };
            assert_eq!(read_response(&text), (true, Some(ToolResult::Completed(completed))), "{text}");
        }
        let twice = format!(r#"{{"jsonrpc":"2.0","jsonrpc":"2.0","id":7,"id":"7","result":{paid}}}"#);
        let (is_read, result) = read_response(&twice);
        assert!(is_read, "{twice}");
        assert!(matches!(result, Some(ToolResult::Completed(Completed { message: Some(_), .. }))), "{twice}");
    }

    /// The server may ask for input or not, and for one input or another.
    #[test]
    fn request_for_input_with_a_duplicate_name_has_no_result() {
        for result in [
            r#"{"resultType":"input_required","resultType":"complete","structuredContent":{}}"#,
            r#"{"resultType":"input_required","requestState":"a","requestState":"b"}"#,
            r#"{"resultType":"input_required","inputRequests":{"a":{"params":{"message":"1","message":"9"}}}}"#,
        ] {
            let text = format!(r#"{{"jsonrpc":"2.0","id":7,"result":{result}}}"#);
            assert_eq!(read_response(&text), (true, None), "{text}");
        }
        let unique =
            r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"input_required","requestState":"a"}}"#;
        assert_eq!(read_response(unique), (false, None), "rmcp reads requests for input");
        let complete =
            r#"{"jsonrpc":"2.0","id":7,"result":{"resultType":"complete","resultType":"complete"}}"#;
        assert!(read_response(complete).1.is_some());
    }

    #[test]
    fn message_with_two_errors_is_an_error() {
        let id = RequestId::Number(7);
        for error in [
            r#""error":{"code":-32602,"message":"a"},"error":{"code":1,"message":"b"}"#,
            r#""error":{"code":-32602,"code":1,"message":"a"}"#,
        ] {
            let state = CallState::new();
            state.request_sent(Some(&id));
            let message = read(&format!(r#"{{"jsonrpc":"2.0","id":7,{error}}}"#), &id, &state).unwrap();
            assert!(message.contains(&NO_CODE.to_string()), "{error}: {message}");
            let CallError::Answered(answered) = state.error(Reason::ConnectionLost) else {
                panic!("{error}: not answered")
            };
            assert_eq!(answered.rpc, Some(NO_CODE), "{error}");
        }
    }
}
