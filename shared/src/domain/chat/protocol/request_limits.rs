//! Limits of requests. A body has at most 256 KiB, except for dictation; these limits keep a part
//! of it from filling a thread or the model's input.

use super::{ChatRequest, StructuredAnswers, UserContent, UserMessageInput};
use crate::error::FieldError;

/// Characters of a message: its texts, its tags and its quoted text together.
pub const MAX_MESSAGE_CHARS: usize = 100_000;
/// Texts and tags of a message.
pub const MAX_CONTENT_PARTS: usize = 200;
pub const MAX_TAGS: usize = 50;
pub const MAX_ATTACHMENTS: usize = 10;
/// Characters of an id, a name or another short text.
pub const MAX_SHORT_TEXT: usize = 200;
/// Bytes of a tag's `data`, an action's payload, or a client tool's result, as JSON.
pub const MAX_JSON_BYTES: usize = 64 * 1024;
pub const MAX_FEEDBACK_ITEMS: usize = 100;
/// Answers to a structured input, and values of one answer.
pub const MAX_ANSWERS: usize = 100;
/// Characters of a value of an answer.
pub const MAX_ANSWER_CHARS: usize = 10_000;
/// Bytes of an attachment. ChatKit's own default is the same.
pub const MAX_ATTACHMENT_BYTES: u64 = 100 * 1024 * 1024;

/// Returns the errors of the fields that exceed a limit.
pub(super) fn check_limits(request: &ChatRequest) -> Vec<FieldError> {
    let mut check = Check(Vec::new());
    match request {
        ChatRequest::CreateThread { input } => check.message(input),
        ChatRequest::AddUserMessage { thread_id, input } => {
            check.short("/params/thread_id", thread_id);
            check.message(input);
        }
        ChatRequest::AddClientToolOutput { thread_id, result } => {
            check.short("/params/thread_id", thread_id);
            check.json("/params/result", result);
        }
        ChatRequest::AddStructuredInput { thread_id, item_id, input } => {
            check.short("/params/thread_id", thread_id);
            check.short("/params/item_id", item_id);
            check.answers(input);
        }
        ChatRequest::CustomAction { thread_id, item_id, action }
        | ChatRequest::SyncCustomAction { thread_id, item_id, action } => {
            check.short("/params/thread_id", thread_id);
            item_id.iter().for_each(|id| check.short("/params/item_id", id));
            check.short("/params/action/type", &action.kind);
            action.payload.iter().for_each(|payload| check.json("/params/action/payload", payload));
        }
        ChatRequest::RetryAfterItem { thread_id, item_id } => {
            check.short("/params/thread_id", thread_id);
            check.short("/params/item_id", item_id);
        }
        ChatRequest::GetThread { thread_id } | ChatRequest::DeleteThread { thread_id } => {
            check.short("/params/thread_id", thread_id);
        }
        ChatRequest::ListThreads { page } => {
            page.after.iter().for_each(|after| check.short("/params/after", after));
        }
        ChatRequest::UpdateThread { thread_id, title } => {
            check.short("/params/thread_id", thread_id);
            check.short("/params/title", title);
        }
        ChatRequest::ListItems { thread_id, page } => {
            check.short("/params/thread_id", thread_id);
            page.after.iter().for_each(|after| check.short("/params/after", after));
        }
        ChatRequest::Feedback { thread_id, item_ids, kind: _ } => {
            check.short("/params/thread_id", thread_id);
            check.count("/params/item_ids", item_ids.len(), MAX_FEEDBACK_ITEMS);
            item_ids.iter().for_each(|id| check.short("/params/item_ids", id));
        }
        ChatRequest::CreateAttachment { name, size, mime_type } => {
            check.short("/params/name", name);
            check.short("/params/mime_type", mime_type);
            check.that(*size <= MAX_ATTACHMENT_BYTES, "/params/size", || {
                format!("must be at most {MAX_ATTACHMENT_BYTES}")
            });
        }
        ChatRequest::DeleteAttachment { attachment_id } => {
            check.short("/params/attachment_id", attachment_id)
        }
        // The limit of the body bounds the audio.
        ChatRequest::Transcribe { audio_base64: _, mime_type } => check.short("/params/mime_type", mime_type),
    }
    check.0
}

