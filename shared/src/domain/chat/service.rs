//! Responds to the requests that `POST /chatkit` receives from ChatKit.js.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    IdPrefix, SystemSource,
    answer::{Answerer, interruption_mark},
    cards::Click,
    history, new_id,
    protocol::{
        ChatRequest, FeedbackKind, ItemContent, Page, PageOrder, PageParams, StreamOptions, Thread,
        ThreadItem, ThreadStatus, ThreadStreamEvent, UserMessageInput,
    },
    store::{
        BeginChatRunCall, BeginOutcome, ChatStore, ClientToolOutput, LEASE_SECONDS, RepeatedRun, RunStatus,
        StoredPage, StoredThread, ThreadItems, sha256_hex,
    },
};
use crate::{
    auth::DecisionRules,
    clients::{mcp, model::ModelClient, supabase::ServiceClient},
    domain::idempotency::IdempotencyKey,
    error::{Error, ErrorCode},
    platform::{event_stream::EventSender, http_client::Deadline, parse::Timestamp, secret::Secret},
};

/// Time for which a request waits until another answer of its thread has stopped.
const BUSY_TIMEOUT: Duration = Duration::from_secs(20);
const BUSY_PAUSE: Duration = Duration::from_millis(250);

/// Interval at which a repeated request reads the chunks that another process streams.
const FOLLOW_PAUSE: Duration = Duration::from_millis(500);

/// Number of items in the answer to `threads.get_by_id`.
const FIRST_ITEMS: u16 = 20;

/// The chat of self-hosted agents.
#[derive(Clone)]
pub struct ChatService {
    pub service_client: ServiceClient,
    pub model: ModelClient,
    pub agents: mcp::Client,
    /// Which client secrets may decide escalations.
    pub rules: DecisionRules,
}

/// The identity of a request, apart from its content.
#[derive(Clone, Debug)]
pub struct ChatRequestContext {
    pub client_secret: Secret,
    pub deadline: Deadline,
    /// Of the request, bound to its body.
    pub idempotency_key: Option<IdempotencyKey>,
    /// The value of `chatkit-frame-instance-id`, which identifies an element in a page.
    pub frame_id: Option<String>,
    /// SHA-256 of the body in canonical form.
    pub body_hash: String,
}

/// The reply to a request of ChatKit.
pub enum ChatReply {
    Json(Value),
    /// A stream without an answer.
    Events(Vec<ThreadStreamEvent>),
    Stream(Box<Answer>),
}

/// An answer that is about to be streamed.
pub struct Answer {
    answerer: Answerer,
    store: ChatStore,
    deadline: Deadline,
    begin: BeginChatRunCall,
    outcome: BeginOutcome,
    /// The card on which the user clicked to continue, as it is now.
    pub(super) card: Option<ThreadItem>,
}

impl ChatService {
    /// Responds to a request. What happens before the answer of the model has happened when this
    /// function returns: the question is stored and charged.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, `item_not_found`,
    /// `chat_request_unsupported`, the code of a limit with 429, `still_running` if another answer
    /// in the thread does not stop, or the error of Supabase.
    pub async fn reply(&self, context: ChatRequestContext, request: ChatRequest) -> Result<ChatReply, Error> {
        let store = ChatStore::new(self.service_client.clone(), &context.client_secret);
        let deadline = context.deadline;
        Ok(ChatReply::Json(match request {
            ChatRequest::CreateThread { input } => {
                let thread_id = new_id(IdPrefix::Thread, &mut SystemSource);
                let title = history::title(&input.content);
                let question = user_message(&thread_id, input)?;
                let begin = BeginChatRunCall {
                    p_is_new_thread: true,
                    p_title: title,
                    p_items: vec![question],
                    ..begin_call(&context, &store, thread_id)
                };
                return self.begin(store, begin, deadline).await;
            }
            ChatRequest::AddUserMessage { thread_id, input } => {
                let question = user_message(&thread_id, input)?;
                let begin =
                    BeginChatRunCall { p_items: vec![question], ..begin_call(&context, &store, thread_id) };
                return self.begin(store, begin, deadline).await;
            }
            ChatRequest::RetryAfterItem { thread_id, item_id } => {
                let begin = BeginChatRunCall {
                    p_retry_after_item_id: Some(item_id),
                    ..begin_call(&context, &store, thread_id)
                };
                return self.begin(store, begin, deadline).await;
            }
            ChatRequest::AddClientToolOutput { thread_id, result } => {
                let begin = BeginChatRunCall {
                    p_client_tool_output: Some(ClientToolOutput { result }),
                    ..begin_call(&context, &store, thread_id)
                };
                return self.begin(store, begin, deadline).await;
            }
            ChatRequest::CustomAction { thread_id, item_id: None, action } => {
                let id = new_id(IdPrefix::HiddenContext, &mut SystemSource);
                let content = json!({ "action": action });
                let note = new_item(id, &thread_id, ItemContent::HiddenContextItem { content });
                let begin =
                    BeginChatRunCall { p_items: vec![note], ..begin_call(&context, &store, thread_id) };
                return self.begin(store, begin, deadline).await;
            }
            ChatRequest::GetThread { thread_id } => {
                let items = store.list_items(&thread_id, FIRST_ITEMS, false, None, deadline).await?;
                let ThreadItems { thread, page } = items;
                to_json(&Thread { items: item_page(page)?, ..thread.into() })?
            }
            ChatRequest::ListThreads { page } => {
                let PageParams { order, after, .. } = &page;
                let descending = *order == PageOrder::Desc;
                let rows = store.list_threads(page.limit(), descending, after.as_deref(), deadline).await?;
                to_json(&thread_page(rows))?
            }
            ChatRequest::ListItems { thread_id, page } => {
                let PageParams { order, after, .. } = &page;
                let descending = *order == PageOrder::Desc;
                let after = after.as_deref();
                let items = store.list_items(&thread_id, page.limit(), descending, after, deadline).await?;
                to_json(&item_page(items.page)?)?
            }
            ChatRequest::UpdateThread { thread_id, title } => {
                to_json(&Thread::from(store.rename(&thread_id, &title, deadline).await?))?
            }
            ChatRequest::DeleteThread { thread_id } => {
                store.delete(&thread_id, deadline).await?;
                json!({})
            }
            ChatRequest::Feedback { thread_id, item_ids, kind } => {
                let rating = match kind {
                    FeedbackKind::Positive => "positive",
                    FeedbackKind::Negative => "negative",
                };
                store.record_feedback(&thread_id, &item_ids, rating, deadline).await?;
                json!({})
            }
            ChatRequest::CustomAction { thread_id, item_id: Some(item_id), action } => {
                let click = Click { store, context, thread_id, item_id, action, is_streamed: true };
                return self.act(click).await;
            }
            ChatRequest::SyncCustomAction { thread_id, item_id: Some(item_id), action } => {
                let click = Click { store, context, thread_id, item_id, action, is_streamed: false };
                return self.act(click).await;
            }
            ChatRequest::AddStructuredInput { thread_id, item_id, .. } => {
                store.list_items(&thread_id, 1, false, Some(&item_id), deadline).await?;
                return Err(Error::new(ErrorCode::ChatRequestUnsupported));
            }
            ChatRequest::SyncCustomAction { thread_id, item_id: None, .. } => {
                store.list_items(&thread_id, 1, false, None, deadline).await?;
                return Err(Error::new(ErrorCode::ChatRequestUnsupported));
            }
            ChatRequest::CreateAttachment { .. }
            | ChatRequest::DeleteAttachment { .. }
            | ChatRequest::Transcribe { .. } => {
                store.list_threads(1, true, None, deadline).await?;
                return Err(Error::new(ErrorCode::ChatRequestUnsupported));
            }
        }))
    }

