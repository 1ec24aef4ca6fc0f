//! Begins the run of a request and streams its answer: the answer of this process, or of the run that
//! the request repeats.

use std::time::Duration;

use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    ChatRequestContext,
    answer::{Answerer, interruption_mark},
    protocol::{ItemContent, StreamOptions, Thread, ThreadItem, ThreadStreamEvent},
    store::{BeginChatRunCall, BeginOutcome, ChatStore, LEASE_SECONDS, RepeatedRun, RunStatus, sha256_hex},
};
use crate::{
    error::{Error, ErrorCode},
    platform::{event_stream::EventSender, http_client::Deadline},
};

/// How long a request waits for another answer of its thread to stop.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// How often a repeated request reads what another process has streamed.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// An answer that is about to be streamed.
pub struct AnswerStream {
    pub(super) answerer: Answerer,
    pub(super) store: ChatStore,
    pub(super) deadline: Deadline,
    pub(super) begin: BeginChatRunCall,
    pub(super) outcome: BeginOutcome,
    /// The card on which the user clicked to continue, as it is now.
    pub(super) card: Option<ThreadItem>,
}

/// Begins a run. While another answer of the thread stops, the call is repeated. A run whose lease
/// expired before its response arrived is taken up by another one.
pub(super) async fn begin_run(
    store: &ChatStore,
    begin: &mut BeginChatRunCall,
    deadline: Deadline,
) -> Result<BeginOutcome, Error> {
    let busy_deadline = deadline.capped(BUSY_TIMEOUT);
    loop {
        match store.begin_run(begin, deadline).await? {
            BeginOutcome::Busy if busy_deadline.remaining().is_zero() => {
                return Err(Error::new(ErrorCode::StillRunning).retry_after(Some(Duration::from_secs(2))));
            }
            BeginOutcome::Busy => tokio::time::sleep(BUSY_PAUSE).await,
            BeginOutcome::Repeated(run) if run.run_id == begin.p_run_id && run.status.is_broken() => {
                take_up(begin);
            }
            outcome => return Ok(outcome),
        }
    }
}

impl AnswerStream {
    /// Streams the answer to its end, also if the client has left.
    ///
    /// # Errors
    /// Fails if the answer cannot be stored.
    pub async fn stream(self, sender: EventSender) -> Result<(), Error> {
        let Self { answerer, store, deadline, mut begin, mut outcome, card } = self;
        if let (Some(item), BeginOutcome::Begun(run)) = (card, &mut outcome) {
            run.kept_items.push(item);
        }
        let (thread, question) = match &outcome {
            BeginOutcome::Begun(run) => (&run.thread, &run.question),
            BeginOutcome::Repeated(run) => (&run.thread, &run.question),
            BeginOutcome::Busy | BeginOutcome::NotOffered => {
                return Err(Error::new(ErrorCode::StillRunning));
            }
        };
        if begin.p_is_new_thread {
            let thread = Thread::from(thread.clone());
            sender.send(&json!({ "type": "thread.created", "thread": thread }))?;
        }
        let has_question =
            begin.p_items.iter().any(|item| matches!(item.content, ItemContent::UserMessage { .. }));
        if let Some(question) = question.as_ref().filter(|_| has_question) {
            sender.send(&json!({ "type": "thread.item.done", "item": question }))?;
        }
        loop {
            let repeated = match outcome {
                BeginOutcome::Begun(run) => {
                    return answerer.stream(store, *run, sender, deadline).await;
                }
                BeginOutcome::Repeated(run) => run,
                BeginOutcome::Busy | BeginOutcome::NotOffered => {
                    return Err(Error::new(ErrorCode::StillRunning));
                }
            };
            let Some(open_item_ids) = follow(&store, &repeated, &sender, deadline).await? else {
                return Ok(());
            };
            for item_id in open_item_ids {
                sender.send(&ThreadStreamEvent::ItemRemoved { item_id })?;
            }
            take_up(&mut begin);
            outcome = begin_run(&store, &mut begin, deadline).await?;
        }
    }
}

/// Streams what another process streams for a run, or has stored for it. If the run breaks off, so
/// that this process may take it up, returns the items that have begun and are not done.
async fn follow(
    store: &ChatStore,
    run: &RepeatedRun,
    sender: &EventSender,
    deadline: Deadline,
) -> Result<Option<Vec<String>>, Error> {
    if run.status != RunStatus::Running {
        for item_id in &run.removed_item_ids {
            sender.send(&ThreadStreamEvent::ItemRemoved { item_id: item_id.clone() })?;
        }
        let stream_options = StreamOptions { allow_cancel: true };
        sender.send(&json!({ "type": "stream_options", "stream_options": stream_options }))?;
        for item in &run.items {
            sender.send(&json!({ "type": "thread.item.done", "item": item }))?;
        }
        return Ok(None);
    }
    let mut after = 0;
    let mut open_item_ids = Vec::new();
    loop {
        let followed = store.follow(run.run_id, after, deadline).await?;
        for event in &followed.events {
            track_open_items(&mut open_item_ids, event);
            sender.send(event)?;
        }
        let has_more = after < followed.chunk_seq && followed.chunk_seq < followed.last_chunk_seq;
        after = followed.chunk_seq;
        if has_more {
            continue;
        }
        if followed.status != RunStatus::Running {
            return Ok(followed.status.is_broken().then_some(open_item_ids));
        }
        tokio::time::sleep(FOLLOW_PAUSE).await;
    }
}

/// Updates the ids of items that have begun and are not done.
fn track_open_items(open_item_ids: &mut Vec<String>, event: &Value) {
    let id = event["item"]["id"].as_str().or(event["item_id"].as_str()).unwrap_or_default();
    match event["type"].as_str() {
        Some("thread.item.added") => open_item_ids.push(id.to_owned()),
        Some("thread.item.done" | "thread.item.removed") => open_item_ids.retain(|open| open != id),
        _ => {}
    }
}

/// Returns the call that begins a run, without its question.
pub(super) fn begin_call(
    context: &ChatRequestContext,
    store: &ChatStore,
    thread_id: String,
) -> BeginChatRunCall {
    let (request_key, request_hash, key_is_explicit) = match &context.idempotency_key {
        Some(key) => (format!("key:{}", key.key()), key.request_hash().to_owned(), true),
        None => {
            let frame = context.frame_id.as_deref().unwrap_or_default();
            let parts = [store.secret_hash(), frame, &context.body_hash].join("\n");
            (format!("request:{}", sha256_hex(parts.as_bytes())), context.body_hash.clone(), false)
        }
    };
    BeginChatRunCall {
        p_run_id: Uuid::now_v7(),
        p_request_key: request_key,
        p_request_hash: request_hash,
        p_key_is_explicit: key_is_explicit,
        p_draft: vec![interruption_mark(&thread_id)],
        p_thread_id: thread_id,
        p_is_new_thread: false,
        p_title: None,
        p_items: Vec::new(),
        p_retry_after_item_id: None,
        p_lease_seconds: LEASE_SECONDS,
        p_continued_item_id: None,
        p_client_tool_output: None,
    }
}

/// Makes a call that takes up the broken run of the same question. The question is stored. Another
/// process may have taken it up and answered it, or the conversation may have gone on, but the
/// question is never new.
fn take_up(begin: &mut BeginChatRunCall) {
    begin.p_run_id = Uuid::now_v7();
    begin.p_draft = vec![interruption_mark(&begin.p_thread_id)];
    begin.p_key_is_explicit = true;
}
