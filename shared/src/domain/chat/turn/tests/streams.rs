//! Whole streams, from the bytes of a server to the events of ChatKit.

use serde_json::{Value, json};

use super::{client::Client, *};
use crate::clients::model::{Usage, read_events};

/// A stream as OpenAI sends it: reasoning with a summary, and a message with a citation.
const ANSWER: &str = r#"event: response.created
data: {"type":"response.created","response":{"id":"resp_1","status":"in_progress","output":[]},"sequence_number":0}

event: response.in_progress
data: {"type":"response.in_progress","response":{"id":"resp_1","status":"in_progress","output":[]},"sequence_number":1}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]},"sequence_number":2}

event: response.reasoning_summary_part.added
data: {"type":"response.reasoning_summary_part.added","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":""},"sequence_number":3}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"**Adding","sequence_number":4}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":" up**","sequence_number":5}

event: response.reasoning_summary_text.done
data: {"type":"response.reasoning_summary_text.done","item_id":"rs_1","output_index":0,"summary_index":0,"text":"**Adding up**","sequence_number":6}

event: response.reasoning_summary_part.done
data: {"type":"response.reasoning_summary_part.done","item_id":"rs_1","output_index":0,"summary_index":0,"part":{"type":"summary_text","text":"**Adding up**"},"sequence_number":7}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"**Adding up**"}],"encrypted_content":"gAAAAAB"},"sequence_number":8}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]},"sequence_number":9}

event: response.content_part.added
data: {"type":"response.content_part.added","item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]},"sequence_number":10}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"Seven ","logprobs":[],"sequence_number":11}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"invoices.","logprobs":[],"sequence_number":12}

event: response.output_text.annotation.added
data: {"type":"response.output_text.annotation.added","item_id":"msg_1","output_index":1,"content_index":0,"annotation_index":0,"annotation":{"type":"url_citation","url":"https://books.example/7","title":"Books","start_index":0,"end_index":15},"sequence_number":13}

event: response.output_text.done
data: {"type":"response.output_text.done","item_id":"msg_1","output_index":1,"content_index":0,"text":"Seven invoices.","logprobs":[],"sequence_number":14}

event: response.content_part.done
data: {"type":"response.content_part.done","item_id":"msg_1","output_index":1,"content_index":0,"part":{"type":"output_text","text":"Seven invoices.","annotations":[{"type":"url_citation","url":"https://books.example/7","title":"Books","start_index":0,"end_index":15}]},"sequence_number":15}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Seven invoices.","annotations":[{"type":"url_citation","url":"https://books.example/7","title":"Books","start_index":0,"end_index":15}]}]},"sequence_number":16}

event: response.completed
data: {"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":90,"input_tokens_details":{"cached_tokens":40},"output_tokens":30,"output_tokens_details":{"reasoning_tokens":20},"total_tokens":120}},"sequence_number":17}

"#;

/// Returns the events as a client receives them.
fn sent(outputs: &[TurnOutput]) -> Vec<Value> {
    outputs
        .iter()
        .filter_map(|output| match output {
            TurnOutput::Event(event) => Some(serde_json::to_value(event).unwrap()),
            TurnOutput::Item(item) => {
                Some(serde_json::to_value(ThreadStreamEvent::ItemDone { item: item.clone() }).unwrap())
            }
            TurnOutput::Hidden(_) => None,
        })
        .collect()
}

