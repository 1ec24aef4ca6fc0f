use super::*;

fn required(requests: &Value, state: Option<&str>) -> Result<InputRequired, InvalidResult> {
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

fn resumed(
    asked: &NeedsHuman,
    decision: Decision,
    answer: Option<&Value>,
) -> Result<CallToolRequestParams, Reason> {
    let mut params = CallToolRequestParams::new("tool");
    let request_state = asked.request_state.as_ref().unwrap();
    ElicitationAnswer { request_state, decision, answer }.apply_to(&mut params).map(|()| params)
}

#[test]
fn one_form_is_asked_as_it_is_and_its_answer_goes_back_with_the_state() {
    let Ok(InputRequired::Ask(asked)) =
        required(&json!({"who": elicitation("Who pays?", "name")}), Some("st.ate ü"))
    else {
        panic!("not asked")
    };
    assert_eq!(asked.ask.reason, "Who pays?");
    assert_eq!(asked.ask.decisions, [Decision::Respond, Decision::Reject]);
    assert_eq!(asked.ask.schema.as_ref().unwrap()["required"], json!(["name"]));
    let params = resumed(&asked, Decision::Respond, Some(&json!({"name": "Ada"}))).unwrap();
    assert_eq!(params.request_state.as_deref(), Some("st.ate ü"));
    assert_eq!(
        params.input_responses.unwrap()["who"],
        json!({"action": "accept", "content": {"name": "Ada"}})
    );
    let params = resumed(&asked, Decision::Reject, None).unwrap();
    assert_eq!(params.input_responses.unwrap()["who"], json!({"action": "decline"}));
    assert!(resumed(&asked, Decision::Respond, None).is_err());
    assert!(resumed(&asked, Decision::Respond, Some(&json!("Ada"))).is_err());
}

#[test]
fn several_forms_become_one() {
    let requests = json!({"a": elicitation("First?", "x"), "b": elicitation("Second?", "y")});
    let Ok(InputRequired::Ask(asked)) = required(&requests, None) else { panic!("not asked") };
    assert_eq!(asked.ask.reason, "First?\nSecond?");
    assert_eq!(asked.ask.schema.as_ref().unwrap()["required"], json!(["a", "b"]));
    let params =
        resumed(&asked, Decision::Respond, Some(&json!({"a": {"x": "1"}, "b": {"y": "2"}}))).unwrap();
    assert_eq!(params.input_responses.unwrap()["b"]["content"], json!({"y": "2"}));
    assert!(resumed(&asked, Decision::Respond, Some(&json!({"a": {"x": "1"}}))).is_err());
}

#[test]
fn a_state_alone_means_again() {
    assert!(
        matches!(required(&json!({}), Some("later")), Ok(InputRequired::Retry(state)) if state == "later")
    );
}

#[test]
fn what_no_person_can_answer_is_no_result() {
    let sampling = json!({"method": "sampling/createMessage", "params": {"messages": [], "maxTokens": 1}});
    let url = json!({"method": "elicitation/create", "params": {
        "mode": "url", "message": "m", "url": "https://example.com", "elicitationId": "e"}});
    for request in [sampling, url] {
        assert!(required(&json!({"a": request}), None).is_err());
    }
    assert!(required(&json!({}), Some("\0")).is_err());
    assert!(required(&json!({"a": elicitation("m", "x")}), Some(&"x".repeat(70_000))).is_err());
}

#[test]
fn a_state_that_was_not_ours_is_no_state() {
    let mut params = CallToolRequestParams::new("tool");
    let resume =
        ElicitationAnswer { request_state: &json!("opaque"), decision: Decision::Reject, answer: None };
    assert_eq!(resume.apply_to(&mut params), Err(Reason::AnswerUnfit));
}