/// The errors found so far.
struct Check(Vec<FieldError>);

impl Check {
    fn that(&mut self, is_valid: bool, pointer: &str, detail: impl FnOnce() -> String) {
        if !is_valid {
            self.0.push(FieldError::at(pointer, detail()));
        }
    }

    fn count(&mut self, pointer: &str, count: usize, most: usize) {
        self.that(count <= most, pointer, || format!("must have at most {most} entries"));
    }

    fn length(&mut self, pointer: &str, text: &str, most: usize) {
        let fits = text.len() <= most || text.chars().count() <= most;
        self.that(fits, pointer, || format!("must have at most {most} characters"));
    }

    /// Checks an id, a name or another text that must not be empty.
    fn short(&mut self, pointer: &str, text: &str) {
        self.length(pointer, text, MAX_SHORT_TEXT);
        self.that(!text.trim().is_empty(), pointer, || "must not be empty".to_owned());
    }

    fn json(&mut self, pointer: &str, value: &impl serde::Serialize) {
        let fits = serde_json::to_vec(value).is_ok_and(|json| json.len() <= MAX_JSON_BYTES);
        self.that(fits, pointer, || format!("must have at most {MAX_JSON_BYTES} bytes as JSON"));
    }

    fn message(&mut self, input: &UserMessageInput) {
        const INPUT: &str = "/params/input";
        self.count(&format!("{INPUT}/content"), input.content.len(), MAX_CONTENT_PARTS);
        self.count(&format!("{INPUT}/attachments"), input.attachments.len(), MAX_ATTACHMENTS);
        input.attachments.iter().for_each(|id| self.short(&format!("{INPUT}/attachments"), id));
        let mut chars = input.quoted_text.as_ref().map_or(0, |text| text.chars().count());
        let mut tags = 0;
        let mut is_empty = input.attachments.is_empty();
        for (index, part) in input.content.iter().enumerate() {
            match part {
                UserContent::Text { text } => {
                    chars += text.chars().count();
                    is_empty &= text.trim().is_empty();
                }
                UserContent::Tag { id, text, data, group, interactive: _ } => {
                    let at = |field: &str| format!("{INPUT}/content/{index}/{field}");
                    tags += 1;
                    is_empty = false;
                    chars += text.chars().count();
                    self.short(&at("id"), id);
                    self.short(&at("text"), text);
                    group.iter().for_each(|group| self.length(&at("group"), group, MAX_SHORT_TEXT));
                    self.json(&at("data"), data);
                }
            }
        }
        self.count(&format!("{INPUT}/content"), tags, MAX_TAGS);
        self.that(chars <= MAX_MESSAGE_CHARS, &format!("{INPUT}/content"), || {
            format!("must have at most {MAX_MESSAGE_CHARS} characters, with the quoted text")
        });
        self.that(!is_empty, &format!("{INPUT}/content"), || {
            "must contain a text, a tag or an attachment".to_owned()
        });
        let options = &input.inference_options;
        let choice = options.tool_choice.as_ref().map(|choice| &choice.id);
        choice.iter().for_each(|id| self.short(&format!("{INPUT}/inference_options/tool_choice/id"), id));
        options.model.iter().for_each(|id| self.short(&format!("{INPUT}/inference_options/model"), id));
    }

    fn answers(&mut self, input: &StructuredAnswers) {
        const ANSWERS: &str = "/params/input/answers";
        let StructuredAnswers::Answered { answers } = input else { return };
        self.count(ANSWERS, answers.len(), MAX_ANSWERS);
        for (id, answer) in answers {
            self.short(ANSWERS, id);
            self.count(ANSWERS, answer.values.len(), MAX_ANSWERS);
            answer.values.iter().for_each(|value| self.length(ANSWERS, value, MAX_ANSWER_CHARS));
        }
    }
}
