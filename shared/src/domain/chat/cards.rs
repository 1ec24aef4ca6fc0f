//! Clicks on the cards of held calls: decide, and continue the conversation.

use serde_json::json;

use super::{
    ChatReply, ChatRequestContext, ChatService,
    protocol::{Action, ItemContent, NoticeLevel, StreamOptions, ThreadItem, ThreadStreamEvent},
    run::{begin_call, begin_run},
    store::{BeginChatRunCall, BeginOutcome, ChatStore, StoredCard},
};
use crate::{
    domain::model::escalation::Decision,
    error::{Error, ErrorCode},
};

/// A click on an item of a thread.
pub(super) struct Click {
    pub store: ChatStore,
    pub context: ChatRequestContext,
    pub thread_id: String,
    pub item_id: String,
    pub action: Action,
    /// Whether the client expects a stream, and not JSON.
    pub is_streamed: bool,
}

/// A text for the user about a click that changed nothing.
struct Notice {
    level: NoticeLevel,
    message: &'static str,
}

impl ChatService {
    /// Performs the action of a card. A decision that may not be made, or that was made already, is
    /// not an error: the reply has the card as it is now, and says why.
    ///
    /// # Errors
    /// Returns `client_secret_rejected`, `thread_not_found`, `item_not_found`,
    /// `chat_request_unsupported` for an item or an action of another kind, `rate_limited`, or the
    /// error of Supabase.
    pub(super) async fn act(&self, click: Click) -> Result<ChatReply, Error> {
        let card = click.card().await?;
        if card.escalation_id.is_none() {
            return Err(Error::new(ErrorCode::ChatRequestUnsupported));
        }
        match click.action.kind.as_str() {
            "call.confirm" => self.decide(click, &card, Decision::Approve).await,
            "call.withdraw" => self.decide(click, &card, Decision::Reject).await,
            "call.continue" if click.is_streamed => self.go_on(click, card).await,
            _ => Err(Error::new(ErrorCode::ChatRequestUnsupported)),
        }
    }

    /// Decides the escalation of a card as the user, under the rules of the endpoint for decisions.
    async fn decide(&self, click: Click, card: &StoredCard, decision: Decision) -> Result<ChatReply, Error> {
        let subject_hash = click.action.payload.as_ref().and_then(|payload| payload["subjectHash"].as_str());
        let decided = match self.rules.check(&card.assurance) {
            Ok(()) => click.decide(decision, subject_hash.unwrap_or_default()).await,
            Err(error) => Err(error),
        };
        let notice = match decided {
            Ok(()) => None,
            Err(error) => Some(refusal(error.code).ok_or(error)?),
        };
        click.reply(notice).await
    }

    /// Continues the conversation after a call that has ended. Every click on the card continues
    /// with the same answer.
    async fn go_on(&self, click: Click, card: StoredCard) -> Result<ChatReply, Error> {
        let Click { store, context, thread_id, item_id, .. } = &click;
        let mut begin = BeginChatRunCall {
            p_request_hash: card.continuation_key.clone().unwrap_or_default(),
            p_request_key: card.continuation_key.unwrap_or_default(),
            p_key_is_explicit: true,
            p_continued_item_id: Some(item_id.clone()),
            ..begin_call(context, store, thread_id.clone())
        };
        let outcome = begin_run(store, &mut begin, context.deadline).await?;
        if matches!(outcome, BeginOutcome::NotOffered) {
            let message = "The call has not ended yet, or the conversation has already gone on.";
            return click.reply(Some(Notice { level: NoticeLevel::Info, message })).await;
        }
        let item = click.card().await?.item;
        let mut answer = self.answer(click.store, begin, outcome, click.context.deadline);
        answer.card = Some(item);
        Ok(ChatReply::Stream(Box::new(answer)))
    }
}

impl Click {
    async fn card(&self) -> Result<StoredCard, Error> {
        self.store.card(&self.thread_id, &self.item_id, self.context.deadline).await
    }

