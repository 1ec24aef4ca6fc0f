//! Results in which an object has a name twice.

use super::*;

fn read_raw(result: &str) -> ToolResult {
    parse_tool_result(&RawValue::from_string(result.to_owned()).unwrap())
}

/// Wraps JSON text as servers do: in the structured content, under `result`, as the only text, and
/// not at all.
fn positions(json: &str) -> [String; 5] {
    let quoted = serde_json::to_string(json).unwrap();
    [
        format!(r#"{{"structuredContent": {json}}}"#),
        format!(r#"{{"structuredContent": {json}, "content": [{{"type": "text", "text": {quoted}}}]}}"#),
        format!(r#"{{"content": [{{"type": "text", "text": {quoted}}}]}}"#),
        format!(r#"{{"structuredContent": {{"result": {json}}}}}"#),
        json.to_owned(),
    ]
}

/// JSON does not define which value of a duplicate name counts. The call was made, so its result is
/// kept as text, and no value is believed.
#[test]
fn object_with_a_duplicate_status_becomes_the_output_as_text() {
    for json in [
        r#"{"status": "completed", "status": "failed"}"#,
        r#"{"status": "failed", "status": "completed"}"#,
        r#"{"status": "completed", "status": "completed", "message": "Paid."}"#,
        r#"{"status": "needs_hitl", "status": "completed", "ask": {"reason": "r"}}"#,
        r#"{"status": "completed", "\u0073tatus": "needs_hitl", "followUps": [{"agentId": "tax"}]}"#,
        r#"{"status": "success", "status": "completed"}"#,
        // The duplicate is deeper in a result that does not follow the contract.
        r#"{"amount": 1, "amount": 1000}"#,
        r#"{"status": "success", "paid": [{"invoice": {"amount": 1, "amount": 1000}}]}"#,
        r#"[{"amount": 1, "amount": 1000}]"#,
        r#"{"result": {"status": "completed"}, "result": {"status": "failed"}}"#,
        r#"{"result": {"status": "completed", "status": "failed"}}"#,
    ] {
        for result in positions(json) {
            let answer = completed(read_raw(&result));
            let kept = answer.output.as_ref().and_then(Value::as_str).unwrap_or_default();
            assert!(kept.contains(json), "{result}: {answer:?}");
            let expected = Completed {
                output: Some(json!(kept)),
                notices: vec![json!({"type": "output", "keptAs": "text"})],
                ..Completed::default()
            };
            assert_eq!(answer, expected, "{result}");
        }
    }
}

/// A result with one known status follows the contract. Its ambiguous members are not acted on.
#[test]
fn member_with_a_duplicate_name_is_malformed() {
    for (members, kept) in [
        (r#""message":"Paid 1.","message":"Paid 9.""#, json!(r#"{"message":"Paid 1.","message":"Paid 9."}"#)),
        (
            r#""output":{"amount":1},"output":{"amount":9}"#,
            json!(r#"{"output":{"amount":1},"output":{"amount":9}}"#),
        ),
        (
            r#""followUps":[{"agentId":"tax"}],"followUps":[{"agentId":"cfo"}]"#,
            json!(r#"{"followUps":[{"agentId":"tax"}],"followUps":[{"agentId":"cfo"}]}"#),
        ),
        (
            r#""followUps":[{"agentId":"tax","agentId":"cfo"}]"#,
            json!({"followUps": r#"[{"agentId":"tax","agentId":"cfo"}]"#}),
        ),
        (
            r#""followUps":[{"agentId":"tax","inputs":{"a":[{"amount":1,"amount":9}]}}]"#,
            json!({"followUps": r#"[{"agentId":"tax","inputs":{"a":[{"amount":1,"amount":9}]}}]"#}),
        ),
        (
            r#""handover":{"agentId":"cfo","agentId":"tax"}"#,
            json!({"handover": r#"{"agentId":"cfo","agentId":"tax"}"#}),
        ),
        (
            r#""tasks":[{"id":"a","title":"t","status":"running","status":"completed"}]"#,
            json!({"tasks": r#"[{"id":"a","title":"t","status":"running","status":"completed"}]"#}),
        ),
        (r#""notices":[{"a":1,"a":2}]"#, json!({"notices": r#"[{"a":1,"a":2}]"#})),
    ] {
        for result in positions(&format!(r#"{{"status":"completed",{members}}}"#)) {
            let notices = vec![json!({"type": "malformed", "members": kept})];
            let expected = Completed { notices, ..Completed::default() };
            assert_eq!(completed(read_raw(&result)), expected, "{result}");
        }
    }
    let as_text = json!({"type": "output", "keptAs": "text"});
    for (members, output) in [
        (r#""output":{"amount":1,"amount":9}"#, json!(r#"{"amount":1,"amount":9}"#)),
        (r#""output":[[{"a":{"amount":1,"amount":9}}]]"#, json!(r#"[[{"a":{"amount":1,"amount":9}}]]"#)),
        (r#""amount":1,"amount":9"#, json!(r#"{"amount":1,"amount":9}"#)),
    ] {
        for result in positions(&format!(r#"{{"status":"completed","message":"Paid.",{members}}}"#)) {
            let answer = completed(read_raw(&result));
            assert_eq!((answer.message.as_deref(), answer.output), (Some("Paid."), Some(output.clone())));
            assert_eq!(answer.notices, std::slice::from_ref(&as_text), "{result}");
        }
    }
    // A question is asked whatever else the result has.
    for ask in [
        r#""ask":{"risk":"low"},"ask":{"risk":"low"}"#,
        r#""ask":{"reason":"r","risk":"low","risk":"high"}"#,
        r#""ask":{"reason":"r","approver":"self","approver":"other"}"#,
        r#""ask":{"schema":{"type":"object","type":"array"},"decisions":["respond"]}"#,
    ] {
        for result in positions(&format!(r#"{{"status":"needs_hitl","message":"Pay?",{ask}}}"#)) {
            let question = asked(read_raw(&result)).ask;
            let who = (question.risk, question.approver);
            assert_eq!(who, (Some(Risk::High), Some(Approver::OtherOnly)), "{result}");
            assert_eq!(question.decisions, [Decision::Approve, Decision::Reject], "{result}");
            assert!(question.reason.ends_with(MALFORMED), "{result}: {question:?}");
        }
    }
    for failed_result in positions(r#"{"status":"failed","message":"No.","tasks":[],"tasks":[]}"#) {
        assert_eq!(failed(read_raw(&failed_result)).message.as_deref(), Some("No."));
    }
}

/// Of two parts of a wrapper, neither counts. A reported error stays one.
#[test]
fn wrapper_with_a_duplicate_name_becomes_the_output_as_text() {
    let ours = r#"{"status":"completed","message":"Paid."}"#;
    let content = r#"[{"type":"text","text":"Paid."}]"#;
    for result in [
        format!(r#"{{"structuredContent":{ours},"structuredContent":{{"status":"failed"}}}}"#),
        format!(r#"{{"content":{content},"content":[],"structuredContent":{ours}}}"#),
        format!(r#"{{"isError":false,"isError":false,"structuredContent":{ours}}}"#),
    ] {
        let expected = Completed {
            output: Some(json!(result)),
            notices: vec![json!({"type": "output", "keptAs": "text"})],
            ..Completed::default()
        };
        assert_eq!(completed(read_raw(&result)), expected);
        let error = format!(r#"{{"isError":true,"isError":false,{}"#, &result[1..]);
        let report = failed(read_raw(&error));
        assert_eq!((report.message, report.output), (None, Some(json!(error))));
    }
    // Metadata is not read.
    let result = format!(r#"{{"_meta":{{"a":1,"a":2}},"_meta":{{}},"structuredContent":{ours}}}"#);
    assert_eq!(completed(read_raw(&result)).message.as_deref(), Some("Paid."));
    // A block with two texts is left out.
    let block = r#"{"type":"text","text":"Paid 1.","text":"Paid 9."}"#;
    let answer = completed(read_raw(&format!(r#"{{"content":[{block}]}}"#)));
    let left_out = json!({"type": "text", "size": block.len(), "leftOut": true});
    assert_eq!((answer.message, answer.notices), (None, vec![left_out]));
}
