//! Calls of tools: which are made, and what a reader sees of them.

use super::{
    super::{CallEnd, RequestedCall, TurnEnd, call::DEFAULT_MAX_CALLS},
    *,
};
use crate::clients::model::{IncompleteReason, ModelCause, Usage};

fn turn_with_tools() -> Turn<Counter> {
    turn().with_tools(true)
}

/// The events of a response with these calls.
fn response(names: &[&str]) -> Vec<ModelEvent> {
    let calls = (0..).zip(names).map(|(index, name)| ModelEvent::OutputItemDone { index, item: call(name) });
    calls.chain([completed()]).collect()
}

fn apply(turn: &mut Turn<Counter>, events: Vec<ModelEvent>) -> Vec<String> {
    events.into_iter().flat_map(|event| describe(&turn.on_event(event))).collect()
}

fn begin(turn: &mut Turn<Counter>) -> RequestedCall {
    turn.begin_call().expect("a call").0
}

#[test]
fn calls_of_a_response_are_made_in_order_when_it_is_complete() {
    let mut turn = turn_with_tools();
    turn.on_event(ModelEvent::OutputItemDone { index: 0, item: call("pay") });
    assert!(!turn.waits_for_calls() && turn.begin_call().is_none(), "the response may still break off");
    turn.on_event(ModelEvent::OutputItemDone { index: 1, item: call("file") });
    turn.on_event(completed());
    assert!(turn.waits_for_calls() && turn.ended().is_none());

    let (first, outputs) = turn.begin_call().unwrap();
    assert_eq!((first.name.as_str(), first.arguments.as_str()), ("pay", "{}"));
    assert_eq!(describe(&outputs), ["added task"]);
    assert!(turn.begin_call().is_none(), "one call at a time");
    assert_eq!(describe(&turn.end_call(CallEnd::Completed, Vec::new())), [r#"stored call "pay" "Done.""#]);
    let (second, _) = turn.begin_call().unwrap();
    assert_eq!(second.name, "file");
    assert_ne!(first.call_id, second.call_id, "servers repeat their ids");
    assert_eq!(
        describe(&turn.end_call(CallEnd::Held, Vec::new())),
        [r#"stored call "file" "Waits for a decision.""#]
    );
    assert!(turn.begin_call().is_none());
    assert_eq!(turn.begin_response(), []);
    assert!(!turn.waits_for_calls());
    let expected = [
        "added assistant_message",
        "part 0",
        "text \"Paid.\"",
        "part 0 done \"Paid.\"",
        "stored message [\"Paid.\"]",
    ];
    let events = vec![delta(0, "Paid."), completed()];
    assert_eq!(apply(&mut turn, events), expected, "positions begin at zero again");
    assert_eq!(turn.ended(), Some(TurnEnd::Completed));
}

#[test]
fn response_that_requests_a_call_closes_its_message_and_takes_no_further_event() {
    let mut turn = turn_with_tools();
    apply(&mut turn, vec![delta(0, "a"), ModelEvent::OutputItemDone { index: 1, item: call("pay") }]);
    assert_eq!(apply(&mut turn, vec![completed()]), ["part 0 done \"a\"", "stored message [\"a\"]"]);
    assert_eq!(turn.on_event(delta(2, "b")), []);
}

#[test]
fn call_is_a_note_if_no_tools_are_offered() {
    let mut turn = turn();
    let outputs = apply(&mut turn, response(&["pay"]));
    assert_eq!(outputs[0], "hidden hidden_context_item");
    assert!(turn.ended().is_some() && turn.begin_call().is_none());
}

#[test]
fn call_that_is_done_twice_is_made_once() {
    let mut turn = turn_with_tools();
    let done = || ModelEvent::OutputItemDone { index: 0, item: call("pay") };
    let end = ModelEvent::Completed { usage: None, output: vec![call("pay")] };
    apply(&mut turn, vec![done(), done(), end]);
    begin(&mut turn);
    turn.end_call(CallEnd::Completed, Vec::new());
    assert!(turn.begin_call().is_none());
}

#[test]
fn call_that_only_the_end_of_the_response_contains_is_made() {
    let mut turn = turn_with_tools();
    let end = ModelEvent::Completed { usage: None, output: vec![reasoning(&[], Some("gAAA")), call("pay")] };
    apply(&mut turn, vec![ModelEvent::ResponseCreated, end]);
    assert_eq!(begin(&mut turn).name, "pay");
}

/// A response that breaks off may be requested again, so its calls are not made.
#[test]
fn calls_of_a_broken_response_are_not_made() {
    let note = "hidden hidden_context_item";
    for end in [
        TurnEnd::Incomplete(IncompleteReason::MaxOutputTokens),
        TurnEnd::Failed(ModelCause::RateLimited),
        TurnEnd::Cut,
        TurnEnd::Stopped,
        TurnEnd::DeadlineReached,
    ] {
        let mut turn = turn_with_tools();
        turn.on_event(ModelEvent::OutputItemDone { index: 0, item: call("pay") });
        turn.on_event(ModelEvent::OutputItemAdded { index: 1, item: call("file") });
        let outputs = describe(&turn.end(end));
        assert_eq!(outputs.iter().filter(|output| *output == note).count(), 2, "{end:?}: {outputs:?}");
        assert!(turn.begin_call().is_none() && !turn.waits_for_calls(), "{end:?}");
    }
}

#[test]
fn turn_that_ends_during_a_call_leaves_its_task_and_the_calls_after_it() {
    let mut turn = turn_with_tools();
    apply(&mut turn, response(&["pay", "file"]));
    begin(&mut turn);
    let [draft] = &turn.draft()[..] else { panic!("the task is saved") };
    assert_eq!(
        describe_content(&draft.content),
        r#"call "pay" "The answer ended before the result was known.""#
    );
    let outputs = describe(&turn.end(TurnEnd::Stopped));
    let expected = [
        r#"stored call "pay" "The answer ended before the result was known.""#,
        "hidden hidden_context_item",
        "stored mark \"Stopped.\"",
    ];
    assert_eq!(outputs, expected);
    assert_eq!(turn.end_call(CallEnd::Completed, Vec::new()), [], "the task is stored");
}

#[test]
fn turn_makes_a_limited_number_of_calls() {
    let mut turn = turn_with_tools();
    let mut made = 0;
    for _ in 0..DEFAULT_MAX_CALLS {
        assert!(turn.may_call());
        apply(&mut turn, response(&["pay"]));
        begin(&mut turn);
        made += 1;
        turn.end_call(CallEnd::Refused, Vec::new());
        turn.begin_response();
    }
    assert_eq!((made, turn.may_call()), (16, false));
    assert_eq!(
        apply(&mut turn, response(&["pay"])),
        [
            "stored mark \"The answer reached its limit of tool calls.\"",
            "notice \"The answer reached its limit of tool calls. Send a message to go on.\"",
        ]
    );
    assert_eq!(turn.ended(), Some(TurnEnd::TooManyCalls));

    let mut turn = turn_with_tools();
    apply(&mut turn, response(&["pay"; DEFAULT_MAX_CALLS + 5]));
    for _ in 0..DEFAULT_MAX_CALLS {
        begin(&mut turn);
        turn.end_call(CallEnd::Completed, Vec::new());
    }
    assert!(turn.begin_call().is_none(), "the rest is not made");
    assert_eq!(describe(&turn.begin_response()), ["hidden hidden_context_item"], "the model learns of it");

    let mut turn = turn_with_tools().with_max_calls(1);
    apply(&mut turn, response(&["pay"]));
    assert!(!turn.may_call());
}

#[test]
fn answer_without_tokens_leaves_its_call_out_and_ends_with_a_notice() {
    let mut turn = turn_with_tools();
    apply(&mut turn, response(&["pay", "book"]));
    begin(&mut turn);
    assert_eq!(
        describe(&turn.end_call(CallEnd::NotMade, Vec::new())),
        ["stored call \"pay\" \"Not made.\"", "hidden hidden_context_item"]
    );
    assert_eq!(
        describe(&turn.end(TurnEnd::TokensUsedUp)),
        [
            "hidden hidden_context_item",
            "stored mark \"The tokens of the day are used up.\"",
            "notice \"The tokens of the day are used up. Go on later, or ask an administrator.\"",
        ]
    );
}

#[test]
fn turn_that_has_done_something_is_an_answer_without_a_text() {
    for (end, is_answer) in [
        (CallEnd::Completed, true),
        (CallEnd::Held, true),
        (CallEnd::Asked, true),
        (CallEnd::Failed, false),
        (CallEnd::Refused, false),
        (CallEnd::Unknown, false),
        (CallEnd::NotMade, false),
    ] {
        let mut turn = turn_with_tools();
        apply(&mut turn, response(&["pay"]));
        begin(&mut turn);
        turn.end_call(end, Vec::new());
        turn.begin_response();
        let outputs = apply(&mut turn, vec![completed()]);
        assert_eq!(outputs.is_empty(), is_answer, "{end:?}: {outputs:?}");
    }
}

#[test]
fn name_that_servers_do_not_accept_is_replaced() {
    for (name, expected) in [
        ("pay_invoice-2", "pay_invoice-2"),
        ("functions.pay", "functionspay"),
        ("<script>", "script"),
        ("", "unknown"),
        ("é", "unknown"),
    ] {
        let mut turn = turn_with_tools();
        apply(&mut turn, response(&[name]));
        assert_eq!(begin(&mut turn).name, expected, "{name:?}");
    }
    let mut turn = turn_with_tools();
    apply(&mut turn, response(&["x".repeat(200).as_str()]));
    assert_eq!(begin(&mut turn).name.len(), 64);
}

#[test]
fn tokens_of_all_responses_are_added() {
    let usage = |input_tokens, output_tokens| Usage { input_tokens, output_tokens, ..Usage::default() };
    let end = |usage| ModelEvent::Completed { usage, output: Vec::new() };
    let mut turn = turn_with_tools();
    turn.on_event(ModelEvent::OutputItemDone { index: 0, item: call("pay") });
    turn.on_event(end(Some(usage(100, 10))));
    begin(&mut turn);
    turn.end_call(CallEnd::Completed, Vec::new());
    turn.begin_response();
    assert_eq!((turn.usage(), turn.response_usage()), (Some(usage(100, 10)), None));
    turn.on_event(delta(0, "Paid."));
    turn.on_event(end(Some(usage(150, 5))));
    assert_eq!((turn.usage(), turn.response_usage()), (Some(usage(250, 15)), Some(usage(150, 5))));
}
