//! A client: it applies the stream to what it holds, as ChatKit's script does.

use crate::domain::chat::{
    protocol::{ItemContent, ItemUpdate, ThreadItem, ThreadStreamEvent},
    turn::TurnOutput,
};

/// What a client shows, and what the store holds.
#[derive(Debug, Default)]
pub struct Client {
    pub shown: Vec<ThreadItem>,
    pub stored: Vec<ThreadItem>,
    pub hidden: usize,
    /// Ids of items that have begun and are neither done nor removed.
    pub open: Vec<String>,
    /// Number of items that were removed because they were blank.
    pub removed: usize,
}

impl Client {
    /// Applies outputs, and checks that each fits what the client holds.
    pub fn apply(&mut self, outputs: Vec<TurnOutput>) {
        for output in outputs {
            match output {
                TurnOutput::Hidden(_) => self.hidden += 1,
                TurnOutput::Item(item) => self.done(item),
                TurnOutput::Event(event) => self.event(event),
            }
        }
    }

    fn done(&mut self, item: ThreadItem) {
        self.open.retain(|id| *id != item.id);
        match self.shown.iter_mut().find(|shown| shown.id == item.id) {
            Some(shown) => {
                if matches!(item.content, ItemContent::AssistantMessage { .. }) {
                    assert_eq!(*shown, item, "the stream contains the whole message");
                }
                *shown = item.clone();
            }
            None => self.shown.push(item.clone()),
        }
        assert!(self.stored.iter().all(|stored| stored.id != item.id), "stored twice: {item:?}");
        self.stored.push(item);
    }

    fn event(&mut self, event: ThreadStreamEvent) {
        match event {
            ThreadStreamEvent::ItemAdded { item } => {
                assert!(self.open.is_empty(), "one item is open at a time");
                self.open.push(item.id.clone());
                self.shown.push(item);
            }
            ThreadStreamEvent::ItemRemoved { item_id } => {
                assert!(self.open.contains(&item_id));
                self.open.retain(|id| *id != item_id);
                self.shown.retain(|item| item.id != item_id);
                self.removed += 1;
            }
            ThreadStreamEvent::ItemUpdated { item_id, update } => {
                assert!(self.open.contains(&item_id), "only an open item is updated: {update:?}");
                let item = self.shown.iter_mut().find(|item| item.id == item_id).unwrap();
                apply_update(&mut item.content, update);
            }
            ThreadStreamEvent::Error { .. } | ThreadStreamEvent::Notice { .. } => {}
            other => panic!("a turn does not send {other:?}"),
        }
    }
}

fn apply_update(content: &mut ItemContent, update: ItemUpdate) {
    match (content, update) {
        (ItemContent::AssistantMessage { content: parts }, update) => match update {
            ItemUpdate::ContentPartAdded { content_index, content } => {
                assert_eq!(content_index, parts.len());
                parts.push(content);
            }
            ItemUpdate::TextDelta { content_index, delta } => {
                assert!(!delta.is_empty());
                parts[content_index].text.push_str(&delta);
            }
            ItemUpdate::AnnotationAdded { content_index, annotation_index, annotation } => {
                assert_eq!(annotation_index, parts[content_index].annotations.len());
                parts[content_index].annotations.push(annotation);
            }
            ItemUpdate::ContentPartDone { content_index, content } => {
                assert_eq!(parts[content_index], content, "the deltas are the whole part");
            }
            other => panic!("not an update of a message: {other:?}"),
        },
        (ItemContent::Workflow { workflow }, update) => match update {
            ItemUpdate::TaskAdded { task_index, task } => {
                assert_eq!(task_index, workflow.tasks.len());
                workflow.tasks.push(task);
            }
            ItemUpdate::TaskUpdated { task_index, task } => workflow.tasks[task_index] = task,
            other => panic!("not an update of a workflow: {other:?}"),
        },
        (content, update) => panic!("{update:?} of {content:?}"),
    }
}