    async fn begin(
        &self,
        store: ChatStore,
        mut begin: BeginChatRunCall,
        deadline: Deadline,
    ) -> Result<ChatReply, Error> {
        let outcome = begin_run(&store, &mut begin, deadline).await?;
        Ok(ChatReply::Stream(Box::new(self.answer(store, begin, outcome, deadline))))
    }

    pub(super) fn answer(
        &self,
        store: ChatStore,
        begin: BeginChatRunCall,
        outcome: BeginOutcome,
        deadline: Deadline,
    ) -> Answer {
        let answerer = Answerer { model: self.model.clone(), agents: self.agents.clone() };
        Answer { answerer, store, deadline, begin, outcome, card: None }
    }
}

/// Begins a run. While another answer of the thread stops, the call is repeated. A run whose lease
/// expired before its response arrived is taken up by another one.
pub(super) async fn begin_run(
    store: &ChatStore,
    begin: &mut BeginChatRunCall,
    deadline: Deadline,
) -> Result<BeginOutcome, Error> {
    let patience = deadline.capped(BUSY_TIMEOUT);
    loop {
        match store.begin_run(begin, deadline).await? {
            BeginOutcome::Busy if patience.remaining().is_zero() => {
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

impl Answer {
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

fn new_item(id: String, thread_id: &str, content: ItemContent) -> ThreadItem {
    ThreadItem { id, thread_id: thread_id.to_owned(), created_at: Timestamp::now(), content }
}

fn user_message(thread_id: &str, input: UserMessageInput) -> Result<ThreadItem, Error> {
    let UserMessageInput { content, attachments, quoted_text, inference_options } = input;
    if !attachments.is_empty() {
        return Err(Error::new(ErrorCode::ChatRequestUnsupported));
    }
    let content =
        ItemContent::UserMessage { content, attachments: Vec::new(), quoted_text, inference_options };
    Ok(new_item(new_id(IdPrefix::Message, &mut SystemSource), thread_id, content))
}

impl From<StoredThread> for Thread {
    fn from(stored: StoredThread) -> Self {
        let StoredThread { id, title, created_at } = stored;
        Self {
            id,
            title,
            created_at,
            status: ThreadStatus::Active,
            allowed_image_domains: None,
            metadata: serde_json::Map::new(),
            items: Page::default(),
        }
    }
}

fn thread_page(rows: StoredPage<StoredThread>) -> Page<Thread> {
    let after = rows.rows.last().filter(|_| rows.more).map(|thread| thread.id.clone());
    Page { data: rows.rows.into_iter().map(Thread::from).collect(), has_more: rows.more, after }
}

fn item_page(rows: StoredPage<Value>) -> Result<Page<ThreadItem>, Error> {
    let parse = |item| serde_json::from_value::<ThreadItem>(item);
    let data = rows.rows.into_iter().map(parse).collect::<Result<Vec<_>, _>>();
    let data = data.map_err(|error| Error::new(ErrorCode::SupabaseBadAnswer).cause(error))?;
    let after = data.last().filter(|_| rows.more).map(|item| item.id.clone());
    Ok(Page { data, has_more: rows.more, after })
}

fn to_json(value: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::new(ErrorCode::Internal).cause(error))
}
