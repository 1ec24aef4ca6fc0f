//! Reads and decides the cards of held calls.

use serde::{Deserialize, Serialize, de::IgnoredAny};
use uuid::Uuid;

use super::ChatStore;
use crate::{
    auth::Assurance,
    clients::supabase::{self, Rpc},
    domain::{chat::protocol::ThreadItem, model::escalation::Decision},
    error::Error,
    platform::http_client::Deadline,
};

/// An item of a thread, and what it takes to act on it if it is the card of a held call.
#[derive(Debug, Deserialize)]
pub struct StoredCard {
    pub item: ThreadItem,
    /// The escalation that the card shows. `None` if the item is not such a card.
    pub escalation_id: Option<Uuid>,
    /// Of the token with which the client secret was requested.
    pub assurance: Assurance,
    /// The request key of the answer that continues after the call.
    pub continuation_key: Option<String>,
}

#[derive(Serialize)]
struct GetChatCardCall<'a> {
    p_thread_id: &'a str,
    p_item_id: &'a str,
}

impl Rpc for GetChatCardCall<'_> {
    const NAME: &'static str = "get_chat_card";
    type Output = StoredCard;
}

#[derive(Serialize)]
struct DecideChatCardCall<'a> {
    p_thread_id: &'a str,
    p_item_id: &'a str,
    p_decision: Decision,
    p_subject_hash: &'a str,
}

impl Rpc for DecideChatCardCall<'_> {
    const NAME: &'static str = "decide_chat_card";
    type Output = IgnoredAny;
}

impl ChatStore {
    /// Returns an item of a thread, which may be the card of a held call.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, `item_not_found`, or the error of
    /// Supabase.
    pub async fn card(
        &self,
        thread_id: &str,
        item_id: &str,
        deadline: Deadline,
    ) -> Result<StoredCard, Error> {
        let call = GetChatCardCall { p_thread_id: thread_id, p_item_id: item_id };
        Ok(self.call(&call, deadline).await?)
    }

    /// Decides the escalation of a card, like the endpoint for decisions.
    ///
    /// # Errors
    /// Returns those of [`Self::card`], and those of a decision.
    pub async fn decide_card(
        &self,
        thread_id: &str,
        item_id: &str,
        decision: Decision,
        subject_hash: &str,
        deadline: Deadline,
    ) -> Result<(), supabase::Error> {
        let call = DecideChatCardCall {
            p_thread_id: thread_id,
            p_item_id: item_id,
            p_decision: decision,
            p_subject_hash: subject_hash,
        };
        self.call(&call, deadline).await?;
        Ok(())
    }
}
