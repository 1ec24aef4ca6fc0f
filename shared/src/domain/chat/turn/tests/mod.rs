//! Tests of the turn: by cause, with recorded streams, and with random ones.

mod calls;
mod causes;
mod client;
mod endings;
mod handover;
mod random;
mod streams;

use super::{Turn, TurnOutput};
use crate::{
    clients::model::{ContentPart, ModelAnnotation, ModelEvent, OutputItem, ReasoningItem},
    domain::chat::{
        ItemSource,
        protocol::{ItemContent, ItemUpdate, TaskKind, ThreadStreamEvent},
    },
    platform::parse::Timestamp,
};

/// Counts ids, and adds half a second to the clock with each call.
#[derive(Debug, Default)]
pub(super) struct Counter {
    ids: u128,
    calls: i64,
}

impl ItemSource for Counter {
    fn random(&mut self) -> u128 {
        self.ids += 1;
        self.ids
    }

    fn now(&mut self) -> Timestamp {
        self.calls += 1;
        Timestamp::from_microsecond(1_790_000_000_000_000 + self.calls * 500_000).unwrap()
    }
}

fn turn() -> Turn<Counter> {
    Turn::new("thr_1", "m1", Counter::default())
}

fn message(parts: &[&str]) -> OutputItem {
    OutputItem::Message { content: parts.iter().map(|text| text_part(text, vec![])).collect() }
}

fn text_part(text: &str, annotations: Vec<ModelAnnotation>) -> ContentPart {
    ContentPart::Text { text: text.to_owned(), annotations }
}

fn url(url: &str, end: u64) -> ModelAnnotation {
    ModelAnnotation::UrlCitation { url: url.to_owned(), title: Some("T".to_owned()), end_index: Some(end) }
}

fn reasoning(summary: &[&str], encrypted: Option<&str>) -> OutputItem {
    OutputItem::Reasoning(ReasoningItem {
        summary: summary.iter().map(|text| (*text).to_owned()).collect(),
        content: Vec::new(),
        encrypted_content: encrypted.map(str::to_owned),
    })
}

fn call(name: &str) -> OutputItem {
    OutputItem::FunctionCall { call_id: "c".to_owned(), name: name.to_owned(), arguments: "{}".to_owned() }
}

fn delta(index: u64, text: &str) -> ModelEvent {
    ModelEvent::TextDelta { index, part: 0, delta: text.to_owned() }
}

fn summary_delta(index: u64, part: u64, text: &str) -> ModelEvent {
    ModelEvent::ReasoningSummaryTextDelta { index, part, delta: text.to_owned() }
}

fn completed() -> ModelEvent {
    ModelEvent::Completed { usage: None, output: Vec::new() }
}

/// Describes outputs in one word each, with the text that they carry.
fn describe(outputs: &[TurnOutput]) -> Vec<String> {
    outputs.iter().map(describe_output).collect()
}

fn describe_output(output: &TurnOutput) -> String {
    match output {
        TurnOutput::Hidden(hidden) => format!("hidden {}", hidden.kind),
        TurnOutput::Item(item) => format!("stored {}", describe_content(&item.content)),
        TurnOutput::Event(event) => match event {
            ThreadStreamEvent::ItemAdded { item } => format!("added {}", item.content.kind()),
            ThreadStreamEvent::ItemRemoved { .. } => "removed".to_owned(),
            ThreadStreamEvent::ItemUpdated { update, .. } => match update {
                ItemUpdate::ContentPartAdded { content_index, .. } => format!("part {content_index}"),
                ItemUpdate::TextDelta { delta, .. } => format!("text {delta:?}"),
                ItemUpdate::AnnotationAdded { annotation_index, annotation, .. } => {
                    format!("annotation {annotation_index} at {:?}", annotation.index)
                }
                ItemUpdate::ContentPartDone { content_index, content } => {
                    format!("part {content_index} done {:?}", content.text)
                }
                ItemUpdate::TaskAdded { task_index, task } => {
                    format!("task {task_index} added {:?}", task_text(&task.kind))
                }
                ItemUpdate::TaskUpdated { task_index, task } => {
                    format!("task {task_index} updated {:?}", task_text(&task.kind))
                }
                other => format!("{other:?}"),
            },
            ThreadStreamEvent::Error { message, allow_retry, .. } => {
                format!("error {} {allow_retry}", message.as_deref().unwrap_or("-"))
            }
            ThreadStreamEvent::Notice { message, .. } => format!("notice {message:?}"),
            other => format!("{other:?}"),
        },
    }
}

fn describe_content(content: &ItemContent) -> String {
    match content {
        ItemContent::AssistantMessage { content } => {
            format!("message {:?}", content.iter().map(|part| part.text.as_str()).collect::<Vec<_>>())
        }
        ItemContent::Workflow { workflow } => {
            format!(
                "workflow {:?}",
                workflow.tasks.iter().map(|task| task_text(&task.kind)).collect::<Vec<_>>()
            )
        }
        ItemContent::Task { task } => match &task.kind {
            TaskKind::Custom { icon: Some(_), title, content } => {
                format!(
                    "call {:?} {:?}",
                    title.as_deref().unwrap_or_default(),
                    content.as_deref().unwrap_or_default()
                )
            }
            kind => format!("mark {:?}", task_text(kind)),
        },
        ItemContent::ClientToolCall { status, name, output, .. } => {
            format!("client call {name:?} {status:?} {output:?}")
        }
        other => other.kind().to_owned(),
    }
}

fn task_text(task: &TaskKind) -> &str {
    match task {
        TaskKind::Thought { content, .. } => content,
        TaskKind::Custom { title, .. } => title.as_deref().unwrap_or_default(),
        _ => "",
    }
}
