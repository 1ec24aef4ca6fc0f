use super::*;

#[path = "duplicate_name_tests.rs"]
mod duplicate_names;
#[path = "task_tests.rs"]
mod tasks;

fn read(result: &Value) -> ToolResult {
    parse_tool_result(&serde_json::value::to_raw_value(result).unwrap())
}

fn text(text: &str) -> Value {
    json!([{"type": "text", "text": text}])
}

/// Wraps a result as servers do that also support clients which read only text.
fn structured(value: &Value) -> ToolResult {
    read(&json!({"content": text(&value.to_string()), "structuredContent": value}))
}

fn completed(outcome: ToolResult) -> Completed {
    let ToolResult::Completed(completed) = outcome else { panic!("not completed: {outcome:?}") };
    completed
}

fn failed(outcome: ToolResult) -> FailureReport {
    let ToolResult::Failed(failed) = outcome else { panic!("not failed: {outcome:?}") };
    failed
}

fn asked(outcome: ToolResult) -> NeedsHuman {
    let ToolResult::NeedsHuman(asked) = outcome else { panic!("not asked: {outcome:?}") };
    asked
}

#[test]
fn status_is_the_only_required_member() {
    assert_eq!(completed(structured(&json!({"status": "completed"}))), Completed::default());
    assert_eq!(failed(structured(&json!({"status": "failed"}))), FailureReport::default());
    let asked = asked(structured(&json!({"status": "needs_hitl"})));
    assert_eq!(asked.ask.decisions, [Decision::Approve, Decision::Reject]);
    assert!(!asked.ask.reason.is_empty() && asked.ask.risk.is_none());
}

#[test]
fn known_members_are_read_and_unknown_ones_are_ignored() {
    let completed = completed(structured(&json!({
        "status": "completed", "message": "Paid.", "output": {"paid": 42.1}, "notices": ["late"], "colour": "red",
        "tasks": [{"id": "pay-42", "title": "Pay invoice 42", "status": "completed", "requiresHitl": true, "x": 1,
                   "description": "By bank transfer", "dueAt": "2026-11-30T12:00:00+01:00",
                   "escalationId": "01981d3c-0000-7000-8000-000000000000"}],
        "followUps": [{"agentId": "tax_compliance", "objective": "check the VAT", "inputs": {"invoice": 42}}],
        "handover": {"agentId": "cfo_strategy", "reason": "large", "summary": "all paid"},
        "ask": null,
    })));
    assert_eq!(completed.message.as_deref(), Some("Paid."));
    assert_eq!(completed.output, Some(json!({"paid": 42.1})));
    assert_eq!(completed.notices, [json!("late")]);
    assert!(completed.tasks[0].requires_hitl && completed.tasks[0].status.as_str() == "completed");
    let recorded = serde_json::to_value(&completed.tasks[0]).unwrap();
    let expected = json!({
        "id": "pay-42", "title": "Pay invoice 42", "status": "completed", "requires_hitl": true,
        "description": "By bank transfer", "due_at": "2026-11-30T11:00:00.000000Z",
        "escalation_id": "01981d3c-0000-7000-8000-000000000000",
    });
    assert_eq!(recorded, expected);
    assert_eq!(completed.follow_ups[0].agent_id, "tax_compliance");
    assert_eq!(completed.handover.unwrap().summary.as_deref(), Some("all paid"));
}

#[test]
fn null_members_count_as_missing() {
    let mut all: Map<String, Value> = MEMBERS.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    all.insert("output".to_owned(), Value::Null);
    all.insert("status".to_owned(), json!("completed"));
    assert_eq!(completed(structured(&Value::Object(all))), Completed::default());
    let nothing = json!({"content": null, "structuredContent": null, "isError": null, "_meta": {}});
    assert_eq!(completed(read(&nothing)), Completed::default());
}

