//! The turn of an answer: a state machine from the model's events to ChatKit's.
//!
//! [`Turn::on_event`] is the table of causes: no event is sent that does not have a row there or in
//! [`ending`]. At most one item is open at a time, so items are done in the order in which they
//! begin, and a client holds them in the order of the store.

mod call;
mod end;
mod handover;
mod message;
mod reasoning;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde_json::Value;

use super::{
    IdPrefix, ItemSource,
    history::StoredItem,
    new_id,
    protocol::{ItemContent, ThreadItem, ThreadStreamEvent},
};
use crate::clients::model::{ModelEvent, OutputItem, Usage};
use call::{DEFAULT_MAX_CALLS, OpenCall};
use message::OpenMessage;
use reasoning::{OpenWorkflow, ThoughtKey, ThoughtKind};

pub use call::{CallEnd, RequestedCall};
pub use end::{Ending, EndingError, TurnEnd, ending, mark_content};
pub use handover::NextModel;

/// An output of a turn. Outputs are stored and sent in the order in which a turn yields them.
#[derive(Clone, Debug, PartialEq)]
pub enum TurnOutput {
    /// An event to send. Nothing is stored.
    Event(ThreadStreamEvent),
    /// An item to store, and to send as `thread.item.done` once it is stored.
    Item(ThreadItem),
    /// An item to store that no client ever receives.
    Hidden(HiddenItem),
}

impl TurnOutput {
    /// Returns the item that the thread gets, for the input of the turn's next response.
    pub fn to_stored(&self) -> Option<StoredItem> {
        match self {
            Self::Event(_) => None,
            // An item is always valid JSON.
            Self::Item(item) => Some(StoredItem::from_json(serde_json::to_value(item).unwrap_or_default())),
            Self::Hidden(HiddenItem { kind, item, .. }) => {
                Some(StoredItem { kind: (*kind).to_owned(), item: item.clone() })
            }
        }
    }
}

/// An item that only the model's input contains.
#[derive(Clone, Debug, PartialEq)]
pub struct HiddenItem {
    pub id: String,
    /// The type of the item, for example `reasoning` or `hidden_context_item`.
    pub kind: &'static str,
    pub item: Value,
}

/// The turn of an answer, from the model's first event to its end. It has one response of the
/// model, and another one after each response that requests calls of tools.
#[derive(Debug)]
pub struct Turn<S> {
    thread_id: String,
    /// The model that answers. Only it can read its encrypted reasoning again.
    model: String,
    source: S,
    /// Whether the model may call tools.
    offers_tools: bool,
    /// Names of the tools that run in the page.
    client_tools: Vec<String>,
    open: Option<OpenItem>,
    /// Positions of the model's messages that have begun.
    messages: BTreeSet<u64>,
    /// Names of the calls that have begun and are not complete, by position.
    calls: BTreeMap<u64, String>,
    /// Positions of the calls that the response has requested.
    done_calls: BTreeSet<u64>,
    /// Calls that are complete and not made yet.
    requested: VecDeque<RequestedCall>,
    call_count: usize,
    max_calls: usize,
    /// Whether the model has requested more calls than a turn may have.
    is_over_limit: bool,
    is_response_complete: bool,
    has_begun: bool,
    has_reasoned: bool,
    has_answer: bool,
    usage: Option<Usage>,
    /// Tokens of the responses before this one.
    usage_before: Option<Usage>,
    end: Option<TurnEnd>,
    /// Outputs of the current call of [`Turn::on_event`] or [`Turn::end`].
    outputs: Vec<TurnOutput>,
}

/// An item that has begun and is not done.
#[derive(Debug)]
enum OpenItem {
    Message(OpenMessage),
    Workflow(OpenWorkflow),
    Call(OpenCall),
}

impl<S: ItemSource> Turn<S> {
    pub fn new(thread_id: impl Into<String>, model: impl Into<String>, source: S) -> Self {
        Self {
            thread_id: thread_id.into(),
            model: model.into(),
            source,
            offers_tools: false,
            client_tools: Vec::new(),
            open: None,
            messages: BTreeSet::new(),
            calls: BTreeMap::new(),
            done_calls: BTreeSet::new(),
            requested: VecDeque::new(),
            call_count: 0,
            max_calls: DEFAULT_MAX_CALLS,
            is_over_limit: false,
            is_response_complete: false,
            has_begun: false,
            has_reasoned: false,
            has_answer: false,
            usage: None,
            usage_before: None,
            end: None,
            outputs: Vec::new(),
        }
    }

