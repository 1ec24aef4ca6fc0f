//! Responds to the requests that `POST /chatkit` receives from ChatKit.js.

use serde::Serialize;
use serde_json::{Value, json};

use super::{
    IdPrefix, SystemSource,
    answer::Answerer,
    cards::Click,
    history, new_id,
    protocol::{
        ChatPage, ChatRequest, FeedbackKind, ItemContent, PageOrder, PageParams, Thread, ThreadItem,
        ThreadStatus, ThreadStreamEvent, UserMessageInput,
    },
    run::{AnswerStream, begin_call, begin_run},
    store::{
        BeginChatRunCall, BeginOutcome, ChatStore, ClientToolOutput, StoredPage, StoredThread, ThreadItems,
    },
};
use crate::{
    auth::DecisionRules,
    clients::{mcp, model::ModelClient, supabase::ServiceClient},
    domain::idempotency::IdempotencyKey,
    error::{Error, ErrorCode},
    platform::{http_client::Deadline, parse::Timestamp, secret::Secret},
};

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
    Stream(Box<AnswerStream>),
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
            ChatRequest::CreateThread { input } if !input.attachments.is_empty() => {
                store.list_threads(1, true, None, deadline).await?;
                return Err(Error::new(ErrorCode::ChatRequestUnsupported));
            }
            ChatRequest::AddUserMessage { thread_id, input } if !input.attachments.is_empty() => {
                store.list_items(&thread_id, 1, false, None, deadline).await?;
                return Err(Error::new(ErrorCode::ChatRequestUnsupported));
            }
            ChatRequest::CreateThread { input } => {
                let thread_id = new_id(IdPrefix::Thread, &mut SystemSource);
                let title = history::title(&input.content);
                let question = user_message(&thread_id, input);
                let begin = BeginChatRunCall {
                    p_is_new_thread: true,
                    p_title: title,
                    p_items: vec![question],
                    ..begin_call(&context, &store, thread_id)
                };
                return self.begin(store, begin, deadline).await;
            }
            ChatRequest::AddUserMessage { thread_id, input } => {
                let question = user_message(&thread_id, input);
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
    ) -> AnswerStream {
        let answerer = Answerer { model: self.model.clone(), agents: self.agents.clone() };
        AnswerStream { answerer, store, deadline, begin, outcome, card: None }
    }
}

fn new_item(id: String, thread_id: &str, content: ItemContent) -> ThreadItem {
    ThreadItem { id, thread_id: thread_id.to_owned(), created_at: Timestamp::now(), content }
}

/// Returns the item of a message without attachments.
fn user_message(thread_id: &str, input: UserMessageInput) -> ThreadItem {
    let UserMessageInput { content, attachments: _, quoted_text, inference_options } = input;
    let content =
        ItemContent::UserMessage { content, attachments: Vec::new(), quoted_text, inference_options };
    new_item(new_id(IdPrefix::Message, &mut SystemSource), thread_id, content)
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
            items: ChatPage::default(),
        }
    }
}

fn thread_page(rows: StoredPage<StoredThread>) -> ChatPage<Thread> {
    let after = rows.rows.last().filter(|_| rows.more).map(|thread| thread.id.clone());
    ChatPage { data: rows.rows.into_iter().map(Thread::from).collect(), has_more: rows.more, after }
}

fn item_page(rows: StoredPage<Value>) -> Result<ChatPage<ThreadItem>, Error> {
    let parse = |item| serde_json::from_value::<ThreadItem>(item);
    let data = rows.rows.into_iter().map(parse).collect::<Result<Vec<_>, _>>();
    let data = data.map_err(|error| Error::new(ErrorCode::SupabaseBadAnswer).cause(error))?;
    let after = data.last().filter(|_| rows.more).map(|item| item.id.clone());
    Ok(ChatPage { data, has_more: rows.more, after })
}

fn to_json(value: &impl Serialize) -> Result<Value, Error> {
    serde_json::to_value(value).map_err(|error| Error::new(ErrorCode::Internal).cause(error))
}
