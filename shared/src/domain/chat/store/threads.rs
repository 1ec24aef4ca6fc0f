//! Lists and changes of threads.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;
use uuid::Uuid;

use super::{ChatStore, StoredThread};
use crate::{clients::supabase::Rpc, error::Error, platform::http_client::Deadline};

/// Rows of a list, and whether there are more.
#[derive(Debug, Deserialize)]
pub struct StoredPage<T> {
    pub rows: Vec<T>,
    pub more: bool,
}

/// A thread and a page of its items.
#[derive(Debug, Deserialize)]
pub struct ThreadItems {
    pub thread: StoredThread,
    #[serde(flatten)]
    pub page: StoredPage<Value>,
}

#[derive(Serialize)]
struct ListChatThreadsCall<'a> {
    p_limit: u16,
    p_descending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_after: Option<&'a str>,
}

impl Rpc for ListChatThreadsCall<'_> {
    const NAME: &'static str = "list_chat_threads";
    type Output = StoredPage<StoredThread>;
}

#[derive(Serialize)]
struct ListChatItemsCall<'a> {
    p_thread_id: &'a str,
    p_limit: u16,
    p_descending: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_after: Option<&'a str>,
}

impl Rpc for ListChatItemsCall<'_> {
    const NAME: &'static str = "list_chat_items";
    type Output = ThreadItems;
}

#[derive(Serialize)]
struct RenameChatThreadCall<'a> {
    p_thread_id: &'a str,
    p_title: &'a str,
}

impl Rpc for RenameChatThreadCall<'_> {
    const NAME: &'static str = "rename_chat_thread";
    type Output = RenamedThread;
}

#[derive(Deserialize)]
struct RenamedThread {
    thread: StoredThread,
}

#[derive(Serialize)]
struct DeleteChatThreadCall<'a> {
    p_thread_id: &'a str,
}

impl Rpc for DeleteChatThreadCall<'_> {
    const NAME: &'static str = "delete_chat_thread";
    type Output = IgnoredAny;
}

#[derive(Serialize)]
struct RecordChatFeedbackCall<'a> {
    p_thread_id: &'a str,
    p_item_ids: &'a [String],
    p_rating: &'a str,
    /// Recognises a repeat of this call.
    p_feedback_id: Uuid,
}

impl Rpc for RecordChatFeedbackCall<'_> {
    const NAME: &'static str = "record_chat_feedback";
    type Output = IgnoredAny;
}

impl ChatStore {
    /// Lists the user's threads with the session's agent.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found` for an unknown `after`, or the error of
    /// Supabase.
    pub async fn list_threads(
        &self,
        limit: u16,
        descending: bool,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<StoredPage<StoredThread>, Error> {
        let call = ListChatThreadsCall { p_limit: limit, p_descending: descending, p_after: after };
        Ok(self.call(&call, deadline).await?)
    }

    /// Lists items of a thread.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, `item_not_found` for an unknown
    /// `after`, or the error of Supabase.
    pub async fn list_items(
        &self,
        thread_id: &str,
        limit: u16,
        descending: bool,
        after: Option<&str>,
        deadline: Deadline,
    ) -> Result<ThreadItems, Error> {
        let call = ListChatItemsCall {
            p_thread_id: thread_id,
            p_limit: limit,
            p_descending: descending,
            p_after: after,
        };
        Ok(self.call(&call, deadline).await?)
    }

    /// Changes the title of a thread.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, or the error of Supabase.
    pub async fn rename(
        &self,
        thread_id: &str,
        title: &str,
        deadline: Deadline,
    ) -> Result<StoredThread, Error> {
        let call = RenameChatThreadCall { p_thread_id: thread_id, p_title: title };
        Ok(self.call(&call, deadline).await?.thread)
    }

    /// Hides a thread and its items.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, or the error of Supabase.
    pub async fn delete(&self, thread_id: &str, deadline: Deadline) -> Result<(), Error> {
        self.call(&DeleteChatThreadCall { p_thread_id: thread_id }, deadline).await?;
        Ok(())
    }

    /// Records the user's rating of items.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, `item_not_found`, or the error of
    /// Supabase.
    pub async fn record_feedback(
        &self,
        thread_id: &str,
        item_ids: &[String],
        rating: &str,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let call = RecordChatFeedbackCall {
            p_thread_id: thread_id,
            p_item_ids: item_ids,
            p_rating: rating,
            p_feedback_id: Uuid::now_v7(),
        };
        self.call(&call, deadline).await?;
        Ok(())
    }
}