    /// Makes the calls that the model requests. Without it, a call is answered by a note, which the
    /// model reads with the next message.
    #[must_use]
    pub fn with_tools(self, offers_tools: bool) -> Self {
        Self { offers_tools, ..self }
    }

    /// Limits the calls of the turn.
    #[must_use]
    pub fn with_max_calls(self, max_calls: usize) -> Self {
        Self { max_calls, ..self }
    }

    /// Ends the turn at the call of one of these tools, which run in the page.
    #[must_use]
    pub fn with_client_tools(self, names: Vec<String>) -> Self {
        Self { client_tools: names, ..self }
    }

    /// Handles an event of the model. An event after the end of the response yields nothing.
    ///
    /// | cause | outputs |
    /// | --- | --- |
    /// | a reasoning item begins | a workflow is added |
    /// | reasoning text | a task is added, later updated |
    /// | a reasoning item is done | its encrypted content is stored, hidden |
    /// | a message begins | an open workflow or message is done; a message is added |
    /// | a part of a message begins | a part is added |
    /// | text, or a refusal | text is added |
    /// | a citation | an annotation is added |
    /// | a part is done | missing text and annotations are added; the part is done |
    /// | a message is done | missing text and annotations are added; the message is done, or removed if empty |
    /// | a function call is done | the call is requested, or a hidden note if no tools are offered |
    /// | the response ends, with calls | an open item is done; the calls are made ([`Turn::begin_call`]) |
    /// | the response ends, without calls | [`Turn::end`] |
    pub fn on_event(&mut self, event: ModelEvent) -> Vec<TurnOutput> {
        use ModelEvent as E;
        use ThoughtKind::{Reasoning, Summary};
        if self.end.is_some() || self.is_response_complete {
            return Vec::new();
        }
        self.usage = event.usage().or(self.usage);
        self.has_begun |= !matches!(event, E::ResponseCreated | E::Ignored) && !event.is_terminal();
        let failure = event.failure();
        match event {
            E::ResponseCreated | E::Ignored => {}
            E::OutputItemAdded { index, item } => self.item_added(index, item),
            E::OutputItemDone { index, item } => self.item_done(index, item),
            E::ContentPartAdded { index, part, content } => self.part_added(index, part, content),
            E::ContentPartDone { index, part, content } => self.part_done(index, part, content),
            E::TextDelta { index, part, delta } | E::RefusalDelta { index, part, delta } => {
                self.text_delta(index, part, &delta);
            }
            E::TextDone { index, part, text } | E::RefusalDone { index, part, refusal: text } => {
                self.text_done(index, part, &text);
            }
            E::AnnotationAdded { index, part, annotation } => self.annotation(index, part, annotation),
            E::ReasoningSummaryPartAdded { .. } => self.begin_workflow(),
            E::ReasoningSummaryTextDelta { index, part, delta } => {
                self.thought_delta(ThoughtKey(index, Summary, part), &delta);
            }
            E::ReasoningSummaryTextDone { index, part, text }
            | E::ReasoningSummaryPartDone { index, part, text } => {
                self.thought_done(ThoughtKey(index, Summary, part), &text);
            }
            E::ReasoningTextDelta { index, part, delta } => {
                self.thought_delta(ThoughtKey(index, Reasoning, part), &delta);
            }
            E::ReasoningTextDone { index, part, text } => {
                self.thought_done(ThoughtKey(index, Reasoning, part), &text);
            }
            // The item that is done contains the arguments.
            E::FunctionCallArgumentsDelta { .. } | E::FunctionCallArgumentsDone { .. } => {}
            E::Completed { output, .. } => {
                self.add_missing(output);
                self.response_complete();
            }
            E::Incomplete { reason, output, .. } => {
                self.add_missing(output);
                self.finish(TurnEnd::Incomplete(reason));
            }
            E::Failed { .. } | E::Error { .. } => {
                self.finish(failure.map_or(TurnEnd::Cut, TurnEnd::Failed));
            }
        }
        std::mem::take(&mut self.outputs)
    }

    /// Ends the turn for a reason other than an event of the model. Yields nothing if the turn has
    /// ended.
    pub fn end(&mut self, end: TurnEnd) -> Vec<TurnOutput> {
        if self.end.is_none() {
            self.finish(end);
        }
        std::mem::take(&mut self.outputs)
    }