/// Servers put the result in three places, and some do not wrap it.
#[test]
fn contract_result_is_found_in_every_position() {
    for (ours, is_found) in [
        (
            json!({"status": "needs_hitl", "message": "Pay?", "ask": {"reason": "Large.", "risk": "medium"}}),
            true,
        ),
        (
            json!({"status": "NEEDS_HITL", "message": "Pay?", "ask": {"reason": "Large.", "risk": "medium"}}),
            false,
        ),
    ] {
        let as_text = ours.to_string();
        for result in [
            json!({"structuredContent": ours}),
            json!({"structuredContent": {"result": ours}, "content": text(&as_text)}),
            json!({"structuredContent": {"result": ours, "elapsed": 7}}),
            json!({"content": text(&as_text)}),
            json!({"content": text(&format!("\n{ours:#}\n"))}),
            json!({"content": text(&json!({"result": ours}).to_string())}),
            json!({"structuredContent": {"result": as_text}, "content": text(&as_text)}),
            json!({"content": [{"type": "image", "data": "", "mimeType": "a/b"}, {"type": "text", "text": as_text}]}),
            ours.clone(),
        ] {
            match read(&result) {
                ToolResult::NeedsHuman(asked) if is_found => {
                    assert!(asked.message.is_some_and(|message| message.starts_with("Pay?")), "{result}");
                    assert_eq!(asked.ask.reason, "Large.", "{result}");
                    assert_eq!(asked.ask.risk, Some(Risk::Medium), "{result}");
                }
                ToolResult::Completed(completed) if !is_found => {
                    assert!(completed.output.is_some() && completed.message.is_none(), "{result}");
                }
                outcome => panic!("{result}: {outcome:?}"),
            }
        }
    }
}

#[test]
fn foreign_result_becomes_the_output_of_a_completed_call() {
    for output in [
        json!({"status": "success", "paid": true}),
        json!({"status": "COMPLETED"}),
        json!({"status": null, "followUps": [{"agentId": "tax"}]}),
        json!({"status": {"completed": null}}),
        json!({"status": 200}),
        json!({"paid": true}),
        json!({"result": {"status": "ok"}}),
        json!({"result": [{"status": "needs_hitl"}]}),
        json!({"result": 42}),
        json!({"result": null}),
        json!([1, "two", null]),
        json!(42),
        json!(false),
    ] {
        let expected = Completed { output: Some(output.clone()), ..Completed::default() };
        assert_eq!(completed(structured(&output)), expected, "{output}");
        let expected = Completed { output: Some(output.clone()), ..Completed::default() };
        let as_text = read(&json!({"content": text(&output.to_string())}));
        assert_eq!(completed(as_text), expected, "{output} as text");
    }
}

#[test]
fn plain_text_becomes_the_message() {
    let parts = |result: Value| {
        let completed = completed(read(&result));
        (completed.message, completed.output, completed.notices)
    };
    let done = || Some("Done.".to_owned());
    assert_eq!(parts(json!({"content": text("Done.")})), (done(), None, vec![]));
    // FastMCP's responses with a text, a list of texts, and a text that is a number.
    let wrapped = json!({"result": "Done."});
    let answer = parts(json!({"content": text("Done."), "structuredContent": wrapped}));
    assert_eq!(answer, (done(), Some(wrapped), vec![]));
    let list = json!({"result": ["7", "b"]});
    let texts = json!([{"type": "text", "text": "7"}, {"type": "text", "text": "b"}]);
    let answer = parts(json!({"content": texts, "structuredContent": list}));
    assert_eq!(answer, (Some("7\nb".to_owned()), Some(list), vec![]));
    let number = json!({"result": "42"});
    let answer = parts(json!({"content": text("42"), "structuredContent": number}));
    assert_eq!(answer, (Some("42".to_owned()), Some(number), vec![]));
}

