//! The status of a function's response.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Separates the prelude of a streamed response from its body.
const PRELUDE_END: [u8; 8] = [0; 8];

/// Fails unless the status of a response is 2xx. A scheduled run returns a report without a status;
/// a failed run is an error of the invocation.
pub fn require_success(answer: &[u8]) -> Result<()> {
    let head: Value = serde_json::from_slice(split(answer).0).context("the response is not JSON")?;
    let status = head.get("statusCode").map_or(Some(200), Value::as_u64);
    let is_success = status.is_some_and(|status| (200..300).contains(&status));
    ensure!(is_success, "expected 2xx, found {status:?}: {}", String::from_utf8_lossy(answer));
    Ok(())
}

/// Splits a streamed response into its prelude, which contains the status, and its body. Of a whole
/// response, the second part is empty.
pub fn split(answer: &[u8]) -> (&[u8], &[u8]) {
    match answer.windows(PRELUDE_END.len()).position(|window| window == PRELUDE_END) {
        Some(end) => (&answer[..end], &answer[end + PRELUDE_END.len()..]),
        None => (answer, &[]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_of_whole_and_of_streamed_responses_is_required() {
        let cases: [(&[u8], bool); 6] = [
            (br#"{"statusCode":201,"body":"{}"}"#, true),
            (br#"{"statusCode":409,"body":"{}"}"#, false),
            (br#"{"statusCode":"many"}"#, false),
            (br#"{"claimed":0}"#, true),
            (b"{\"statusCode\":200}\0\0\0\0\0\0\0\0data: {}\n\n", true),
            (b"{\"statusCode\":401}\0\0\0\0\0\0\0\0{\"statusCode\":200}", false),
        ];
        for (answer, is_success) in cases {
            let required = require_success(answer);
            assert_eq!(required.is_ok(), is_success, "{}: {required:?}", String::from_utf8_lossy(answer));
        }
    }
}
