//! Calls of tools: requested in a response, and made one after another when it is complete.

use serde_json::{Map, Value};

use super::{OpenItem, Turn, TurnEnd, TurnOutput};
use crate::{
    domain::chat::{
        IdPrefix, ItemSource, new_id,
        protocol::{
            ChatTask, ClientToolCallStatus, ItemContent, StatusIndicator, TaskKind, ThreadItem,
            ThreadStreamEvent,
        },
    },
    platform::parse::Timestamp,
};

/// Default of the calls that a turn may make. Calls that are refused count.
pub const DEFAULT_MAX_CALLS: usize = 16;

/// A call that the model requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedCall {
    /// An id of our own, since some servers repeat theirs.
    pub call_id: String,
    pub name: String,
    /// JSON, as the model wrote it.
    pub arguments: String,
}

/// The end of a call, as a reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallEnd {
    Completed,
    Failed,
    /// A person must decide first.
    Held,
    /// A person was asked, and answers later.
    Asked,
    Refused,
    /// The answer ends before the call.
    NotMade,
    /// The tool may or may not have been executed.
    Unknown,
}

/// A call that has begun.
#[derive(Debug)]
pub(super) struct OpenCall {
    id: String,
    created_at: Timestamp,
    name: String,
}

impl CallEnd {
    /// Returns the icon and the text of the call's task. Each has an icon: a task without one marks
    /// a broken answer.
    const fn task(self) -> (&'static str, &'static str) {
        match self {
            Self::Completed => ("check-circle", "Done."),
            Self::Failed => ("empty-circle", "Failed."),
            Self::Held => ("user", "Waits for a decision."),
            Self::Asked => ("user", "Waits for an answer."),
            Self::Refused => ("empty-circle", "Not allowed."),
            Self::NotMade => ("empty-circle", "Not made."),
            Self::Unknown => ("circle-question", "It is not known whether this was done."),
        }
    }
}

impl OpenCall {
    /// Returns the call's task as it is if the turn ends now: the call is still under way.
    pub fn to_item(&self, thread_id: &str) -> ThreadItem {
        let content = "The answer ended before the result was known.";
        self.item(thread_id, StatusIndicator::Complete, "circle-question", content)
    }

    fn item(&self, thread_id: &str, status: StatusIndicator, icon: &str, content: &str) -> ThreadItem {
        let kind = TaskKind::Custom {
            title: Some(self.name.clone()),
            icon: Some(icon.to_owned()),
            content: Some(content.to_owned()),
        };
        ThreadItem {
            id: self.id.clone(),
            thread_id: thread_id.to_owned(),
            created_at: self.created_at,
            content: ItemContent::Task { task: ChatTask { status_indicator: status, kind } },
        }
    }
}

impl<S: ItemSource> Turn<S> {
    /// Notes a call that the response requests. It is made when the response is complete, because a
    /// response that breaks off may be requested again.
    pub(super) fn call_requested(&mut self, index: u64, name: String, arguments: String) {
        self.calls.remove(&index);
        if !self.done_calls.insert(index) {
            return;
        }
        if !self.offers_tools {
            self.call_not_made(&name);
            return;
        }
        if self.call_count == self.max_calls {
            self.is_over_limit = true;
            return;
        }
        self.call_count += 1;
        let call_id = new_id(IdPrefix::Call, &mut self.source);
        self.requested.push_back(RequestedCall { call_id, name: plain_name(&name), arguments });
    }

    /// Returns whether the model has requested calls that are not made yet, or one is under way.
    pub fn waits_for_calls(&self) -> bool {
        self.end.is_none() && self.is_response_complete
    }

    /// Returns whether the next request may offer tools.
    pub fn may_call(&self) -> bool {
        self.call_count < self.max_calls
    }

    /// Returns the next call if its tool runs in the page.
    pub fn next_client_call(&self) -> Option<&RequestedCall> {
        let is_free = self.waits_for_calls() && self.open.is_none();
        self.requested.front().filter(|call| is_free && self.client_tools.contains(&call.name))
    }