#[test]
fn json_text_never_becomes_the_message() {
    let parts = |result: Value| {
        let completed = completed(read(&result));
        assert_eq!(completed.message, None, "{result}");
        (completed.output.unwrap(), completed.notices)
    };
    let texts = |texts: &[&str]| -> Value {
        texts.iter().map(|text| json!({"type": "text", "text": text})).collect()
    };
    // One text an entry: FastMCP's responses with lists, typed and untyped.
    let entries = texts(&[r#"{"a": 1}"#, "[2]"]);
    let list = json!([{"a": 1}, [2]]);
    assert_eq!(parts(json!({"content": entries})), (list.clone(), vec![]));
    let wrapped = json!({"result": list});
    assert_eq!(parts(json!({"content": entries, "structuredContent": wrapped})), (wrapped, vec![]));
    // A tool whose result is typed as text and that returns JSON.
    let object = json!({"result": r#"{"status": "success"}"#});
    let answer = parts(json!({"content": texts(&[r#"{"status": "success"}"#]), "structuredContent": object}));
    assert_eq!(answer, (object, vec![]));
    // JSON in the text that differs from the structured content is kept.
    let answer = parts(json!({"content": texts(&[r#"{"b": 2}"#]), "structuredContent": {"a": 1}}));
    assert_eq!(answer, (json!({"a": 1}), vec![json!({"b": 2})]));
    let error = failed(read(&json!({"content": text(r#"{"error": "no such invoice"}"#), "isError": true})));
    assert_eq!((error.message, error.output), (None, Some(json!({"error": "no such invoice"}))));
}

#[test]
fn is_error_means_failure_whatever_the_status() {
    let message = |structured: Value, plain: &str| {
        let result = json!({"content": text(plain), "structuredContent": structured, "isError": true});
        failed(read(&result)).message.unwrap()
    };
    assert_eq!(message(Value::Null, "No such invoice."), "No such invoice.");
    assert_eq!(message(json!({"status": "completed"}), "Oops."), "Oops.");
    assert_eq!(message(json!({"status": "needs_hitl"}), "Oops."), "Oops.");
    assert_eq!(message(json!({"status": "success"}), "Oops."), "Oops.");
    assert_eq!(message(json!({"status": "completed", "message": "Not paid."}), "{}"), "Not paid.");
}

/// The work is done, whatever else the agent reports. A malformed member is not acted on, but kept.
#[test]
fn malformed_member_does_not_affect_the_others() {
    let task = json!({"id": "a", "title": "t", "status": "running"});
    for (name, malformed) in [
        ("message", json!({"text": "Paid."})),
        ("notices", json!("late")),
        ("tasks", json!([{"id": "", "title": "t", "status": "running"}])),
        ("tasks", json!([{"id": "a", "title": "t", "status": "done"}])),
        ("tasks", json!(vec![task; 51])),
        ("followUps", json!([{"agentId": "tax_compliance"}, {"agentId": "Tax Compliance"}])),
        ("followUps", json!([{"objective": "whoever"}])),
        ("handover", json!({"agentId": "9lives"})),
        ("handover", json!("cfo_strategy")),
    ] {
        let mut answer = json!({"status": "completed", "message": "Paid.", "output": 7});
        answer[name] = malformed.clone();
        let completed = completed(structured(&answer));
        let notice = json!({"type": "malformed", "members": {name: malformed}});
        let expected = Completed {
            message: Some("Paid.".to_owned()).filter(|_| name != "message"),
            output: Some(json!(7)),
            notices: vec![notice],
            ..Completed::default()
        };
        assert_eq!(completed, expected, "{answer}");
        answer["status"] = json!("failed");
        assert_eq!(failed(structured(&answer)).output, Some(json!(7)));
    }
}

/// A tool that does not know the contract may report `completed`, as our agents do.
#[test]
fn unknown_members_replace_a_missing_output() {
    let answer = completed(structured(&json!({"status": "completed", "orderId": "X", "total": 12})));
    assert_eq!(answer.output, Some(json!({"orderId": "X", "total": 12})));
    // Structured content beside a result that was found in the text is kept as well.
    let ours = json!({"status": "completed", "message": "Paid."}).to_string();
    let answer = completed(read(&json!({"content": text(&ours), "structuredContent": {"a": 1}})));
    assert_eq!((answer.message.as_deref(), answer.output), (Some("Paid."), Some(json!({"a": 1}))));
    let answer = completed(read(&json!({"content": text(&ours), "structuredContent": {"result": ours}})));
    assert_eq!((answer.message.as_deref(), answer.output), (Some("Paid."), None));
}

/// A malformed question goes to another person as high risk, so no question is lost.
#[test]
fn malformed_question_is_asked_with_high_risk() {
    let question = asked(structured(&json!({"status": "needs_hitl", "ask": "May I?"}))).ask;
    assert_eq!((question.reason, question.risk), (format!("May I? {MALFORMED}"), Some(Risk::High)));
    for ask in [
        json!([]),
        json!({"decisions": ["approve", "approve"]}),
        json!({"decisions": ["sign"], "risk": "low", "approver": "self"}),
        json!({"schema": {"type": "invoice"}, "decisions": ["respond"]}),
        json!({"schema": {"$ref": "https://example.com/schema"}, "approver": "self"}),
        json!({"risk": "none", "approver": "self"}),
        json!({"approver": "anybody", "risk": "low"}),
        json!({"expiresInSeconds": "a day"}),
        json!({"reason": {"text": "r"}}),
    ] {
        let question = asked(structured(&json!({"status": "needs_hitl", "message": "Pay?", "ask": ask}))).ask;
        assert_eq!(
            (question.risk, question.approver),
            (Some(Risk::High), Some(Approver::OtherOnly)),
            "{ask}"
        );
        assert_eq!(question.decisions, [Decision::Approve, Decision::Reject], "{ask}");
        assert_eq!(question.schema, None, "{ask}");
        assert_eq!(question.reason, format!("Pay? {MALFORMED}"), "{ask}");
    }
    let valid = json!({"reason": "r", "decisions": ["respond"], "schema": {"type": "object"},
        "risk": "low", "approver": "self", "expiresInSeconds": 120.0, "colour": 1});
    let question = asked(structured(&json!({"status": "needs_hitl", "ask": valid}))).ask;
    assert_eq!((question.risk, question.approver), (Some(Risk::Low), Some(Approver::SelfOrOther)));
    assert_eq!((question.reason.as_str(), question.expires_in_seconds), ("r", Some(120)));
    assert!(question.schema.is_some() && question.decisions == [Decision::Respond]);
}

#[test]
fn links_and_files_are_reported_for_every_status() {
    let link = json!({"type": "resource_link", "uri": "https://example.com/42.pdf", "name": "42.pdf"});
    let image = json!({"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"});
    let named = json!({"type": "image", "mimeType": "image/png", "size": 5, "leftOut": true});
    let result = |structured: Value, is_error: bool| {
        read(&json!({"content": [link, image], "structuredContent": structured, "isError": is_error}))
    };
    for structured in [json!({"status": "completed"}), json!({"paid": true}), Value::Null] {
        assert_eq!(completed(result(structured, false)).notices, [link.clone(), named.clone()]);
    }
    let line = "42.pdf: https://example.com/42.pdf\nimage (image/png, 5 bytes, not kept)";
    let question = asked(result(json!({"status": "needs_hitl", "message": "Pay?"}), false));
    assert_eq!(question.message, Some(format!("Pay?\n{line}")));
    assert_eq!(failed(result(json!({"status": "failed"}), false)).message.as_deref(), Some(line));
    assert_eq!(failed(result(Value::Null, true)).message.as_deref(), Some(line));
}

#[test]
fn output_of_any_depth_is_kept() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let raw = |text: &str| {
        completed(parse_tool_result(&serde_json::value::RawValue::from_string(text.to_owned()).unwrap()))
    };
    for levels in [1, 64, 65, 127, 128, 5_000] {
        let deep = nested(levels);
        let as_text = serde_json::to_string(&deep).unwrap();
        for result in [
            format!(
                r#"{{"structuredContent": {{"status": "completed", "message": "Paid.", "output": {deep}}}}}"#
            ),
            format!(r#"{{"content": [{{"type": "text", "text": {as_text}}}], "structuredContent": {deep}}}"#),
            format!(r#"{{"content": [{{"type": "text", "text": {as_text}}}]}}"#),
        ] {
            let answer = raw(&result);
            let value = answer.output.unwrap();
            match levels {
                ..=64 => assert_eq!((value.to_string(), answer.notices), (deep.clone(), vec![])),
                _ => {
                    assert_eq!(value, json!(deep), "{levels}");
                    assert_eq!(answer.notices, [json!({"type": "output", "keptAs": "text"})], "{levels}");
                }
            }
        }
        // Inputs that are nested too deeply to be read again are not sent.
        let inputs = format!(r#"[{{"agentId": "tax", "inputs": {{"a": {deep}}}}}]"#);
        let result = format!(r#"{{"structuredContent": {{"status": "completed", "followUps": {inputs}}}}}"#);
        assert_eq!(raw(&result).follow_ups.len(), usize::from(levels == 1), "{levels}");
    }
}

/// Recording the result would drop it, together with all else that does not fit beside it.
#[test]
fn oversized_output_is_replaced_by_its_size() {
    let large = json!({"a": "x".repeat(MAX_SIZE)});
    let size = large.to_string().len();
    let named = json!({"type": "output", "leftOut": true, "size": size});
    for result in [
        json!({"structuredContent": large, "content": text(&large.to_string())}),
        json!({"content": text(&large.to_string())}),
        json!({"structuredContent": {"status": "completed", "output": large}}),
    ] {
        let answer = completed(read(&result));
        assert_eq!((answer.message, answer.output, answer.notices), (None, None, vec![named.clone()]));
    }
    let half = json!("x".repeat(MAX_SIZE / 2));
    let links = json!(vec![json!({"type": "text", "text": format!(r#"["{}"]"#, "y".repeat(90_000))}); 3]);
    let answer = completed(read(&json!({"content": links})));
    assert_eq!(answer.notices, [json!({"type": "output", "leftOut": true, "size": 3 * 90_004})]);
    let answer = completed(read(&json!({"content": links, "structuredContent": {"a": 1}})));
    let more = json!({"type": "more", "leftOut": true, "count": 1});
    assert_eq!((answer.notices.len(), &answer.notices[2]), (3, &more));
    let answer = completed(structured(&json!({"status": "completed", "a": half, "b": half})));
    assert_eq!(answer.output, Some(json!({"leftOut": true, "size": MAX_SIZE + 6})));
}

/// A response with many texts and a long list would otherwise take quadratic time.
#[test]
fn many_texts_are_not_compared_with_a_long_list() {
    let texts: Vec<Value> = (0..20_000).map(|n| json!({"type": "text", "text": n.to_string()})).collect();
    let list: Vec<Value> = (0..20_000).map(|n| json!(-1 - n)).collect();
    let answer = completed(read(&json!({"content": texts, "structuredContent": {"result": list}})));
    assert_eq!((answer.message, answer.notices), (None, vec![]));
}

#[test]
fn shown_texts_are_truncated() {
    let long = "ü".repeat(9_000);
    let ask = json!({"reason": long, "expiresInSeconds": 1});
    let asked = asked(structured(&json!({"status": "needs_hitl", "message": long, "ask": ask})));
    assert_eq!(asked.message.unwrap().chars().count(), 8_000);
    assert_eq!((asked.ask.reason.chars().count(), asked.ask.expires_in_seconds), (2_000, Some(60)));
}

#[test]
fn results_contain_only_storable_text() {
    for result in [
        r#"{"structuredContent": {"status": "completed", "message": "a\u0000b", "output": {"\u0000": "\u0000"}, "x": "\u0000"}}"#,
        r#"{"structuredContent": {"a\u0000": ["\u0000"]}}"#,
        r#"{"content": [{"type": "text", "text": "a\u0000b"}]}"#,
        r#"{"content": [{"type": "resource_link", "uri": "a\u0000b"}, {"type": "\u0000"}]}"#,
        // Half of a surrogate pair, which is not text in Rust or PostgreSQL.
        r#"{"structuredContent": {"status": "completed", "message": "\ud83d", "output": {"a": "\ud83d"}}}"#,
        r#"{"content": [{"type": "text", "text": "\ud83d"}]}"#,
        r#"{"structuredContent": 1e999}"#,
    ] {
        let outcome =
            parse_tool_result(&serde_json::value::RawValue::from_string(result.to_owned()).unwrap());
        let text = serde_json::to_string(&completed(outcome)).unwrap();
        assert!(
            serde_json::from_str::<Value>(&text).is_ok() && !text.replace(r"\\u", "").contains(r"\u0000"),
            "{text}"
        );
    }
}