#[test]
fn answer_with_reasoning_and_a_citation_has_the_events_of_the_protocol() {
    let mut turn = turn();
    let outputs: Vec<_> =
        read_events(ANSWER).unwrap().into_iter().flat_map(|event| turn.on_event(event)).collect();
    let workflow = format!("wf_{:032x}", 1);
    let message = format!("msg_{:032x}", 3);
    let thought = |text: &str| json!({ "type": "thought", "content": text, "status_indicator": "none" });
    let annotation = json!({
        "type": "annotation",
        "source": { "type": "url", "title": "Books", "url": "https://books.example/7" },
        "index": 15,
    });
    let content = json!({ "type": "output_text", "text": "Seven invoices.", "annotations": [annotation] });
    let update =
        |id: &str, update: Value| json!({ "type": "thread.item.updated", "item_id": id, "update": update });
    let item = |id: &str, at: &str, fields: Value| {
        let mut item = json!({ "id": id, "thread_id": "thr_1", "created_at": format!("2026-09-21T{at}Z") });
        item.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        item
    };
    let expected = [
        json!({
            "type": "thread.item.added",
            "item": item(&workflow, "14:13:20.500000", json!({
                "type": "workflow",
                "workflow": { "type": "reasoning", "tasks": [], "expanded": false },
            })),
        }),
        update(
            &workflow,
            json!({ "type": "workflow.task.added", "task_index": 0, "task": thought("**Adding") }),
        ),
        update(
            &workflow,
            json!({ "type": "workflow.task.updated", "task_index": 0, "task": thought("**Adding up**") }),
        ),
        json!({
            "type": "thread.item.done",
            "item": item(&workflow, "14:13:20.500000", json!({
                "type": "workflow",
                "workflow": {
                    "type": "reasoning",
                    "tasks": [thought("**Adding up**")],
                    "summary": { "duration": 1 },
                    "expanded": false,
                },
            })),
        }),
        json!({
            "type": "thread.item.added",
            "item": item(&message, "14:13:22.000000", json!({ "type": "assistant_message", "content": [] })),
        }),
        update(
            &message,
            json!({
                "type": "assistant_message.content_part.added",
                "content_index": 0,
                "content": { "type": "output_text", "text": "", "annotations": [] },
            }),
        ),
        update(
            &message,
            json!({ "type": "assistant_message.content_part.text_delta", "content_index": 0, "delta": "Seven " }),
        ),
        update(
            &message,
            json!({
                "type": "assistant_message.content_part.text_delta",
                "content_index": 0,
                "delta": "invoices.",
            }),
        ),
        update(
            &message,
            json!({
                "type": "assistant_message.content_part.annotation_added",
                "content_index": 0,
                "annotation_index": 0,
                "annotation": annotation,
            }),
        ),
        update(
            &message,
            json!({
                "type": "assistant_message.content_part.done",
                "content_index": 0,
                "content": content,
            }),
        ),
        json!({
            "type": "thread.item.done",
            "item": item(&message, "14:13:22.000000", json!({ "type": "assistant_message", "content": [content] })),
        }),
    ];
    assert_eq!(sent(&outputs), expected);
    let usage = Usage { input_tokens: 90, cached_tokens: 40, output_tokens: 30, reasoning_tokens: 20 };
    assert_eq!(turn.usage(), Some(usage));
    assert!(turn.has_answer());
}

/// A crash can happen after any event.
#[test]
fn draft_after_each_event_is_what_the_client_holds() {
    let mut turn = turn();
    let mut client = Client::default();
    for event in read_events(ANSWER).unwrap() {
        let outputs = turn.on_event(event);
        client.apply(outputs);
        let mut saved = client.stored.clone();
        saved.extend(turn.draft());
        let mut shown = client.shown.clone();
        // An item that is still empty is not worth saving.
        shown.retain(|item| !describe_content(&item.content).ends_with("[]") && !is_blank(&item.content));
        let without_duration = |items: &[crate::domain::chat::protocol::ThreadItem]| {
            items.iter().map(|item| (item.id.clone(), describe_content(&item.content))).collect::<Vec<_>>()
        };
        assert_eq!(without_duration(&saved), without_duration(&shown));
    }
    assert_eq!(turn.draft(), []);
}

fn is_blank(content: &ItemContent) -> bool {
    match content {
        ItemContent::AssistantMessage { content } => content.iter().all(|part| part.text.trim().is_empty()),
        _ => false,
    }
}