    /// Returns how the turn ended.
    pub fn ended(&self) -> Option<TurnEnd> {
        self.end
    }

    /// Returns whether the model has sent a part of an answer, so that the request may not be
    /// repeated.
    pub fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Returns whether a message of the model was stored.
    pub fn has_answer(&self) -> bool {
        self.has_answer
    }

    /// Returns the tokens that the model reported, for all responses.
    pub fn usage(&self) -> Option<Usage> {
        match (self.usage_before, self.usage) {
            (Some(before), Some(usage)) => Some(before + usage),
            (before, usage) => usage.or(before),
        }
    }

    /// Returns the tokens that the model reported for the current response.
    pub fn response_usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Returns the items that have begun, as they would be stored if the process died now.
    pub fn draft(&mut self) -> Vec<ThreadItem> {
        let now = self.source.now();
        let item = match &self.open {
            Some(OpenItem::Message(message)) if !message.is_blank() => Some(message.to_item(&self.thread_id)),
            Some(OpenItem::Workflow(workflow)) if !workflow.is_empty() => {
                Some(workflow.to_item(&self.thread_id, now))
            }
            Some(OpenItem::Call(call)) => Some(call.to_item(&self.thread_id)),
            _ => None,
        };
        item.into_iter().collect()
    }

    fn item_added(&mut self, index: u64, item: OutputItem) {
        match item {
            OutputItem::Message { content } => {
                self.begin_message(index);
                for (part, content) in (0..).zip(content) {
                    self.part_added(index, part, content);
                }
            }
            OutputItem::Reasoning(_) => self.begin_workflow(),
            OutputItem::FunctionCall { name, .. } => {
                self.calls.insert(index, name);
            }
            OutputItem::Other { .. } => {}
        }
    }

    fn item_done(&mut self, index: u64, item: OutputItem) {
        match item {
            OutputItem::Message { content } => self.message_done(index, content),
            OutputItem::Reasoning(reasoning) => self.reasoning_done(index, reasoning),
            OutputItem::FunctionCall { name, arguments, .. } => self.call_requested(index, name, arguments),
            OutputItem::Other { .. } => {}
        }
    }

    /// Adds what a server sent only with its last event.
    fn add_missing(&mut self, output: Vec<OutputItem>) {
        let has_begun = self.has_begun;
        let has_message = !self.messages.is_empty();
        for (index, item) in (0..).zip(output) {
            let is_missing = match &item {
                OutputItem::Message { .. } => !has_message,
                _ => !has_begun,
            };
            if is_missing {
                self.item_done(index, item);
            }
        }
    }

    /// Ends the turn, unless the response requested calls.
    fn response_complete(&mut self) {
        if !self.requested.is_empty() {
            // The call of a client tool ends the turn, so the others precede it.
            let client_tools = &self.client_tools;
            let requested = self.requested.make_contiguous();
            requested.sort_by_key(|call| client_tools.contains(&call.name));
            self.close();
            self.is_response_complete = true;
        } else if self.is_over_limit {
            self.finish(TurnEnd::TooManyCalls);
        } else {
            self.finish(TurnEnd::Completed);
        }
    }

    fn hidden_note(&mut self, text: String) {
        let item =
            self.new_item(IdPrefix::HiddenContext, ItemContent::HiddenContextItem { content: text.into() });
        let kind = item.content.kind();
        // An item is always valid JSON.
        let json = serde_json::to_value(&item).unwrap_or_default();
        self.outputs.push(TurnOutput::Hidden(HiddenItem { id: item.id, kind, item: json }));
    }

    fn new_item(&mut self, prefix: IdPrefix, content: ItemContent) -> ThreadItem {
        let id = new_id(prefix, &mut self.source);
        ThreadItem { id, thread_id: self.thread_id.clone(), created_at: self.source.now(), content }
    }

    fn send(&mut self, event: ThreadStreamEvent) {
        self.outputs.push(TurnOutput::Event(event));
    }

    /// Ends the item that is open, with what there is.
    fn close(&mut self) {
        match self.open.take() {
            Some(OpenItem::Message(message)) => self.close_message(message),
            Some(OpenItem::Workflow(workflow)) => {
                let item = workflow.to_item(&self.thread_id, self.source.now());
                self.outputs.push(TurnOutput::Item(item));
            }
            Some(OpenItem::Call(call)) => self.outputs.push(TurnOutput::Item(call.to_item(&self.thread_id))),
            None => {}
        }
    }
}