    /// Ends the turn with the next call, which its page makes. The item is the last event of the
    /// stream.
    pub fn end_with_client_call(&mut self, arguments: Map<String, Value>) -> Vec<TurnOutput> {
        if let Some(RequestedCall { call_id, name, .. }) = self.requested.pop_front() {
            let status = ClientToolCallStatus::Pending;
            let content = ItemContent::ClientToolCall { status, call_id, name, arguments, output: None };
            let item = self.new_item(IdPrefix::ClientToolCall, content);
            self.finish(TurnEnd::ClientCall);
            self.outputs.push(TurnOutput::Item(item));
        }
        std::mem::take(&mut self.outputs)
    }

    /// Begins the next call, with a task that shows it. Returns `None` if all are done: the model
    /// continues.
    pub fn begin_call(&mut self) -> Option<(RequestedCall, Vec<TurnOutput>)> {
        if !self.waits_for_calls() || self.open.is_some() {
            return None;
        }
        let call = self.requested.pop_front()?;
        let id = task_id(&call.call_id);
        let open = OpenCall { id, created_at: self.source.now(), name: call.name.clone() };
        let item = open.item(&self.thread_id, StatusIndicator::Loading, "bolt", "Running.");
        self.open = Some(OpenItem::Call(open));
        self.send(ThreadStreamEvent::ItemAdded { item });
        Some((call, std::mem::take(&mut self.outputs)))
    }

    /// Ends the call that is under way. `items` are what the store has added to the thread: the
    /// task and the card of a call about which a person must decide.
    pub fn end_call(&mut self, end: CallEnd, items: Vec<ThreadItem>) -> Vec<TurnOutput> {
        if let Some(OpenItem::Call(open)) = self.open.take_if(|open| matches!(open, OpenItem::Call(_))) {
            if items.iter().all(|item| item.id != open.id) {
                let (icon, content) = end.task();
                let item = open.item(&self.thread_id, StatusIndicator::Complete, icon, content);
                self.outputs.push(TurnOutput::Item(item));
            }
            self.outputs.extend(items.into_iter().map(TurnOutput::Item));
            // A turn that has done something is an answer, also without a text.
            self.has_answer |= matches!(end, CallEnd::Completed | CallEnd::Held | CallEnd::Asked);
            if end == CallEnd::NotMade {
                self.call_not_made(&open.name);
            }
        }
        std::mem::take(&mut self.outputs)
    }

    /// Begins the next response of the turn, whose positions begin at zero again.
    pub fn begin_response(&mut self) -> Vec<TurnOutput> {
        if std::mem::take(&mut self.is_over_limit) {
            let max_calls = self.max_calls;
            self.hidden_note(format!("Further calls were not made: a turn has at most {max_calls}."));
        }
        self.leave_calls();
        self.is_response_complete = false;
        self.has_begun = false;
        self.has_reasoned = false;
        self.messages.clear();
        self.done_calls.clear();
        self.usage_before = self.usage();
        self.usage = None;
        std::mem::take(&mut self.outputs)
    }

    /// Leaves out the calls that are not made, with a note for the model.
    pub(super) fn leave_calls(&mut self) {
        let begun = std::mem::take(&mut self.calls).into_values();
        let requested = std::mem::take(&mut self.requested).into_iter().map(|call| call.name);
        let names: Vec<_> = begun.chain(requested).take(self.max_calls).collect();
        for name in names {
            self.call_not_made(&name);
        }
    }

    /// A call without an output would make the server reject every later request, so a note takes
    /// its place.
    fn call_not_made(&mut self, name: &str) {
        let name = plain_name(name);
        self.hidden_note(format!("The assistant requested the tool {name}. It was not called."));
    }
}

/// Returns the id of a call's task. The store derives it in the same way.
fn task_id(call_id: &str) -> String {
    let digits = call_id.strip_prefix(IdPrefix::Call.as_str()).unwrap_or(call_id);
    format!("{}{digits}", IdPrefix::Task.as_str())
}

/// Returns a name that every server accepts. It is the name itself if a tool can have it.
fn plain_name(name: &str) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let plain: String = name.chars().filter(is_plain).take(64).collect();
    if plain.is_empty() { "unknown".to_owned() } else { plain }
}
