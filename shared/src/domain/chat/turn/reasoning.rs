//! Reasoning of the model: a workflow that the client shows, and an encrypted item for the model.

use serde_json::json;

use super::{HiddenItem, OpenItem, Turn, TurnOutput};
use crate::{
    clients::model::ReasoningItem,
    domain::chat::{
        IdPrefix, ItemSource, new_id,
        protocol::{
            ChatTask, ItemContent, ItemUpdate, StatusIndicator, TaskKind, ThreadItem, ThreadStreamEvent,
            Workflow, WorkflowKind, WorkflowSummary,
        },
    },
    platform::parse::Timestamp,
};

/// An update carries the whole text. To keep the stream of a long thought from growing with the
/// square of its length, an update adds at least this fraction of the text that was sent.
const MIN_GROWTH: usize = 16;

/// A workflow that has begun.
#[derive(Debug)]
pub(super) struct OpenWorkflow {
    id: String,
    created_at: Timestamp,
    thoughts: Vec<Thought>,
}

#[derive(Debug)]
struct Thought {
    key: ThoughtKey,
    text: String,
    /// Bytes of the text that the client has.
    sent: usize,
}

/// Position of a thought in the model's output: its item, its kind, and its part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ThoughtKey(pub u64, pub ThoughtKind, pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ThoughtKind {
    Summary,
    /// The reasoning itself, of models with open weights.
    Reasoning,
}

impl Thought {
    fn to_task(&self) -> ChatTask {
        let kind = TaskKind::Thought { title: None, content: self.text.clone() };
        ChatTask { status_indicator: StatusIndicator::None, kind }
    }
}

impl OpenWorkflow {
    pub fn is_empty(&self) -> bool {
        self.thoughts.is_empty()
    }

    /// Returns the workflow as it is done at `now`.
    pub fn to_item(&self, thread_id: &str, now: Timestamp) -> ThreadItem {
        let seconds = now.duration_since(self.created_at).as_secs();
        let workflow = Workflow {
            kind: WorkflowKind::Reasoning,
            tasks: self.thoughts.iter().map(Thought::to_task).collect(),
            summary: Some(WorkflowSummary::Duration { duration: seconds.try_into().unwrap_or_default() }),
            expanded: false,
        };
        ThreadItem {
            id: self.id.clone(),
            thread_id: thread_id.to_owned(),
            created_at: self.created_at,
            content: ItemContent::Workflow { workflow },
        }
    }
}

impl<S: ItemSource> Turn<S> {
    /// Begins a workflow unless an item is open. Several reasoning items in a row share one.
    /// Reasoning beside a message is not shown, because it would split the message.
    pub(super) fn begin_workflow(&mut self) {
        if self.open.is_some() {
            return;
        }
        self.has_reasoned = true;
        let workflow =
            Workflow { kind: WorkflowKind::Reasoning, tasks: Vec::new(), summary: None, expanded: false };
        let item = self.new_item(IdPrefix::Workflow, ItemContent::Workflow { workflow });
        let (id, created_at) = (item.id.clone(), item.created_at);
        self.open = Some(OpenItem::Workflow(OpenWorkflow { id, created_at, thoughts: Vec::new() }));
        self.send(ThreadStreamEvent::ItemAdded { item });
    }

    pub(super) fn thought_delta(&mut self, key: ThoughtKey, delta: &str) {
        if !delta.is_empty() {
            self.begin_workflow();
            self.change_thought(key, |text| text.push_str(delta), false);
        }
    }

    /// Handles the whole text of a thought. It may be the first event of it, and it may come late,
    /// when the workflow is done.
    pub(super) fn thought_done(&mut self, key: ThoughtKey, text: &str) {
        if !text.is_empty() {
            if !self.has_reasoned {
                self.begin_workflow();
            }
            let whole = text.to_owned();
            self.change_thought(key, |text| *text = whole, true);
        }
    }

    /// Stores the encrypted reasoning, and shows the thoughts that were not streamed.
    pub(super) fn reasoning_done(&mut self, index: u64, reasoning: ReasoningItem) {
        for (part, text) in (0..).zip(&reasoning.summary) {
            self.thought_done(ThoughtKey(index, ThoughtKind::Summary, part), text);
        }
        for (part, text) in (0..).zip(&reasoning.content) {
            self.thought_done(ThoughtKey(index, ThoughtKind::Reasoning, part), text);
        }
        let Some(encrypted_content) = reasoning.encrypted_content else { return };
        let id = new_id(IdPrefix::Reasoning, &mut self.source);
        let item = json!({
            "id": id,
            "thread_id": self.thread_id,
            "created_at": self.source.now(),
            "type": "reasoning",
            "model": self.model,
            "summary": reasoning.summary,
            "encrypted_content": encrypted_content,
        });
        self.outputs.push(TurnOutput::Hidden(HiddenItem { id, kind: "reasoning", item }));
    }

    /// Changes a thought of the open workflow, and sends it if it grew enough or is done.
    fn change_thought(&mut self, key: ThoughtKey, change: impl FnOnce(&mut String), is_done: bool) {
        let Some(OpenItem::Workflow(workflow)) = &mut self.open else { return };
        let known = workflow.thoughts.iter().position(|thought| thought.key == key);
        let task_index = known.unwrap_or_else(|| {
            workflow.thoughts.push(Thought { key, text: String::new(), sent: 0 });
            workflow.thoughts.len() - 1
        });
        let thought = &mut workflow.thoughts[task_index];
        let before = thought.text.len();
        change(&mut thought.text);
        let growth = thought.text.len().saturating_sub(thought.sent);
        let is_due = growth > 0 && growth * MIN_GROWTH >= thought.sent;
        let has_changed = is_done && (thought.text.len() != thought.sent || before != thought.text.len());
        if !is_due && !has_changed {
            return;
        }
        thought.sent = thought.text.len();
        let task = thought.to_task();
        let update = match known {
            None => ItemUpdate::TaskAdded { task_index, task },
            Some(_) => ItemUpdate::TaskUpdated { task_index, task },
        };
        let item_id = workflow.id.clone();
        self.send(ThreadStreamEvent::ItemUpdated { item_id, update });
    }
}
