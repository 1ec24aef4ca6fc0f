//! The end of a turn: what a reader sees of an answer that is not complete.

use super::{Turn, TurnOutput};
use crate::{
    clients::model::{IncompleteReason, ModelCause, ModelError},
    domain::chat::{
        IdPrefix, ItemSource,
        protocol::{
            ChatTask, ItemContent, NoticeLevel, StatusIndicator, StreamErrorCode, TaskKind, ThreadStreamEvent,
        },
    },
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnEnd {
    Completed,
    Incomplete(IncompleteReason),
    /// The model's server reported an error, before the stream or in it.
    Failed(ModelCause),
    /// The stream ended without the final event.
    Cut,
    /// The user, or the session's end, stopped the answer.
    Stopped,
    /// The time of a turn is used up.
    DeadlineReached,
    /// The model requested more calls of tools than a turn may have.
    TooManyCalls,
    /// The user or the organisation does not have tokens left for another response.
    TokensUsedUp,
    /// The page runs a tool, and its output begins the next turn.
    ClientCall,
    /// The session was handed over to an agent whose chat does not run here.
    HandedOver,
}

/// Additions to the thread and to the stream at the end of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Title of the task that marks the answer as broken.
    pub mark: Option<&'static str>,
    /// Text of the `notice` event, which states what the user can do.
    pub notice: Option<&'static str>,
    pub error: Option<EndingError>,
}

/// The `error` event at the end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndingError {
    /// `None` for the client's own text.
    pub message: Option<&'static str>,
    pub allow_retry: bool,
}

const INTERRUPTED: &str = "The answer was interrupted.";
const TIME_LIMIT: &str = "The answer reached its time limit.";
const NO_ANSWER: &str = "The model did not return an answer.";

impl Ending {
    const NONE: Self = Self { mark: None, notice: None, error: None };

    const fn mark(mark: &'static str) -> Self {
        Self { mark: Some(mark), notice: None, error: None }
    }

    const fn notice(mark: &'static str, notice: &'static str) -> Self {
        Self { mark: Some(mark), notice: Some(notice), error: None }
    }

    const fn error(mark: &'static str, message: Option<&'static str>, allow_retry: bool) -> Self {
        Self { mark: Some(mark), notice: None, error: Some(EndingError { message, allow_retry }) }
    }
}

impl TurnEnd {
    /// Returns the end for an error of the model's client.
    pub fn from_error(error: &ModelError) -> Self {
        match error.cause {
            ModelCause::Cut => Self::Cut,
            cause => Self::Failed(cause),
        }
    }

    /// Returns whether the same message may be answered again.
    pub fn allows_retry(self, has_answer: bool) -> bool {
        ending(self, has_answer).error.is_some_and(|error| error.allow_retry)
    }
}

/// The table of endings. `has_answer` is whether the model's answer has a text.
pub fn ending(end: TurnEnd, has_answer: bool) -> Ending {
    use IncompleteReason::{ContentFilter, MaxOutputTokens, Other};
    use ModelCause as C;
    match end {
        TurnEnd::Completed if has_answer => Ending::NONE,
        TurnEnd::ClientCall | TurnEnd::HandedOver => Ending::NONE,
        TurnEnd::Completed => Ending::error(NO_ANSWER, Some(NO_ANSWER), true),
        TurnEnd::Incomplete(MaxOutputTokens) => Ending::mark("The answer reached its length limit."),
        TurnEnd::Incomplete(ContentFilter) => Ending::mark("A content filter stopped the answer."),
        TurnEnd::Incomplete(Other) => Ending::mark("The answer is incomplete."),
        TurnEnd::Stopped => Ending::mark("Stopped."),
        TurnEnd::TooManyCalls => Ending::notice(
            "The answer reached its limit of tool calls.",
            "The answer reached its limit of tool calls. Send a message to go on.",
        ),
        TurnEnd::TokensUsedUp => Ending::notice(
            "The tokens of the day are used up.",
            "The tokens of the day are used up. Go on later, or ask an administrator.",
        ),
        TurnEnd::DeadlineReached | TurnEnd::Failed(C::TimedOut) => {
            Ending::error(TIME_LIMIT, Some(TIME_LIMIT), true)
        }
        TurnEnd::Cut | TurnEnd::Failed(C::Cut | C::Unavailable | C::TooLarge | C::BadAnswer) => {
            Ending::error(INTERRUPTED, None, true)
        }
        TurnEnd::Failed(C::RateLimited) => {
            Ending::error(INTERRUPTED, Some("The model is busy. Try again in a minute."), true)
        }
        TurnEnd::Failed(C::InputTooLong) => {
            let message = "The conversation is too long for the model. Start a new one.";
            Ending::error(INTERRUPTED, Some(message), false)
        }
        TurnEnd::Failed(C::PromptRejected) => {
            let message = "The model does not accept this message. Send it in other words.";
            Ending::error(INTERRUPTED, Some(message), false)
        }
        TurnEnd::Failed(
            C::KeyRejected
            | C::Blocked
            | C::ModelNotFound
            | C::EndpointNotFound
            | C::SettingsRejected
            | C::QuotaExhausted
            | C::NotEventStream,
        ) => {
            let message = "The model is not available. Report this to an administrator.";
            Ending::error(INTERRUPTED, Some(message), false)
        }
    }
}

impl<S: ItemSource> Turn<S> {
    /// Closes what is open, marks an answer that is not complete, and reports the error.
    pub(super) fn finish(&mut self, end: TurnEnd) {
        self.end = Some(end);
        self.close();
        self.leave_calls();
        let Ending { mark, notice, error } = ending(end, self.has_answer);
        if let Some(title) = mark {
            let item = self.new_item(IdPrefix::Task, mark_content(title));
            self.outputs.push(TurnOutput::Item(item));
        }
        if let Some(message) = notice {
            let message = message.to_owned();
            self.send(ThreadStreamEvent::Notice { level: NoticeLevel::Warning, message, title: None });
        }
        if let Some(EndingError { message, allow_retry }) = error {
            let code = message.map_or(StreamErrorCode::StreamError, |_| StreamErrorCode::Custom);
            let message = message.map(str::to_owned);
            self.send(ThreadStreamEvent::Error { code, message, allow_retry });
        }
    }
}

/// Returns the content of a mark, which is also how the store marks an answer whose process died.
pub fn mark_content(title: &str) -> ItemContent {
    let kind = TaskKind::Custom { title: Some(title.to_owned()), icon: None, content: None };
    ItemContent::Task { task: ChatTask { status_indicator: StatusIndicator::None, kind } }
}
