//! The answer to a tool's call, read by ourselves. rmcp's types refuse a whole result for one block that they do not know, its parser
//! gives up at 128 levels, and an error without an id finds nobody who waits for it. So rmcp is told only that the call was answered.

use rmcp::model::{ErrorCode, ErrorData, RequestId, ServerJsonRpcMessage, ServerResult};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{course::Course, outcome};

/// For an error whose code is no number: of the range that is the server's own.
const NO_CODE: i32 = -32000;

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Failure {
    code: i32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kind<'a> {
    #[serde(borrow)]
    result_type: Option<&'a RawValue>,
}

/// Takes in the answer to the call `id`, if the text is that. What is to be told to rmcp instead is handed back.
pub(super) fn read(text: &str, id: &RequestId, course: &Course) -> Option<ServerJsonRpcMessage> {
    // Servers of 2025-03-26 may answer with a batch.
    match serde_json::from_str::<Vec<&RawValue>>(text) {
        Ok(batch) => batch.into_iter().find_map(|message| one(message.get(), id, course)),
        Err(_) => one(text, id, course),
    }
}

fn one(text: &str, id: &RequestId, course: &Course) -> Option<ServerJsonRpcMessage> {
    let reply: Reply<'_> = serde_json::from_str(text).ok()?;
    let told = reply.id.map(|id| id.get().trim_matches('"'));
    let is_ours = told.is_some_and(|told| told == id.to_string());
    match (reply.method, reply.result, reply.error) {
        (None, Some(result), _) if is_ours && is_complete(result) => {
            course.answer(outcome::of_tool(result));
            Some(ServerJsonRpcMessage::response(ServerResult::empty(()), id.clone()))
        }
        // One that could not read the request does not know its id.
        (None, None, Some(error)) if is_ours || told.is_none() => {
            let code = serde_json::from_str(error.get()).map_or(NO_CODE, |error: Failure| error.code);
            course.failed(code);
            Some(ServerJsonRpcMessage::error(ErrorData::new(ErrorCode(code), "", None), Some(id.clone())))
        }
        _ => None,
    }
}

/// Whether it is a result, and not a question (`input_required`), which rmcp reads.
fn is_complete(result: &RawValue) -> bool {
    let kind = serde_json::from_str(result.get()).ok().and_then(|kind: Kind<'_>| kind.result_type);
    kind.is_none_or(|kind| matches!(kind.get(), "null" | "\"complete\""))
}
