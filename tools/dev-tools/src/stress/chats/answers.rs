//! The model's answers, which depend only on the question, so that the stored ones can be checked.

use std::time::Duration;

use fastrand::Rng;
use local_stack::http::RandomFault;
use local_stack::model::{Delta, End, ErrorShape, Fault, FaultId, IncompleteReason, Part, Script, Step};

use crate::stress::env::StressEnv;

const WORDS: [&str; 12] = [
    "invoice ",
    "42 ",
    "is ",
    "paid ",
    "übermorgen ",
    "by ",
    "the ",
    "bank ",
    "— ",
    "and ",
    "booked ",
    "🙂 ",
];

/// The complete answer to a question.
struct Answer {
    /// One or two messages, each as its words.
    messages: Vec<Vec<&'static str>>,
    has_reasoning: bool,
    pace: Duration,
    /// After each message. A process that is killed in it has a message that is complete.
    pause: Duration,
}

impl Answer {
    fn new(question: &str) -> Self {
        let seed = question.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mut rng = Rng::with_seed(seed);
        let count = if rng.u8(..4) == 0 { 2 } else { 1 };
        let messages = (0..count).map(|_| {
            let length = rng.usize(3..30);
            (0..length).map(|_| WORDS[rng.usize(..WORDS.len())]).collect()
        });
        Self {
            messages: messages.collect(),
            has_reasoning: rng.u8(..4) == 0,
            pace: Duration::from_millis(rng.u64(..25)),
            pause: Duration::from_millis(rng.u64(..500)),
        }
    }

    fn into_script(self) -> Script {
        let mut script = Script::new().pace(self.pace);
        if self.has_reasoning {
            script = script.reasoning(["Reads the ledger", "Compares the amounts"]);
        }
        for words in self.messages {
            let words = words.into_iter().map(Delta::from).collect();
            script = script.step(Step::Message(vec![Part::Text(words, Vec::new())]));
            script = script.step(Step::Pause(Delta::Pause(self.pause)));
        }
        script
    }
}

/// Returns the script of the answer to a question.
pub fn script(question: &str) -> Script {
    Answer::new(question).into_script()
}

/// Returns the texts of the messages of the complete answer to a question.
pub fn texts(question: &str) -> Vec<String> {
    Answer::new(question).messages.iter().map(|words| words.concat()).collect()
}

/// Makes a share of the model's answers fail, in all ways.
pub fn inject_faults(env: &StressEnv, share: f64) -> Vec<FaultId> {
    let failed = |code: &str| End::Failed { code: code.to_owned(), message: "x".to_owned() };
    let error = |shape, then_failed| {
        let (code, message) = ("rate_limit_exceeded".to_owned(), "x".to_owned());
        End::Error { shape, code, message, then_failed }
    };
    let ways = vec![
        Fault::rate_limited().retry_after_ms("40"),
        // Longer than a client of the model waits.
        Fault::rate_limited().retry_after("60"),
        Fault::server_error(),
        Fault::overloaded(),
        Fault::html(502),
        Fault::reset(),
        Fault::slow(Duration::from_millis(700)),
        Fault::end_after(0, failed("server_error")),
        Fault::end_after(4, failed("server_error")),
        Fault::end_after(2, error(ErrorShape::Flat, false)),
        Fault::end_after(5, error(ErrorShape::Nested, true)),
        Fault::end_after(1, End::Reset),
        Fault::end_after(7, End::Disconnect),
        Fault::end_after(3, End::Truncated),
        Fault::end_after(6, End::Incomplete(IncompleteReason::MaxOutputTokens)),
    ];
    // The faults are tried in order, so each one needs a larger share of the remaining requests.
    let count = ways.len() as f64;
    let chance = |place: usize| {
        let part = share / count / (1.0 - share * place as f64 / count);
        RandomFault::new(part, env.seed ^ (101 + place as u64))
    };
    let ways = ways.into_iter().enumerate();
    ways.map(|(place, fault)| env.stack.model().add_fault(fault.random(chance(place)))).collect()
}
