//! Compares each end of a turn with a table of what the reader sees.

use super::{super::TurnEnd, *};
use crate::clients::model::{IncompleteReason, ModelCause};

const CAUSES: [ModelCause; 15] = [
    ModelCause::KeyRejected,
    ModelCause::Blocked,
    ModelCause::ModelNotFound,
    ModelCause::EndpointNotFound,
    ModelCause::SettingsRejected,
    ModelCause::InputTooLong,
    ModelCause::PromptRejected,
    ModelCause::RateLimited,
    ModelCause::QuotaExhausted,
    ModelCause::Unavailable,
    ModelCause::Cut,
    ModelCause::TimedOut,
    ModelCause::NotEventStream,
    ModelCause::TooLarge,
    ModelCause::BadAnswer,
];

#[test]
fn half_an_answer_is_stored_with_a_mark_and_an_error_where_it_is_one() {
    let half = ["part 0 done \"half\"", "stored message [\"half\"]"];
    let interrupted = "stored mark \"The answer was interrupted.\"";
    for (end, rest) in [
        (TurnEnd::Completed, &[][..]),
        (
            TurnEnd::Incomplete(IncompleteReason::MaxOutputTokens),
            &["stored mark \"The answer reached its length limit.\""],
        ),
        (
            TurnEnd::Incomplete(IncompleteReason::ContentFilter),
            &["stored mark \"A content filter stopped the answer.\""],
        ),
        (TurnEnd::Incomplete(IncompleteReason::Other), &["stored mark \"The answer is incomplete.\""]),
        (TurnEnd::Stopped, &["stored mark \"Stopped.\""]),
        (TurnEnd::Cut, &[interrupted, "error - true"]),
        (TurnEnd::Failed(ModelCause::Unavailable), &[interrupted, "error - true"]),
        (
            TurnEnd::Failed(ModelCause::RateLimited),
            &[interrupted, "error The model is busy. Try again in a minute. true"],
        ),
        (
            TurnEnd::Failed(ModelCause::InputTooLong),
            &[interrupted, "error The conversation is too long for the model. Start a new one. false"],
        ),
        (
            TurnEnd::Failed(ModelCause::KeyRejected),
            &[interrupted, "error The model is not available. Report this to an administrator. false"],
        ),
        (
            TurnEnd::DeadlineReached,
            &[
                "stored mark \"The answer reached its time limit.\"",
                "error The answer reached its time limit. true",
            ],
        ),
    ] {
        let mut turn = turn();
        turn.on_event(delta(0, "half"));
        let expected: Vec<_> = half.iter().chain(rest).copied().collect();
        assert_eq!(describe(&turn.end(end)), expected, "{end:?}");
        assert_eq!(turn.end(TurnEnd::Cut), [], "a turn ends once");
        assert_eq!(turn.on_event(delta(0, "late")), []);
        assert_eq!(turn.ended(), Some(end));
    }
}

#[test]
fn turn_without_a_text_is_marked_and_leaves_no_empty_item() {
    let no_answer = "stored mark \"The model did not return an answer.\"";
    let error = "error The model did not return an answer. true";
    for (events, expected) in [
        (vec![], vec![no_answer, error]),
        (
            vec![ModelEvent::OutputItemAdded { index: 0, item: message(&[]) }],
            vec!["removed", no_answer, error],
        ),
        (vec![delta(0, " \n")], vec!["removed", no_answer, error]),
        (vec![summary_delta(0, 0, "t")], vec!["stored workflow [\"t\"]", no_answer, error]),
        (
            vec![ModelEvent::OutputItemAdded { index: 0, item: call("pay") }],
            vec!["hidden hidden_context_item", no_answer, error],
        ),
    ] {
        let mut turn = turn();
        events.into_iter().for_each(|event| drop(turn.on_event(event)));
        assert_eq!(describe(&turn.on_event(completed())), expected);
        assert!(!turn.has_answer());
    }
}

#[test]
fn failure_before_and_in_the_stream_has_the_same_ending() {
    for (code, cause) in [
        (Some("rate_limit_exceeded"), ModelCause::RateLimited),
        (Some("insufficient_quota"), ModelCause::QuotaExhausted),
        (Some("context_length_exceeded"), ModelCause::InputTooLong),
        (Some("server_error"), ModelCause::Unavailable),
        (None, ModelCause::Unavailable),
    ] {
        let code = code.map(str::to_owned);
        let expected = turn().end(TurnEnd::Failed(cause));
        let failed = ModelEvent::Failed { code: code.clone(), message: None, usage: None };
        assert_eq!(turn().on_event(failed), expected, "{code:?}");
        let error = ModelEvent::Error { code: code.clone(), message: None };
        assert_eq!(turn().on_event(error), expected, "{code:?}");
    }
}

#[test]
fn every_ending_but_a_complete_answer_has_a_mark() {
    use super::super::ending;
    for cause in CAUSES {
        let end = TurnEnd::Failed(cause);
        for has_answer in [false, true] {
            assert!(ending(end, has_answer).mark.is_some(), "{end:?}");
            assert!(ending(end, has_answer).error.is_some(), "{end:?}");
        }
        let is_passing = cause.meaning().is_transient;
        assert!(!is_passing || end.allows_retry(true), "{cause:?} passes, so a retry may help");
    }
    assert_eq!(ending(TurnEnd::Completed, true).mark, None);
}
