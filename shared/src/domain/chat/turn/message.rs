//! Messages of the model: text, refusals and citations.

use super::{OpenItem, Turn, TurnOutput};
use crate::{
    clients::model::{ContentPart, ModelAnnotation},
    domain::chat::{
        IdPrefix, ItemSource,
        protocol::{
            Annotation, ItemContent, ItemUpdate, OutputText, Source, SourceKind, ThreadItem,
            ThreadStreamEvent,
        },
    },
    platform::parse::Timestamp,
};

/// Maximum number of annotations of a part. More of them are left out.
const MAX_ANNOTATIONS: usize = 500;

/// Shown for a cited file without a name. The file's id is an opaque text of the model's server.
const UNNAMED_FILE: &str = "File";

/// A message that has begun.
#[derive(Debug)]
pub(super) struct OpenMessage {
    id: String,
    created_at: Timestamp,
    /// Position in the model's output.
    index: u64,
    parts: Vec<OpenPart>,
    /// Whether this is the rest of a message that was closed early, because another one began. The
    /// texts of "done" events belong to the whole message, so they are not compared.
    is_rest: bool,
}

#[derive(Debug)]
struct OpenPart {
    /// Position in the model's message.
    position: u64,
    content: OutputText,
    is_done: bool,
}

impl OpenMessage {
    /// Returns whether a reader would see nothing.
    pub fn is_blank(&self) -> bool {
        self.parts.iter().all(|part| part.content.text.trim().is_empty())
    }

    pub fn to_item(&self, thread_id: &str) -> ThreadItem {
        let content = self.parts.iter().map(|part| part.content.clone()).collect();
        ThreadItem {
            id: self.id.clone(),
            thread_id: thread_id.to_owned(),
            created_at: self.created_at,
            content: ItemContent::AssistantMessage { content },
        }
    }

    fn update(&self, update: ItemUpdate) -> ThreadStreamEvent {
        ThreadStreamEvent::ItemUpdated { item_id: self.id.clone(), update }
    }
}

impl<S: ItemSource> Turn<S> {
    /// Begins a message. The client receives it at once, empty.
    pub(super) fn begin_message(&mut self, index: u64) {
        self.close();
        let item = self.new_item(IdPrefix::Message, ItemContent::AssistantMessage { content: Vec::new() });
        let (id, created_at) = (item.id.clone(), item.created_at);
        self.messages.insert(index);
        self.open =
            Some(OpenItem::Message(OpenMessage { id, created_at, index, parts: Vec::new(), is_rest: false }));
        self.send(ThreadStreamEvent::ItemAdded { item });
    }

    pub(super) fn part_added(&mut self, index: u64, position: u64, content: ContentPart) {
        let text = match content {
            ContentPart::Text { text, .. } => text,
            ContentPart::Refusal { refusal } => refusal,
            ContentPart::Other => return,
        };
        if self.message_with_text(index).is_some() {
            self.part(position);
            self.add_missing_text(position, &text);
        }
    }

    pub(super) fn text_delta(&mut self, index: u64, position: u64, delta: &str) {
        if !delta.is_empty() && self.message_with_text(index).is_some() {
            self.add_text(position, delta);
        }
    }

    pub(super) fn text_done(&mut self, index: u64, position: u64, text: &str) {
        if self.message_to_complete(index).is_some() {
            self.add_missing_text(position, text);
        }
    }

    pub(super) fn annotation(&mut self, index: u64, position: u64, annotation: ModelAnnotation) {
        if self.message_to_complete(index).is_some() {
            self.add_annotation(position, annotation);
        }
    }

    pub(super) fn part_done(&mut self, index: u64, position: u64, content: ContentPart) {
        if content != ContentPart::Other && self.message_to_complete(index).is_some() {
            self.complete_part(position, content);
            self.close_part(position);
        }
    }

    pub(super) fn message_done(&mut self, index: u64, content: Vec<ContentPart>) {
        if self.message_to_complete(index).is_some() {
            for (position, content) in (0..).zip(content) {
                self.complete_part(position, content);
            }
            self.close();
        }
    }

    /// Sends the end of each part and stores the message, or removes it if it is blank.
    pub(super) fn close_message(&mut self, mut message: OpenMessage) {
        if message.is_blank() {
            return self.send(ThreadStreamEvent::ItemRemoved { item_id: message.id });
        }
        for index in 0..message.parts.len() {
            if let Some(event) = end_part(&mut message, index) {
                self.send(event);
            }
        }
        self.has_answer = true;
        self.outputs.push(TurnOutput::Item(message.to_item(&self.thread_id)));
    }

    /// Returns the open message at this position. Begins it if the server did not announce it.
    fn message_with_text(&mut self, index: u64) -> Option<&mut OpenMessage> {
        let is_open = matches!(&self.open, Some(OpenItem::Message(message)) if message.index == index);
        if !is_open {
            let is_rest = self.messages.contains(&index);
            self.begin_message(index);
            if let Some(OpenItem::Message(message)) = &mut self.open {
                message.is_rest = is_rest;
            }
        }
        self.message()
    }

