//! The differences between our answers and the reference's, each with its reason.

use serde_json::{Value, json};

use crate::chat::sdk::reference::Reply;

/// The first message of every scenario.
pub const QUESTION: &str = "Is invoice 42 paid?";

/// A difference. [`Difference::reason`] states why it exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    Dates,
    Ids,
    Title,
    TaskUpdates,
    Refusal,
    CitationEvent,
    AnnotationEvents,
    RemovedItems,
    UnknownItemOfRetry,
    UnknownThread,
    UnknownItemOfFeedback,
    Mark,
    ErrorText,
    BrokenMessage,
    IncompleteResponse,
}

impl Difference {
    pub const ALL: [Self; 15] = [
        Self::Dates,
        Self::Ids,
        Self::Title,
        Self::TaskUpdates,
        Self::Refusal,
        Self::CitationEvent,
        Self::AnnotationEvents,
        Self::RemovedItems,
        Self::UnknownItemOfRetry,
        Self::UnknownThread,
        Self::UnknownItemOfFeedback,
        Self::Mark,
        Self::ErrorText,
        Self::BrokenMessage,
        Self::IncompleteResponse,
    ];

    pub const fn reason(self) -> &'static str {
        match self {
            Self::Dates => {
                "The reference sends local times without a zone, which a browser in another zone reads \
                 as other times. Ours are in UTC, with Z."
            }
            Self::Ids => {
                "The reference's ids have 32 random bits, and its messages have the id that the model's \
                 server chose, which some servers choose twice. Ours have 128 random bits."
            }
            Self::Title => {
                "The reference leaves titles to its user. Our threads begin with the first words of their \
                 first message as the title."
            }
            Self::TaskUpdates => {
                "An update of a task carries its whole text. The reference sends one for each delta of the \
                 first thought, and the others only when they are done. Ours sends every thought while it \
                 grows, and leaves out updates that add less than a sixteenth."
            }
            Self::Refusal => {
                "The Agents SDK raises an exception for a refusal, so the reference loses it. Ours streams \
                 it as text."
            }
            Self::CitationEvent => {
                "The reference fails on the event of a citation with the current SDK of OpenAI: its answer \
                 ends with an error and is lost."
            }
            Self::AnnotationEvents => {
                "The reference sends annotations that have no event of their own only with the message. \
                 Ours adds them before the part is done."
            }
            Self::RemovedItems => {
                "The reference removes the items after a retried message without an event, so a second \
                 device that follows the stream keeps them. Ours sends their removal."
            }
            Self::UnknownItemOfRetry => {
                "The reference answers with an empty stream, which a client takes for an outage and \
                 repeats. Ours is a problem response."
            }
            Self::UnknownThread => {
                "The reference raises an exception: a stream without a byte, or a 500. Ours is a problem \
                 response."
            }
            Self::UnknownItemOfFeedback => {
                "The reference accepts feedback on items that do not exist. Ours records it in the \
                 session's events, so the item must exist."
            }
            Self::Mark => {
                "The reference does not record that an answer is not complete. Ours adds a task that a \
                 reader sees, also after a reload."
            }
            Self::ErrorText => {
                "The reference sends the same stock text and an offer to retry for every error. Ours \
                 states a cause that the user can act on, and offers a retry only if it can help."
            }
            Self::BrokenMessage => {
                "The reference neither stores nor removes a message that broke off, so the page shows it \
                 until it is reloaded. How many of its events are sent depends on chance. Ours is done \
                 with the text that arrived."
            }
            Self::IncompleteResponse => {
                "The Agents SDK raises an exception for a response that reached a limit, after its message \
                 is done. The limit is not an error that a retry removes, so ours has a mark instead."
            }
        }
    }

    /// Removes the difference from both answers. Returns whether it occurred.
    pub fn remove(self, ours: &mut [Reply], reference: &mut [Reply]) -> bool {
        match self {
            Self::Dates => {
                let (ours, theirs) = (strings(ours, "created_at"), strings(reference, "created_at"));
                ours.iter().all(|date| date.ends_with('Z')) && theirs.iter().all(|date| !date.ends_with('Z'))
            }
            Self::Ids => {
                let digits = |id: &String| id.split_once('_').map_or(0, |(_, digits)| digits.len());
                let (ours, theirs) = (strings(ours, "thread_id"), strings(reference, "thread_id"));
                ours.iter().all(|id| digits(id) == 32) && theirs.iter().all(|id| digits(id) == 8)
            }
            Self::Title => change(ours, &mut |value| {
                let is_default = value["title"] == QUESTION && value["items"].is_object();
                is_default && value.as_object_mut().is_some_and(|thread| thread.remove("title").is_some())
            }),
            Self::TaskUpdates => keep_last_task_updates(ours) | keep_last_task_updates(reference),
            Self::Refusal => {
                let is_lost = drop_events(reference, |event| event["type"] == "error");
                drop_message(reference);
                drop_message(ours) & is_lost
            }
            Self::CitationEvent => {
                let lost = drop_events(reference, |event| event["type"] == "error");
                let end_of_message = |event: &Value| {
                    let update = text(&event["update"]["type"]);
                    let is_end =
                        update.ends_with("annotation_added") || update.ends_with("content_part.done");
                    is_end || is_done(event, "assistant_message")
                };
                drop_events(ours, end_of_message) & drop_listed(ours, "assistant_message") & lost
            }
            Self::AnnotationEvents => {
                let is_sent =
                    drop_events(ours, |event| text(&event["update"]["type"]).ends_with("annotation_added"));
                let clear = &mut |value: &mut Value| {
                    let is_part_done = text(&value["type"]).ends_with("content_part.done");
                    is_part_done && {
                        value["content"]["annotations"] = json!([]);
                        true
                    }
                };
                change(ours, clear) & change(reference, clear) & is_sent
            }
            Self::RemovedItems => drop_events(ours, |event| event["type"] == "thread.item.removed"),
            Self::UnknownItemOfRetry => {
                same(ours, &Reply::Refused("404 item_not_found".to_owned()), "unknown item")
                    & same(reference, &Reply::Stream(Vec::new()), "unknown item")
            }
            Self::UnknownThread => {
                same(ours, &Reply::Refused("404 thread_not_found".to_owned()), "unknown thread")
                    & same(reference, &Reply::Refused("NotFoundError".to_owned()), "unknown thread")
            }
            Self::UnknownItemOfFeedback => {
                same(ours, &Reply::Refused("404 item_not_found".to_owned()), "unknown item")
                    & same(reference, &Reply::Json(json!({})), "unknown item")
            }
            Self::Mark => drop_events(ours, |event| is_done(event, "task")) & drop_listed(ours, "task"),
            Self::ErrorText => {
                let is_stock = events(reference).filter(|event| event["type"] == "error").all(|event| {
                    *event == json!({ "type": "error", "code": "stream.error", "allow_retry": true })
                });
                let stock = &mut |value: &mut Value| {
                    let is_error = value["type"] == "error";
                    if is_error {
                        *value = json!({ "type": "error" });
                    }
                    is_error
                };
                change(ours, stock) & change(reference, stock) & is_stock
            }
            Self::BrokenMessage => !drop_message(reference) & drop_message(ours),
            Self::IncompleteResponse => drop_events(reference, |event| event["type"] == "error"),
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_done(event: &Value, kind: &str) -> bool {
    event["type"] == "thread.item.done" && event["item"]["type"] == kind
}

fn events(replies: &[Reply]) -> impl Iterator<Item = &Value> {
    replies.iter().flat_map(|reply| match reply {
        Reply::Stream(events) => events.as_slice(),
        _ => &[],
    })
}

/// Removes events. Returns whether there was one.
fn drop_events(replies: &mut [Reply], is_dropped: impl Fn(&Value) -> bool) -> bool {
    let mut dropped = 0;
    for reply in replies {
        if let Reply::Stream(events) = reply {
            let before = events.len();
            events.retain(|event| !is_dropped(event));
            dropped += before - events.len();
        }
    }
    dropped > 0
}

/// Removes the events of messages of the assistant, and lists without them. Returns whether one was
/// done and listed.
fn drop_message(replies: &mut [Reply]) -> bool {
    let is_done = drop_events(replies, |event| is_done(event, "assistant_message"));
    drop_events(replies, |event| {
        let is_added = event["type"] == "thread.item.added" && event["item"]["type"] == "assistant_message";
        is_added || text(&event["update"]["type"]).starts_with("assistant_message.")
    });
    drop_listed(replies, "assistant_message") & is_done
}

/// Removes items of a kind from pages. Returns whether there was one.
fn drop_listed(replies: &mut [Reply], kind: &str) -> bool {
    change(replies, &mut |value| {
        let is_page = value["has_more"].is_boolean();
        let rows = value.get_mut("data").filter(|_| is_page).and_then(Value::as_array_mut);
        let Some(rows) = rows else { return false };
        let before = rows.len();
        rows.retain(|row| row["type"] != kind);
        rows.len() < before
    })
}

/// Replaces replies. Returns whether there was one.
fn same(replies: &mut [Reply], reply: &Reply, name: &str) -> bool {
    let mut is_found = false;
    for found in replies.iter_mut().filter(|found| *found == reply) {
        *found = Reply::Refused(name.to_owned());
        is_found = true;
    }
    is_found
}

/// Changes every value of the replies. Returns whether one was changed.
fn change(replies: &mut [Reply], changer: &mut impl FnMut(&mut Value) -> bool) -> bool {
    let mut is_changed = false;
    for reply in replies {
        match reply {
            Reply::Stream(events) => {
                for event in events {
                    is_changed |= change_value(event, changer);
                }
            }
            Reply::Json(json) => is_changed |= change_value(json, changer),
            Reply::Refused(_) => {}
        }
    }
    is_changed
}

fn change_value(value: &mut Value, changer: &mut impl FnMut(&mut Value) -> bool) -> bool {
    let mut is_changed = value.is_object() && changer(value);
    match value {
        Value::Array(values) => {
            for value in values {
                is_changed |= change_value(value, changer);
            }
        }
        Value::Object(fields) => {
            for value in fields.values_mut() {
                is_changed |= change_value(value, changer);
            }
        }
        _ => {}
    }
    is_changed
}

/// Returns the strings of a field.
fn strings(replies: &mut [Reply], name: &str) -> Vec<String> {
    let mut found = Vec::new();
    change(replies, &mut |value| {
        found.extend(value.get(name).and_then(Value::as_str).map(str::to_owned));
        false
    });
    found
}

/// Keeps the last event of each task, as an addition. Returns whether there were others.
fn keep_last_task_updates(replies: &mut [Reply]) -> bool {
    let mut dropped = 0;
    for reply in replies {
        let Reply::Stream(events) = reply else { continue };
        let task = |event: &Value| {
            let update = &event["update"];
            text(&update["type"])
                .starts_with("workflow.task")
                .then(|| (event["item_id"].clone(), update["task_index"].clone()))
        };
        let last: Vec<bool> = (0..events.len())
            .map(|at| {
                task(&events[at])
                    .is_none_or(|it| !events[at + 1..].iter().any(|event| task(event).as_ref() == Some(&it)))
            })
            .collect();
        let before = events.len();
        let mut last = last.into_iter();
        events.retain(|_| last.next().unwrap_or(true));
        dropped += before - events.len();
        for event in events.iter_mut().filter(|event| event["update"]["type"] == "workflow.task.updated") {
            event["update"]["type"] = "workflow.task.added".into();
        }
    }
    dropped > 0
}
