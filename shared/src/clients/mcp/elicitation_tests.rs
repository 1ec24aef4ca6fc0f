use super::*;

fn parse_input_required(requests: &Value, state: Option<&str>) -> Result<InputRequired, InvalidResult> {
    let mut result = json!({"resultType": "input_required", "inputRequests": requests});
    if let Some(state) = state {
        result["requestState"] = json!(state);
    }
    parse(serde_json::from_value(result).unwrap())
}

fn elicitation(message: &str, field: &str) -> Value {
    let schema = json!({"type": "object", "properties": {field: {"type": "string"}}, "required": [field]});
    json!({"method": "elicitation/create", "params": {"mode": "form", "message": message, "requestedSchema": schema}})
}

fn apply_answer(
    asked: &NeedsHuman,
    decision: Decision,
    answer: Option<&Value>,
) -> Result<CallToolRequestParams, Reason> {
    let mut params = CallToolRequestParams::new("tool");
    let request_state = asked.request_state.as_ref().unwrap();
    ElicitationAnswer { request_state, decision, answer }.apply_to(&mut params).map(|()| params)
}

#[test]
fn single_form_is_unchanged_and_its_answer_returns_with_the_state() {
    let Ok(InputRequired::Ask(asked)) =
        parse_input_required(&json!({"who": elicitation("Who pays?", "name")}), Some("st.ate ü"))
    else {
        panic!("not asked")
    };
    assert_eq!(asked.ask.reason, "Who pays?");
    assert_eq!(asked.ask.decisions, [Decision::Respond, Decision::Reject]);
    assert_eq!(asked.ask.schema.as_ref().unwrap()["required"], json!(["name"]));
    let params = apply_answer(&asked, Decision::Respond, Some(&json!({"name": "Ada"}))).unwrap();
    assert_eq!(params.request_state.as_deref(), Some("st.ate ü"));
    assert_eq!(
        params.input_responses.unwrap()["who"],
        json!({"action": "accept", "content": {"name": "Ada"}})
    );
    let params = apply_answer(&asked, Decision::Reject, None).unwrap();
    assert_eq!(params.input_responses.unwrap()["who"], json!({"action": "decline"}));
    assert!(apply_answer(&asked, Decision::Respond, None).is_err());
    assert!(apply_answer(&asked, Decision::Respond, Some(&json!("Ada"))).is_err());
}

#[test]
fn several_forms_are_merged_into_one() {
    let requests = json!({"a": elicitation("First?", "x"), "b": elicitation("Second?", "y")});
    let Ok(InputRequired::Ask(asked)) = parse_input_required(&requests, None) else { panic!("not asked") };
    assert_eq!(asked.ask.reason, "First?\nSecond?");
    assert_eq!(asked.ask.schema.as_ref().unwrap()["required"], json!(["a", "b"]));
    let params =
        apply_answer(&asked, Decision::Respond, Some(&json!({"a": {"x": "1"}, "b": {"y": "2"}}))).unwrap();
    assert_eq!(params.input_responses.unwrap()["b"]["content"], json!({"y": "2"}));
    assert!(apply_answer(&asked, Decision::Respond, Some(&json!({"a": {"x": "1"}}))).is_err());
}

#[test]
fn state_without_requests_means_retry() {
    assert!(
        matches!(parse_input_required(&json!({}), Some("later")), Ok(InputRequired::Retry(state)) if state == "later")
    );
}

#[test]
fn unanswerable_requests_are_rejected() {
    let sampling = json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}});
    let url = json!({"method": "elicitation/create", "params": {
        "mode": "url", "message": "m", "url": "https://example.com", "elicitationId": "e"}});
    for request in [sampling, url] {
        assert!(parse_input_required(&json!({"a": request}), None).is_err());
    }
    assert!(parse_input_required(&json!({}), Some("\0")).is_err());
    assert!(parse_input_required(&json!({"a": elicitation("m", "x")}), Some(&"x".repeat(70_000))).is_err());
}

#[test]
fn foreign_request_state_is_rejected() {
    let mut params = CallToolRequestParams::new("tool");
    let resume =
        ElicitationAnswer { request_state: &json!("opaque"), decision: Decision::Reject, answer: None };
    assert_eq!(resume.apply_to(&mut params), Err(Reason::AnswerMismatch));
}
