//! From a tool's result to an outcome.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{
    Approver, Ask, Asked, Completed, Decision, Failed, FollowUp, Handover, Outcome, Risk, Task,
    text::{cleaned, cut},
};
use crate::{json_schema::Schema, words::words};

/// The most characters of what is said to the user, and of a handover's summary.
const MAX_MESSAGE: usize = 8_000;
/// The most characters of a reason or an objective.
const MAX_REASON: usize = 2_000;
/// The most characters of a task's id, and of its title: the table has no room for more.
const MAX_TASK_ID: usize = 200;
const MAX_TASK_TITLE: usize = 500;
/// The most entries of a list. How many follow-ups are taken up is decided where they are recorded.
const MAX_ENTRIES: usize = 50;
/// How long a question may stay open, in seconds.
const EXPIRY: (u64, u64) = (60, 2_592_000);

words! {
    /// What an agent says of its work.
    enum Status {
        /// Done.
        Completed = "completed",
        /// Not done.
        Failed = "failed",
        /// A person has to decide.
        NeedsHitl = "needs_hitl",
    }
}

/// A result as it came. Servers in typed languages write down what is not there as `null`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Result_ {
    status: Status,
    message: Option<String>,
    output: Option<Value>,
    notices: Option<Vec<Value>>,
    tasks: Option<Vec<Task>>,
    ask: Option<Ask_>,
    follow_ups: Option<Vec<FollowUp>>,
    handover: Option<Handover>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ask_ {
    reason: Option<String>,
    decisions: Option<Vec<Decision>>,
    schema: Option<Map<String, Value>>,
    expires_in_seconds: Option<u64>,
    risk: Option<Risk>,
    approver: Option<Approver>,
}

/// A result that says something else than the contract allows.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::mcp) struct BadResult;

/// Reads a tool's result: its structured content if that has a `status`, and otherwise its text, as any MCP server answers.
pub(in crate::mcp) fn of_tool(
    is_error: bool,
    structured: Option<Value>,
    text: Option<String>,
) -> Result<Outcome, BadResult> {
    let structured = structured.map(cleaned).filter(|value| !value.is_null());
    let text =
        text.map(|text| cut(&text.replace('\0', "\u{fffd}"), MAX_MESSAGE)).filter(|text| !text.is_empty());
    match structured {
        Some(value) if value.get("status").is_some() => {
            let result = Result_::deserialize(value).map_err(|_| BadResult)?;
            result.outcome(is_error, text)
        }
        output if is_error => Ok(Outcome::Failed(Failed { message: text, output, ..Failed::default() })),
        output => {
            // The structured content once more, as text: there for clients that know only that.
            let repeated = |text: &String| {
                let value: Option<Value> = serde_json::from_str(text).ok();
                value.is_some() && value == output
            };
            let message = text.filter(|text| !repeated(text));
            Ok(Outcome::Completed(Completed { message, output, ..Completed::default() }))
        }
    }
}

impl Result_ {
    fn outcome(self, is_error: bool, text: Option<String>) -> Result<Outcome, BadResult> {
        let message =
            self.message.filter(|message| !message.is_empty()).map(|message| cut(&message, MAX_MESSAGE));
        let output = self.output.filter(|output| !output.is_null());
        let mut notices = self.notices.unwrap_or_default();
        notices.truncate(MAX_ENTRIES);
        let tasks = bounded(self.tasks)?;
        tasks.iter().try_for_each(check_task)?;
        if is_error || self.status == Status::Failed {
            let message = message.or(text.filter(|_| is_error));
            return Ok(Outcome::Failed(Failed { message, output, notices, tasks }));
        }
        if self.status == Status::NeedsHitl {
            let ask = self.ask.unwrap_or_default().ask(message.as_deref())?;
            return Ok(Outcome::Asked(Asked { message, tasks, ask, request_state: None }));
        }
        let mut follow_ups = bounded(self.follow_ups)?;
        for follow_up in &mut follow_ups {
            check_agent(&follow_up.agent_id)?;
            shorten(&mut follow_up.objective, MAX_REASON);
        }
        let mut handover = self.handover;
        if let Some(handover) = &mut handover {
            check_agent(&handover.agent_id)?;
            shorten(&mut handover.reason, MAX_REASON);
            shorten(&mut handover.summary, MAX_MESSAGE);
        }
        Ok(Outcome::Completed(Completed { message, output, notices, tasks, follow_ups, handover }))
    }
}

impl Ask_ {
    fn ask(self, message: Option<&str>) -> Result<Ask, BadResult> {
        let reason = self.reason.filter(|reason| !reason.is_empty());
        let reason = reason.as_deref().or(message).unwrap_or("The agent asks for a decision.");
        let decisions = self.decisions.filter(|decisions| !decisions.is_empty());
        let decisions = decisions.unwrap_or_else(|| vec![Decision::Approve, Decision::Reject]);
        let distinct = decisions.iter().enumerate().all(|(i, decision)| !decisions[..i].contains(decision));
        if !distinct {
            return Err(BadResult);
        }
        let schema = self.schema.filter(|schema| !schema.is_empty());
        if let Some(schema) = &schema {
            Schema::compile(&Value::Object(schema.clone())).map_err(|_| BadResult)?;
        }
        let expires = self.expires_in_seconds.map(|seconds| seconds.clamp(EXPIRY.0, EXPIRY.1));
        Ok(Ask {
            reason: cut(reason, MAX_REASON),
            decisions,
            schema,
            expires_in_seconds: expires.and_then(|seconds| u32::try_from(seconds).ok()),
            risk: self.risk,
            approver: self.approver,
        })
    }
}

fn bounded<T>(list: Option<Vec<T>>) -> Result<Vec<T>, BadResult> {
    Some(list.unwrap_or_default()).filter(|list| list.len() <= MAX_ENTRIES).ok_or(BadResult)
}

fn check_task(task: &Task) -> Result<(), BadResult> {
    let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
    let sound = fits(&task.id, MAX_TASK_ID) && fits(&task.title, MAX_TASK_TITLE);
    sound.then_some(()).ok_or(BadResult)
}

/// As agents are called in the registry.
fn check_agent(id: &str) -> Result<(), BadResult> {
    let plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    let sound = plain && (1..=63).contains(&id.len()) && id.starts_with(|c: char| c.is_ascii_lowercase());
    sound.then_some(()).ok_or(BadResult)
}

fn shorten(text: &mut Option<String>, most: usize) {
    *text = text.take().filter(|text| !text.is_empty()).map(|text| cut(&text, most));
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