    /// Returns the message that an event completes. Begins it if it is new. An event for a message
    /// that is done is late and changes nothing.
    fn message_to_complete(&mut self, index: u64) -> Option<&mut OpenMessage> {
        let is_open = matches!(&self.open, Some(OpenItem::Message(message)) if message.index == index);
        if !is_open && self.messages.contains(&index) {
            return None;
        }
        self.message_with_text(index)
    }

    fn message(&mut self) -> Option<&mut OpenMessage> {
        match &mut self.open {
            Some(OpenItem::Message(message)) => Some(message),
            _ => None,
        }
    }

    /// Returns the index of a part of the open message. Adds the part if the server did not
    /// announce it.
    fn part(&mut self, position: u64) -> Option<usize> {
        let message = self.message()?;
        if let Some(index) = message.parts.iter().position(|part| part.position == position) {
            return Some(index);
        }
        let content = OutputText { text: String::new(), annotations: Vec::new() };
        let content_index = message.parts.len();
        message.parts.push(OpenPart { position, content: content.clone(), is_done: false });
        let event = message.update(ItemUpdate::ContentPartAdded { content_index, content });
        self.send(event);
        Some(content_index)
    }

    fn add_text(&mut self, position: u64, delta: &str) {
        let Some(content_index) = self.part(position) else { return };
        let Some(message) = self.message() else { return };
        let part = &mut message.parts[content_index];
        // A part that is done and grows is done again later.
        part.is_done = false;
        part.content.text.push_str(delta);
        let event = message.update(ItemUpdate::TextDelta { content_index, delta: delta.to_owned() });
        self.send(event);
    }

    /// Adds the end of a text that the deltas so far do not contain. A text that differs in other
    /// ways is ignored: the reader has seen what was streamed.
    fn add_missing_text(&mut self, position: u64, text: &str) {
        let Some(message) = self.message().filter(|message| !message.is_rest) else { return };
        let part = message.parts.iter().find(|part| part.position == position);
        let streamed = part.map_or("", |part| part.content.text.as_str());
        if let Some(rest) = text.strip_prefix(streamed).filter(|rest| !rest.is_empty()) {
            self.add_text(position, rest);
        }
    }

    fn add_annotation(&mut self, position: u64, annotation: ModelAnnotation) {
        let Some(annotation) = to_annotation(annotation) else { return };
        let Some(content_index) = self.part(position) else { return };
        let Some(message) = self.message() else { return };
        let part = &mut message.parts[content_index];
        let annotations = &mut part.content.annotations;
        if annotations.contains(&annotation) || annotations.len() == MAX_ANNOTATIONS {
            return;
        }
        let annotation_index = annotations.len();
        annotations.push(annotation.clone());
        part.is_done = false;
        let event =
            message.update(ItemUpdate::AnnotationAdded { content_index, annotation_index, annotation });
        self.send(event);
    }

    /// Adds the text and the annotations that the events so far did not contain.
    fn complete_part(&mut self, position: u64, content: ContentPart) {
        match content {
            ContentPart::Text { text, annotations } => {
                self.add_missing_text(position, &text);
                for annotation in annotations {
                    self.add_annotation(position, annotation);
                }
            }
            ContentPart::Refusal { refusal } => self.add_missing_text(position, &refusal),
            ContentPart::Other => {}
        }
    }

    fn close_part(&mut self, position: u64) {
        let Some(content_index) = self.part(position) else { return };
        if let Some(event) = self.message().and_then(|message| end_part(message, content_index)) {
            self.send(event);
        }
    }
}

/// Returns the event that ends a part, or `None` if it was sent.
fn end_part(message: &mut OpenMessage, content_index: usize) -> Option<ThreadStreamEvent> {
    let part = message.parts.get_mut(content_index).filter(|part| !part.is_done)?;
    part.is_done = true;
    let content = part.content.clone();
    Some(message.update(ItemUpdate::ContentPartDone { content_index, content }))
}

/// Converts a citation. Returns `None` for one that a client could not show, and for a URL that is
/// not a web page, since the reader may click on it.
fn to_annotation(annotation: ModelAnnotation) -> Option<Annotation> {
    let (title, kind, index) = match annotation {
        ModelAnnotation::UrlCitation { url, title, end_index } => {
            let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
            if !matches!(scheme.as_deref(), Some("https" | "http")) {
                return None;
            }
            (title.unwrap_or_else(|| url.clone()), SourceKind::Url { url, attribution: None }, end_index)
        }
        ModelAnnotation::FileCitation { filename, index, .. } => {
            let filename = filename.unwrap_or_else(|| UNNAMED_FILE.to_owned());
            (filename.clone(), SourceKind::File { filename }, index)
        }
        ModelAnnotation::Other => return None,
    };
    let source = Source { title, description: None, timestamp: None, group: None, kind };
    Some(Annotation { source, index })
}
