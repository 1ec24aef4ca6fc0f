use super::*;
use serde_json::json;

fn structured(value: Value) -> Result<Outcome, BadResult> {
    of_tool(false, Some(value), Some("the same as text".to_owned()))
}

#[test]
fn a_status_is_all_that_must_be_there() {
    assert_eq!(structured(json!({"status": "completed"})), Ok(Outcome::Completed(Completed::default())));
    assert_eq!(structured(json!({"status": "failed"})), Ok(Outcome::Failed(Failed::default())));
    let Ok(Outcome::Asked(asked)) = structured(json!({"status": "needs_hitl"})) else { panic!("not asked") };
    assert_eq!(asked.ask.decisions, [Decision::Approve, Decision::Reject]);
    assert!(!asked.ask.reason.is_empty());
}

#[test]
fn what_is_there_is_read_and_what_nobody_knows_is_passed_over() {
    let answer = structured(json!({
        "status": "completed", "message": "Paid.", "output": {"paid": 42.1}, "notices": ["late"], "colour": "red",
        "tasks": [{"id": "pay-42", "title": "Pay invoice 42", "status": "completed", "requiresHitl": true, "x": 1}],
        "followUps": [{"agentId": "tax_compliance", "objective": "check the VAT", "inputs": {"invoice": 42}}],
        "handover": {"agentId": "cfo_strategy", "reason": "large", "summary": "all paid"},
        "ask": null,
    }));
    let Ok(Outcome::Completed(completed)) = answer else { panic!("{answer:?}") };
    assert_eq!(completed.message.as_deref(), Some("Paid."));
    assert_eq!(completed.output, Some(json!({"paid": 42.1})));
    assert_eq!(completed.notices, [json!("late")]);
    assert!(completed.tasks[0].requires_hitl && completed.tasks[0].status.as_str() == "completed");
    assert_eq!(completed.follow_ups[0].agent_id, "tax_compliance");
    assert_eq!(completed.handover.unwrap().summary.as_deref(), Some("all paid"));
}

#[test]
fn nothing_may_be_said_as_null() {
    let fields = ["message", "output", "notices", "tasks", "ask", "followUps", "handover"];
    let mut all: Map<String, Value> = fields.iter().map(|name| ((*name).to_owned(), Value::Null)).collect();
    all.insert("status".to_owned(), json!("completed"));
    assert_eq!(structured(Value::Object(all)), Ok(Outcome::Completed(Completed::default())));
}

#[test]
fn text_alone_is_the_message() {
    let message = |structured, text: &str| match of_tool(false, structured, Some(text.to_owned())) {
        Ok(Outcome::Completed(completed)) => (completed.message, completed.output),
        other => panic!("{other:?}"),
    };
    assert_eq!(message(None, "Done."), (Some("Done.".to_owned()), None));
    // As FastMCP answers.
    assert_eq!(
        message(Some(json!({"result": "Done."})), "Done."),
        (Some("Done.".to_owned()), Some(json!({"result": "Done."})))
    );
    // The structured content repeated as text is no message.
    assert_eq!(message(Some(json!({"sum": 7})), r#"{"sum": 7}"#), (None, Some(json!({"sum": 7}))));
    assert_eq!(of_tool(false, None, None), Ok(Outcome::Completed(Completed::default())));
}

#[test]
fn an_error_is_a_failure_whatever_else_it_says() {
    let failed = |structured, text: &str| match of_tool(true, structured, Some(text.to_owned())) {
        Ok(Outcome::Failed(failed)) => failed.message,
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(None, "No such invoice."), Some("No such invoice.".to_owned()));
    assert_eq!(failed(Some(json!({"status": "completed"})), "Oops."), Some("Oops.".to_owned()));
    assert_eq!(
        failed(Some(json!({"status": "completed", "message": "Not paid."})), "{}"),
        Some("Not paid.".to_owned())
    );
}

#[test]
fn what_would_be_acted_on_must_be_right() {
    for wrong in [
        json!({"status": "needs_approval"}),
        json!({"status": null}),
        json!({"status": {"completed": null}}),
        json!({"status": "completed", "message": 7}),
        json!({"status": "completed", "tasks": [{"id": "", "title": "t", "status": "running"}]}),
        json!({"status": "completed", "tasks": [{"id": "a", "title": "t", "status": "done"}]}),
        json!({"status": "completed", "tasks": vec![json!({"id": "a", "title": "t", "status": "running"}); 51]}),
        json!({"status": "completed", "followUps": [{"agentId": "Tax Compliance"}]}),
        json!({"status": "completed", "followUps": [{"objective": "whoever"}]}),
        json!({"status": "completed", "handover": {"agentId": "9lives"}}),
        json!({"status": "needs_hitl", "ask": {"decisions": ["approve", "approve"]}}),
        json!({"status": "needs_hitl", "ask": {"decisions": ["sign"]}}),
        json!({"status": "needs_hitl", "ask": {"schema": {"type": "invoice"}}}),
        json!({"status": "needs_hitl", "ask": {"schema": {"$ref": "https://example.com/schema"}}}),
        json!({"status": "needs_hitl", "ask": {"risk": "none"}}),
        json!({"status": "needs_hitl", "ask": {"approver": "anybody"}}),
    ] {
        assert_eq!(structured(wrong.clone()), Err(BadResult), "{wrong}");
    }
}

#[test]
fn what_is_only_shown_is_cut_to_what_can_be_kept() {
    let long = "ü".repeat(9_000);
    let answer = structured(json!({
        "status": "needs_hitl", "message": long, "ask": {"reason": long, "expiresInSeconds": 1}
    }));
    let Ok(Outcome::Asked(asked)) = answer else { panic!("{answer:?}") };
    assert_eq!(asked.message.unwrap().chars().count(), 8_000);
    assert_eq!((asked.ask.reason.chars().count(), asked.ask.expires_in_seconds), (2_000, Some(60)));
}

#[test]
fn no_outcome_holds_what_cannot_be_stored() {
    let answer =
        structured(json!({"status": "completed", "message": "a\u{0}b", "output": {"\u{0}": "\u{0}"}}));
    assert!(!serde_json::to_string(&answer.unwrap()).unwrap().contains("\\u0000"));
    let answer = of_tool(false, None, Some("a\0b".to_owned()));
    assert!(!serde_json::to_string(&answer.unwrap()).unwrap().contains("\\u0000"));
}
