//! The table of causes: for each event of the model, what it adds.

use serde_json::json;

use super::*;
use ModelEvent as E;

/// Events before the one that is tested, the event, and what it yields.
type Row = (&'static str, Vec<ModelEvent>, ModelEvent, &'static [&'static str]);

fn rows() -> Vec<Row> {
    let begun = || E::OutputItemAdded { index: 0, item: message(&[]) };
    let thinking = || E::OutputItemAdded { index: 0, item: reasoning(&[], None) };
    let part_added = || E::ContentPartAdded { index: 0, part: 0, content: text_part("", vec![]) };
    let done = |text: &str| E::OutputItemDone { index: 0, item: message(&[text]) };
    let summary_done = |text: &str| E::ReasoningSummaryTextDone { index: 0, part: 0, text: text.to_owned() };
    vec![
        ("the response begins", vec![], E::ResponseCreated, &[]),
        ("an unknown event", vec![begun()], E::Ignored, &[]),
        ("a message begins", vec![], begun(), &["added assistant_message"]),
        ("a part begins", vec![begun()], part_added(), &["part 0"]),
        ("a part begins twice", vec![begun(), part_added()], part_added(), &[]),
        ("text", vec![begun(), part_added()], delta(0, "a"), &["text \"a\""]),
        ("empty text", vec![begun(), part_added()], delta(0, ""), &[]),
        ("text of a part that was not announced", vec![begun()], delta(0, "a"), &["part 0", "text \"a\""]),
        (
            "text of a message that was not announced",
            vec![],
            delta(0, "a"),
            &["added assistant_message", "part 0", "text \"a\""],
        ),
        (
            "a refusal",
            vec![begun()],
            E::RefusalDelta { index: 0, part: 0, delta: "No.".to_owned() },
            &["part 0", "text \"No.\""],
        ),
        (
            "the end of a text, with more than the deltas",
            vec![delta(0, "a")],
            E::TextDone { index: 0, part: 0, text: "ab".to_owned() },
            &["text \"b\""],
        ),
        (
            "the end of a text, without a text",
            vec![delta(0, "a")],
            E::TextDone { index: 0, part: 0, text: String::new() },
            &[],
        ),
        (
            "the end of a text, with another text",
            vec![delta(0, "a")],
            E::TextDone { index: 0, part: 0, text: "xy".to_owned() },
            &[],
        ),
        (
            "a citation",
            vec![delta(0, "a")],
            E::AnnotationAdded { index: 0, part: 0, annotation: url("https://a.example", 1) },
            &["annotation 0 at Some(1)"],
        ),
        (
            "a citation of a script",
            vec![delta(0, "a")],
            E::AnnotationAdded { index: 0, part: 0, annotation: url("javascript:alert(1)", 1) },
            &[],
        ),
        (
            "a citation of an unknown kind",
            vec![delta(0, "a")],
            E::AnnotationAdded { index: 0, part: 0, annotation: ModelAnnotation::Other },
            &[],
        ),
        (
            "the end of a part, with a citation that was not streamed",
            vec![delta(0, "a")],
            E::ContentPartDone {
                index: 0,
                part: 0,
                content: text_part("a", vec![url("https://a.example", 1)]),
            },
            &["annotation 0 at Some(1)", "part 0 done \"a\""],
        ),
        (
            "the end of a message",
            vec![delta(0, "a")],
            done("a"),
            &["part 0 done \"a\"", "stored message [\"a\"]"],
        ),
        (
            "the end of a message whose part is done",
            vec![delta(0, "a"), E::ContentPartDone { index: 0, part: 0, content: text_part("a", vec![]) }],
            done("a"),
            &["stored message [\"a\"]"],
        ),
        (
            "the end of a message that was not streamed",
            vec![],
            done("a"),
            &[
                "added assistant_message",
                "part 0",
                "text \"a\"",
                "part 0 done \"a\"",
                "stored message [\"a\"]",
            ],
        ),
        ("the end of an empty message", vec![begun(), part_added()], done(""), &["removed"]),
        ("the end of a message, again", vec![delta(0, "a"), done("a")], done("a"), &[]),
        (
            "another message begins",
            vec![delta(0, "a")],
            E::OutputItemAdded { index: 1, item: message(&[]) },
            &["part 0 done \"a\"", "stored message [\"a\"]", "added assistant_message"],
        ),
        (
            "text of a message that another one interrupted",
            vec![delta(0, "a"), delta(1, "b")],
            delta(0, "c"),
            &[
                "part 0 done \"b\"",
                "stored message [\"b\"]",
                "added assistant_message",
                "part 0",
                "text \"c\"",
            ],
        ),
        (
            "the end of a message that another one interrupted",
            vec![delta(0, "a"), delta(1, "b"), delta(0, "a")],
            done("aa"),
            &["part 0 done \"a\"", "stored message [\"a\"]"],
        ),
        ("reasoning begins", vec![], thinking(), &["added workflow"]),
        ("reasoning begins again", vec![thinking()], thinking(), &[]),
        ("reasoning beside a message", vec![delta(0, "a")], summary_delta(1, 0, "t"), &[]),
        ("a thought", vec![thinking()], summary_delta(0, 0, "t"), &["task 0 added \"t\""]),
        (
            "a thought that was not announced",
            vec![],
            summary_delta(0, 0, "t"),
            &["added workflow", "task 0 added \"t\""],
        ),
        (
            "more of a thought",
            vec![summary_delta(0, 0, "t")],
            summary_delta(0, 0, "u"),
            &["task 0 updated \"tu\""],
        ),
        (
            "a second thought",
            vec![summary_delta(0, 0, "t")],
            summary_delta(0, 1, "u"),
            &["task 1 added \"u\""],
        ),
        (
            "open reasoning",
            vec![summary_delta(0, 0, "t")],
            E::ReasoningTextDelta { index: 0, part: 0, delta: "u".to_owned() },
            &["task 1 added \"u\""],
        ),
        ("the end of a thought", vec![summary_delta(0, 0, "t")], summary_done("t"), &[]),
        (
            "the end of a thought, with more than the deltas",
            vec![summary_delta(0, 0, "t")],
            summary_done("tu"),
            &["task 0 updated \"tu\""],
        ),
        (
            "the late end of a thought",
            vec![
                summary_delta(0, 0, "t"),
                delta(1, "a"),
                E::OutputItemDone { index: 1, item: message(&["a"]) },
            ],
            summary_done("tu"),
            &[],
        ),
        (
            "the end of reasoning",
            vec![thinking()],
            E::OutputItemDone { index: 0, item: reasoning(&["t"], None) },
            &["task 0 added \"t\""],
        ),
        (
            "the end of encrypted reasoning",
            vec![thinking()],
            E::OutputItemDone { index: 0, item: reasoning(&[], Some("gAAA")) },
            &["hidden reasoning"],
        ),
        (
            "a message begins after reasoning",
            vec![summary_delta(0, 0, "t")],
            E::OutputItemAdded { index: 1, item: message(&[]) },
            &["stored workflow [\"t\"]", "added assistant_message"],
        ),
        ("a call begins", vec![], E::OutputItemAdded { index: 0, item: call("pay") }, &[]),
        (
            "arguments of a call",
            vec![],
            E::FunctionCallArgumentsDone { index: 0, arguments: "{}".to_owned() },
            &[],
        ),
        (
            "a call is done",
            vec![E::OutputItemAdded { index: 0, item: call("pay") }],
            E::OutputItemDone { index: 0, item: call("pay") },
            &["hidden hidden_context_item"],
        ),
        (
            "an item of a tool of the server",
            vec![],
            E::OutputItemDone { index: 0, item: OutputItem::Other { kind: "web_search_call".to_owned() } },
            &[],
        ),
        ("the response is complete", vec![delta(0, "a"), done("a")], completed(), &[]),
        (
            "the response is complete, and its message is not",
            vec![delta(0, "a")],
            completed(),
            &["part 0 done \"a\"", "stored message [\"a\"]"],
        ),
        (
            "the response is complete, and only its end contains the message",
            vec![E::ResponseCreated],
            E::Completed { usage: None, output: vec![reasoning(&["t"], Some("gAAA")), message(&["a"])] },
            &[
                "added workflow",
                "task 0 added \"t\"",
                "hidden reasoning",
                "stored workflow [\"t\"]",
                "added assistant_message",
                "part 0",
                "text \"a\"",
                "part 0 done \"a\"",
                "stored message [\"a\"]",
            ],
        ),
        (
            "the response is complete, and its output repeats what was streamed",
            vec![
                summary_delta(0, 0, "t"),
                delta(1, "a"),
                E::OutputItemDone { index: 1, item: message(&["a"]) },
            ],
            E::Completed { usage: None, output: vec![reasoning(&["t"], Some("gAAA")), message(&["a"])] },
            &[],
        ),
        (
            "the response is complete, and its output counts the items in another way",
            vec![delta(0, "a"), done("a")],
            E::Completed { usage: None, output: vec![reasoning(&[], None), message(&["a"])] },
            &[],
        ),
        ("an event after the end", vec![delta(0, "a"), completed()], delta(0, "b"), &[]),
    ]
}

#[test]
fn each_event_of_the_model_yields_the_outputs_of_its_row() {
    let mut wrong = Vec::new();
    for (name, before, event, expected) in rows() {
        let mut turn = turn();
        before.into_iter().for_each(|event| drop(turn.on_event(event)));
        let outputs = describe(&turn.on_event(event));
        if outputs != expected {
            wrong.push(format!("{name}: expected {expected:?}, got {outputs:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn long_thought_is_sent_in_steps_that_grow() {
    let mut turn = turn();
    let mut sent = 0;
    for _ in 0..10_000 {
        for output in turn.on_event(summary_delta(0, 0, "word ")) {
            sent += serde_json::to_string(&match output {
                TurnOutput::Event(event) => event,
                other => panic!("{other:?}"),
            })
            .unwrap()
            .len();
        }
    }
    let TurnOutput::Item(item) = &turn.on_event(E::OutputItemAdded { index: 1, item: message(&[]) })[0]
    else {
        panic!("the workflow is done");
    };
    let length = serde_json::to_string(item).unwrap().len();
    assert!(length > 50_000, "{length}");
    assert!(sent < 25 * length, "{sent} bytes for {length}");
}

#[test]
fn duration_of_reasoning_is_in_whole_seconds() {
    let mut turn = turn();
    turn.on_event(E::OutputItemAdded { index: 0, item: reasoning(&[], None) });
    // The clock moves half a second with each call, also of a draft.
    (0..5).for_each(|_| drop(turn.draft()));
    let outputs = turn.on_event(E::OutputItemAdded { index: 1, item: message(&[]) });
    let TurnOutput::Item(item) = &outputs[0] else { panic!("{outputs:?}") };
    let json = serde_json::to_value(item).unwrap();
    assert_eq!(json["workflow"]["summary"], serde_json::json!({ "duration": 3 }));
    assert_eq!(json["workflow"]["expanded"], false);
}

#[test]
fn hidden_items_contain_what_the_next_request_needs() {
    let mut turn = turn();
    let outputs = turn.on_event(E::OutputItemDone { index: 0, item: reasoning(&["t"], Some("gAAA")) });
    let Some(TurnOutput::Hidden(hidden)) = outputs.last() else { panic!("{outputs:?}") };
    assert!(hidden.id.starts_with("rsn_"), "{hidden:?}");
    for (field, value) in [("type", "reasoning"), ("model", "m1"), ("encrypted_content", "gAAA")] {
        assert_eq!(hidden.item[field], value, "{hidden:?}");
    }
    let outputs = turn.on_event(E::OutputItemDone { index: 1, item: call("pay<script>\n") });
    let Some(TurnOutput::Hidden(hidden)) = outputs.last() else { panic!("{outputs:?}") };
    assert_eq!(hidden.item["content"], "The assistant requested the tool payscript. It was not called.");
}

#[test]
fn cited_file_has_its_name_or_a_plain_label() {
    for (filename, label) in [(Some("invoices.pdf"), "invoices.pdf"), (None, "File")] {
        let annotation = ModelAnnotation::FileCitation {
            file_id: "file-68b0e7".to_owned(),
            filename: filename.map(str::to_owned),
            index: Some(1),
        };
        let mut turn = turn();
        turn.on_event(delta(0, "a"));
        let outputs = turn.on_event(E::AnnotationAdded { index: 0, part: 0, annotation });
        let [TurnOutput::Event(ThreadStreamEvent::ItemUpdated { update, .. })] = outputs.as_slice() else {
            panic!("{outputs:?}");
        };
        let sent = serde_json::to_value(update).unwrap();
        let source = json!({ "type": "file", "title": label, "filename": label });
        assert_eq!(sent["annotation"], json!({ "type": "annotation", "source": source, "index": 1 }));
    }
}
