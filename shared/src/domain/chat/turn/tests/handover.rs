//! Turns that another agent or the page continues.

use super::{
    super::{CallEnd, NextModel, TurnEnd},
    *,
};

const TASK: &str = r#"stored call "Tax continues the conversation." """#;
const NOTE: &str = "hidden hidden_context_item";

fn turn_with_client_tool() -> Turn<Counter> {
    turn().with_tools(true).with_client_tools(vec!["open".to_owned()])
}

fn respond(turn: &mut Turn<Counter>, names: &[&str]) {
    for (index, name) in (0..).zip(names) {
        turn.on_event(ModelEvent::OutputItemDone { index, item: call(name) });
    }
    turn.on_event(completed());
}

#[test]
fn handover_leaves_the_calls_of_the_previous_model() {
    let mut turn = turn_with_client_tool();
    respond(&mut turn, &["hand_over", "pay", "open"]);
    turn.begin_call().unwrap();
    turn.end_call(CallEnd::Completed, Vec::new());
    let next = NextModel { model: "m2".to_owned(), offers_tools: false, client_tools: Vec::new() };
    assert_eq!(describe(&turn.hand_over("Tax", Some(next))), [NOTE, NOTE, TASK.trim_end()]);
    assert!(turn.begin_call().is_none() && turn.ended().is_none());
    turn.begin_response();
    // The next model is offered no tools.
    respond(&mut turn, &["pay"]);
    assert!(turn.begin_call().is_none());
    assert_eq!(turn.ended(), Some(TurnEnd::Completed));
}

#[test]
fn handover_to_a_hosted_agent_ends_the_turn_with_a_notice() {
    let mut turn = turn_with_client_tool();
    respond(&mut turn, &["hand_over"]);
    turn.begin_call().unwrap();
    turn.end_call(CallEnd::Completed, Vec::new());
    let outputs = describe(&turn.hand_over("Tax", None));
    assert_eq!(outputs, [TASK.trim_end(), r#"notice "Tax continues the conversation.""#]);
    assert_eq!(turn.ended(), Some(TurnEnd::HandedOver));
    assert!(turn.has_answer() && turn.draft().is_empty());
}

#[test]
fn client_call_follows_the_other_calls_and_ends_the_turn() {
    let mut turn = turn_with_client_tool();
    respond(&mut turn, &["open", "pay", "open"]);
    assert_eq!(turn.next_client_call(), None, "the other call precedes");
    let (pay, _) = turn.begin_call().unwrap();
    assert_eq!(pay.name, "pay");
    assert_eq!(turn.next_client_call(), None, "a call is under way");
    turn.end_call(CallEnd::Completed, Vec::new());
    assert!(turn.next_client_call().is_some());
    let outputs = describe(&turn.end_with_client_call(serde_json::Map::new()));
    assert_eq!(outputs, [NOTE, r#"stored client call "open" Pending None"#], "one call a turn");
    assert_eq!(turn.ended(), Some(TurnEnd::ClientCall));
    assert!(turn.draft().is_empty());
}