    async fn decide(&self, decision: Decision, subject_hash: &str) -> Result<(), Error> {
        let Self { store, thread_id, item_id, .. } = self;
        Ok(store.decide_card(thread_id, item_id, decision, subject_hash, self.context.deadline).await?)
    }

    /// Returns the card as it is now, with a notice.
    async fn reply(&self, notice: Option<Notice>) -> Result<ChatReply, Error> {
        let mut item = self.card().await?.item;
        if self.is_streamed {
            let stream_options = StreamOptions { allow_cancel: false };
            let mut events = vec![
                ThreadStreamEvent::StreamOptions { stream_options },
                ThreadStreamEvent::ItemReplaced { item },
            ];
            events.extend(notice.map(|Notice { level, message }| ThreadStreamEvent::Notice {
                level,
                message: message.to_owned(),
                title: None,
            }));
            return Ok(ChatReply::Events(events));
        }
        if let Some(notice) = notice {
            add_notice(&mut item, &notice);
        }
        Ok(ChatReply::Json(json!({ "updated_item": item })))
    }
}

/// Adds a notice to a card that is returned. JSON has no other place for it.
fn add_notice(item: &mut ThreadItem, notice: &Notice) {
    let ItemContent::Widget { widget, .. } = &mut item.content else { return };
    if let Some(children) = widget["children"].as_array_mut() {
        let color = match notice.level {
            NoticeLevel::Info => "secondary",
            NoticeLevel::Warning | NoticeLevel::Danger => "danger",
        };
        children.push(json!({ "type": "Text", "value": notice.message, "color": color, "weight": "medium" }));
    }
}

/// Returns what the user reads if a decision is refused; `None` for an error that is not a refusal.
fn refusal(code: ErrorCode) -> Option<Notice> {
    use ErrorCode as C;
    let (level, message) = match code {
        C::EscalationResolved => (NoticeLevel::Info, "This is already decided."),
        C::EscalationClosed => (
            NoticeLevel::Info,
            "There is nothing to decide any more: the time is over, or the session ended.",
        ),
        C::StepUpRequired => (
            NoticeLevel::Warning,
            "Deciding requires a second factor. Verify it, reload this page, and decide again.",
        ),
        C::OauthClientForbidden => (
            NoticeLevel::Warning,
            "This application may not decide. Decide in the organisation's own application.",
        ),
        C::OwnRequest => (NoticeLevel::Warning, "Another person must decide this."),
        C::AuthorMayNotDecide => (NoticeLevel::Warning, "The author of a call may not approve it."),
        C::RequesterMustConfirm => (NoticeLevel::Warning, "Only the requester may confirm this call."),
        C::SubjectChanged => (
            NoticeLevel::Warning,
            "Nothing was decided, because this is not what the card showed. Read it, and decide again.",
        ),
        C::EscalationNotFound | C::DecisionNotOffered | C::CommentRequired | C::AnswerRequired => {
            (NoticeLevel::Warning, "This cannot be decided here. Decide it in the inbox.")
        }
        _ => return None,
    };
    Some(Notice { level, message })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_service_are_not_refusals() {
        for code in [ErrorCode::ClientSecretRejected, ErrorCode::SupabaseUnavailable, ErrorCode::Internal] {
            assert!(refusal(code).is_none(), "{code:?}");
        }
    }

    #[test]
    fn notice_is_the_last_text_of_the_card() {
        let item = json!({
            "id": "msg_1", "thread_id": "thr_1", "created_at": "2026-11-27T00:00:00Z", "type": "widget",
            "widget": { "type": "Card", "children": [{ "type": "Divider" }] },
        });
        let mut item: ThreadItem = serde_json::from_value(item).unwrap();
        add_notice(&mut item, &Notice { level: NoticeLevel::Warning, message: "Not now." });
        let item = serde_json::to_value(item).unwrap();
        assert_eq!(item["widget"]["children"][1]["value"], "Not now.");
    }
}
