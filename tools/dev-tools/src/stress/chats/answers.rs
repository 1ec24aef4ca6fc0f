//! The model's answers, which depend only on the question, so that the stored ones can be checked.

use std::ops::Range;
use std::time::Duration;

use fastrand::Rng;
use local_stack::http::RandomFault;
use local_stack::model::{Delta, End, ErrorShape, Fault, FaultId, IncompleteReason, Part, Script, Step};
use serde_json::{Value, json};

use super::tools::{LIMIT, TOOLS};
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

/// A response of the model that requests a call, perhaps after a message.
struct CallStep {
    message: Option<Vec<&'static str>>,
    tool: &'static str,
    amount: u32,
}

/// The complete answer to a question.
struct Answer {
    calls: Vec<CallStep>,
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
        let messages = (0..count).map(|_| words(&mut rng, 3..30)).collect();
        let has_reasoning = rng.u8(..4) == 0;
        let pace = Duration::from_millis(rng.u64(..25));
        let pause = Duration::from_millis(rng.u64(..500));
        let call = |rng: &mut Rng| CallStep {
            message: rng.bool().then(|| words(rng, 3..8)),
            tool: TOOLS[rng.usize(..TOOLS.len())],
            amount: if rng.bool() { LIMIT / 2 } else { LIMIT * 2 },
        };
        let calls = if rng.bool() { 0 } else { rng.usize(1..4) };
        let calls = (0..calls).map(|_| call(&mut rng)).collect();
        Self { calls, messages, has_reasoning, pace, pause }
    }

    /// Returns the response after `made` calls for the question.
    fn into_script(mut self, made: usize, question: &str) -> Script {
        let mut script = Script::new().pace(self.pace);
        if made < self.calls.len() {
            let CallStep { message, tool, amount } = self.calls.swap_remove(made);
            if let Some(words) = message {
                script = script.step(message_step(words));
            }
            let invoice = format!("{question} ({made})");
            return script.function_call(tool, &json!({ "invoice": invoice, "amount": amount }));
        }
        if self.has_reasoning {
            script = script.reasoning(["Reads the ledger", "Compares the amounts"]);
        }
        for words in self.messages {
            script = script.step(message_step(words)).step(Step::Pause(Delta::Pause(self.pause)));
        }
        script
    }
}

fn words(rng: &mut Rng, length: Range<usize>) -> Vec<&'static str> {
    let length = rng.usize(length);
    (0..length).map(|_| WORDS[rng.usize(..WORDS.len())]).collect()
}

fn message_step(words: Vec<&'static str>) -> Step {
    let words = words.into_iter().map(Delta::from).collect();
    Step::Message(vec![Part::Text(words, Vec::new())])
}

/// Returns the question that an input ends with, and how many calls were made for it. What an
/// application adds to the conversation is a user's message with a mark.
pub fn question_of(body: &Value) -> (String, usize) {
    let items = body["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_question = |item: &Value| {
        item["role"] == "user"
            && !item["content"][0]["text"].as_str().unwrap_or_default().starts_with("<context")
    };
    let Some(place) = items.iter().rposition(is_question) else { return (String::new(), 0) };
    let calls = items[place..].iter().filter(|item| item["type"] == "function_call").count();
    (items[place]["content"][0]["text"].as_str().unwrap_or_default().to_owned(), calls)
}

/// Returns the script of the response to a request.
pub fn script(body: &Value) -> Script {
    let (question, made) = question_of(body);
    Answer::new(&question).into_script(made, &question)
}

/// Returns the texts of the messages that answer a question after `made` calls for it. `None` if
/// there are fewer calls.
pub fn texts_after(question: &str, made: usize) -> Option<Vec<String>> {
    let answer = Answer::new(question);
    let calls = answer.calls.get(made..)?.iter().filter_map(|call| call.message.as_ref());
    Some(calls.chain(&answer.messages).map(|words| words.concat()).collect())
}

/// Returns the texts of the messages of the complete answer to a question.
pub fn texts(question: &str) -> Vec<String> {
    texts_after(question, 0).unwrap_or_default()
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
