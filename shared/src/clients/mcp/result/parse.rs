//! Parses a tool's result.
//!
//! Every response of a tool gives a result. A response whose `status` is one of our three
//! values follows the contract, wherever the server puts it. Anything else is the tool's
//! output, and the call is completed.

use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    Approver, Completed, Decision, FailureReport, FollowUp, Handover, HumanRequest, NeedsHuman, Risk,
    TaskUpdate, ToolResult,
    content::Content,
    json::{MAX_SIZE, Members, parse, to_value, to_value_or_text},
    sanitize::truncate,
};
use crate::platform::{json_schema::Schema, parse::Timestamp, string_enum::words};

/// Maximum number of characters of a message to the user and of a handover's summary.
const MAX_MESSAGE: usize = 8_000;
/// Maximum number of characters of a reason, an objective or a task's description.
const MAX_REASON: usize = 2_000;
/// Maximum number of characters of a task's id and title, as the table allows.
const MAX_TASK_ID: usize = 200;
const MAX_TASK_TITLE: usize = 500;
/// Maximum number of entries of a list. The code that records follow-ups limits how many
/// of them are carried out.
const MAX_ENTRIES: usize = 50;
/// Bounds of the time that a question stays open, in seconds.
const EXPIRY: (f64, f64) = (60.0, 2_592_000.0);
/// Added to the reason of a question that violates the contract.
const MALFORMED: &str = "(Part of the agent's question could not be read.)";
/// Members of a result other than `status`.
const MEMBERS: [&str; 7] = ["message", "output", "notices", "tasks", "ask", "followUps", "handover"];

words! {
    /// Value of `status` by the contract.
    enum ResultStatus {
        Completed = "completed",
        Failed = "failed",
        /// A person has to decide.
        NeedsHitl = "needs_hitl",
    }
}

pub(in crate::clients::mcp) fn parse_tool_result(result: &RawValue) -> ToolResult {
    let known = ["content", "structuredContent", "isError"];
    let is_error = |members: &Members<'_>| members.all("isError").iter().any(|json| json.get() == "true");
    let (members, structured) = match Members::parse(result) {
        // The result does not show which of its parts counts, so no part is acted on.
        Some(members) if known.iter().any(|name| members.all(name).len() > 1) => {
            return parse_foreign_result(Some(result), is_error(&members), Content::default());
        }
        Some(members) if members.has_any(&known) => {
            let structured = members.get("structuredContent");
            (members, structured)
        }
        // The server did not wrap its result.
        Some(mut bare) => {
            bare.split(&["_meta", "resultType"]);
            (Members::default(), bare.into_value().map(|_| result))
        }
        None => (Members::default(), Some(result).filter(|result| result.get() != "null")),
    };
    let is_error = is_error(&members);
    let content = Content::parse(members.get("content"));
    let only_text = match content.texts.as_slice() {
        [text] => parse(text),
        _ => None,
    };
    if let Some((status, members)) = structured.and_then(parse_contract) {
        return follow(status, members, is_error, &content, None);
    }
    if let Some((status, members)) = only_text.and_then(parse_contract) {
        let beside =
            structured.filter(|structured| !repeats(&to_value_or_text(structured), &content.texts[0]));
        return follow(status, members, is_error, &content, beside);
    }
    parse_foreign_result(structured, is_error, content)
}

/// Finds a result by the contract: an object with one of our `status` values, or with such
/// an object as its `result`. An object that has two does not follow the contract.
fn parse_contract(json: &RawValue) -> Option<(ResultStatus, Members<'_>)> {
    let members = Members::parse(json)?;
    match parse_enum(members.value("status")) {
        Some(status) => Some((status, members)),
        None => {
            let inner = Members::parse(members.get("result")?)?;
            Some((parse_enum(inner.value("status"))?, inner))
        }
    }
}

fn parse_enum<T: TryFrom<String>>(value: Option<Value>) -> Option<T> {
    value.and_then(text).and_then(|word| T::try_from(word).ok())
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// Parses a list of at most [`MAX_ENTRIES`] entries, each of which is valid.
fn list<T: DeserializeOwned>(value: Value, is_sound: impl Fn(&T) -> bool) -> Option<Vec<T>> {
    let list: Vec<T> = Vec::deserialize(value).ok()?;
    Some(list).filter(|list| list.len() <= MAX_ENTRIES && list.iter().all(is_sound))
}

/// Reads a result that does not follow the contract as the tool's output. Text that is not JSON
/// becomes the message to the user; JSON never does.
fn parse_foreign_result(structured: Option<&RawValue>, is_error: bool, content: Content) -> ToolResult {
    let mut notices = content.notes.clone();
    let output = structured.map(|structured| parse_output(structured, &mut notices));
    // More texts than that are not compared with the entries of a list: the cost is quadratic.
    let is_compared = content.texts.len() <= MAX_ENTRIES;
    let is_said = |text: &&String| match parse(text) {
        None => true,
        // A tool whose result is typed as text may return "42".
        Some(json) => {
            is_compared
                && !json.get().starts_with(['{', '['])
                && output.as_ref().is_some_and(|output| contains_value(output, text))
        }
    };
    let (said, answered): (Vec<&String>, Vec<&String>) = content.texts.iter().partition(is_said);
    let answered = answered.into_iter().filter_map(|text| parse(text));
    let output = match output {
        Some(output) => {
            let other = answered.filter(|json| is_compared && !repeats(&output, json.get()));
            notices.extend(other.map(to_value_or_text));
            Some(output)
        }
        None => combine_outputs(answered.collect(), &mut notices),
    };
    let message = clean_message(&said.into_iter().map(String::as_str).collect::<Vec<_>>().join("\n"));
    if is_error {
        let message = with_links(message, &content);
        return ToolResult::Failed(FailureReport { message, output, notices, tasks: Vec::new() });
    }
    let output = output.filter(|output| !output.is_null());
    ToolResult::Completed(Completed {
        message,
        output,
        notices: limit_notices(notices),
        ..Completed::default()
    })
}

/// Combines the texts of a tool into its output: one value, or a list.
fn combine_outputs(all: Vec<&RawValue>, notices: &mut Vec<Value>) -> Option<Value> {
    let size = all.iter().map(|json| json.get().len()).sum();
    match all.as_slice() {
        [] => None,
        [json] => Some(parse_output(json, notices)),
        _ if size > MAX_SIZE => {
            notices.push(output_left_out(size));
            None
        }
        all => Some(all.iter().map(|json| parse_output(json, notices)).collect()),
    }
}

/// Returns whether a tool's result, as servers wrap it, is this text or a list that contains it.
fn contains_value(structured: &Value, text: &str) -> bool {
    let is_text = |value: &Value| value.as_str() == Some(text);
    let result = &structured["result"];
    is_text(result) || result.as_array().is_some_and(|all| all.iter().any(is_text))
}

/// Returns whether a JSON text repeats the structured content or one entry of it. Servers send both
/// for clients that read only text.
fn repeats(structured: &Value, text: &str) -> bool {
    let value = parse(text).map(to_value_or_text);
    let same = |said: &Value| Some(said) == value.as_ref();
    let result = &structured["result"];
    // An output that was nested too deeply or too large is not compared.
    structured.is_string()
        || structured.is_null()
        || contains_value(structured, text)
        || same(structured)
        || same(result)
        || result.as_array().is_some_and(|all| all.iter().any(same))
}

/// Returns what is stored of an output. An output that cannot be stored as a value is stored as
/// text. One that is far too large is dropped. A notice records both.
fn parse_output(json: &RawValue, notices: &mut Vec<Value>) -> Value {
    to_value(json).unwrap_or_else(|instead| {
        let is_text = instead.is_string();
        notices.push(match is_text {
            true => output_kept_as_text(),
            false => output_left_out(json.get().len()),
        });
        if is_text { instead } else { Value::Null }
    })
}

fn output_kept_as_text() -> Value {
    json!({"type": "output", "keptAs": "text"})
}

fn output_left_out(size: usize) -> Value {
    json!({"type": "output", "size": size, "leftOut": true})
}

/// Drops the notices beyond [`MAX_SIZE`] and appends how many were dropped.
fn limit_notices(notices: Vec<Value>) -> Vec<Value> {
    let mut size = 0;
    let all = notices.len();
    let mut kept: Vec<Value> = notices
        .into_iter()
        .take_while(|notice| {
            size += notice.to_string().len();
            size <= MAX_SIZE
        })
        .collect();
    if kept.len() < all {
        kept.push(json!({"type": "more", "leftOut": true, "count": all - kept.len()}));
    }
    kept
}

/// Reads a result by the contract. Members that violate it are not acted on, and
/// are kept as a notice.
fn follow(
    status: ResultStatus,
    mut members: Members<'_>,
    is_error: bool,
    content: &Content,
    beside: Option<&RawValue>,
) -> ToolResult {
    members.remove("status");
    let mut notices = members.take("notices", array).unwrap_or_default();
    notices.truncate(MAX_ENTRIES);
    notices.extend(content.notes.iter().cloned());
    let message = members.take("message", text).and_then(|message| clean_message(&message));
    let output = members.remove("output").map(|output| parse_output(output, &mut notices));
    let mut tasks = members.take("tasks", |tasks| list(tasks, is_task)).unwrap_or_default();
    for task in &mut tasks {
        truncate_field(&mut task.description, MAX_REASON);
        // PostgreSQL cannot represent much earlier times.
        task.due_at = task.due_at.filter(|due_at| *due_at >= Timestamp::UNIX_EPOCH);
    }
    if is_error || status == ResultStatus::Failed {
        let text = is_error.then(|| content.texts.join("\n")).filter(|text| parse(text).is_none());
        let message = message.or_else(|| clean_message(&text?));
        return ToolResult::Failed(FailureReport {
            message: with_links(message, content),
            output,
            notices,
            tasks,
        });
    }
    if status == ResultStatus::NeedsHitl {
        let ask = ask(&mut members, message.as_deref());
        return ToolResult::NeedsHuman(NeedsHuman {
            message: with_links(message, content),
            tasks,
            ask,
            request_state: None,
        });
    }
    members.remove("ask");
    let is_sound = |follow_up: &FollowUp| is_agent(&follow_up.agent_id);
    let mut follow_ups = members.take("followUps", |all| list(all, is_sound)).unwrap_or_default();
    for follow_up in &mut follow_ups {
        truncate_field(&mut follow_up.objective, MAX_REASON);
    }
    let mut handover = members.take("handover", |handover| {
        Handover::deserialize(handover).ok().filter(|handover| is_agent(&handover.agent_id))
    });
    if let Some(handover) = &mut handover {
        truncate_field(&mut handover.reason, MAX_REASON);
        truncate_field(&mut handover.summary, MAX_MESSAGE);
    }
    let malformed = members.split(&MEMBERS).into_value();
    notices.extend(malformed.map(|members| json!({"type": "malformed", "members": members})));
    // A tool that does not know the contract may use the same status value. The rest of
    // its result is its output.
    let rest = members.into_value();
    if output.is_none() && beside.is_none() && rest.as_ref().is_some_and(Value::is_string) {
        notices.push(output_kept_as_text());
    }
    let mut others = [beside.map(to_value_or_text), rest].into_iter().flatten();
    let output = output.or_else(|| others.next());
    notices.extend(others.filter(|_| beside.is_some()));
    let output = output.filter(|output| !output.is_null());
    ToolResult::Completed(Completed {
        message,
        output,
        notices: limit_notices(notices),
        tasks,
        follow_ups,
        handover,
    })
}

/// Parses the question to a person. A question that violates the contract is asked as well, since
/// the decision that it needs has not been made. It goes to another person, with high risk.
fn ask(members: &mut Members<'_>, message: Option<&str>) -> HumanRequest {
    let json = members.remove("ask");
    let given = json.and_then(Members::parse);
    let is_object = members.is_absent("ask") && (json.is_none() || given.is_some());
    let mut given = given.unwrap_or_default();
    let reason = given.take("reason", text).or_else(|| text(to_value(json?).ok()?));
    let reason = reason.filter(|reason| !reason.is_empty());
    let mut reason = reason.as_deref().or(message).unwrap_or("The agent asks for a decision.").to_owned();
    let mut decisions = given.take("decisions", decisions).unwrap_or_default();
    let mut schema = given.take("schema", |schema| match schema {
        Value::Object(schema) if schema.is_empty() => Some(schema),
        schema => Schema::compile(&schema).ok().and(object(schema)),
    });
    let is_answerable = given.get("decisions").is_none() && given.get("schema").is_none();
    let expires = given.take("expiresInSeconds", |seconds| seconds.as_f64());
    let mut risk = given.take("risk", |risk| parse_enum(Some(risk)));
    let mut approver = given.take("approver", |approver| parse_enum(Some(approver)));
    if !is_object || given.has_any(&["reason", "decisions", "schema", "expiresInSeconds", "risk", "approver"])
    {
        (risk, approver) = (Some(Risk::High), Some(Approver::OtherOnly));
        reason = format!("{} {MALFORMED}", truncate(&reason, MAX_REASON - MALFORMED.len() - 1));
    }
    if decisions.is_empty() || !is_answerable {
        decisions = vec![Decision::Approve, Decision::Reject];
    }
    schema = schema.filter(|schema| is_answerable && !schema.is_empty());
    HumanRequest {
        reason: truncate(&reason, MAX_REASON),
        decisions,
        schema,
        // The bounds fit the type, so the cast cannot overflow.
        expires_in_seconds: expires.map(|seconds| seconds.clamp(EXPIRY.0, EXPIRY.1) as u32),
        risk,
        approver,
    }
}

fn clean_message(text: &str) -> Option<String> {
    Some(truncate(&text.replace('\0', "\u{fffd}"), MAX_MESSAGE)).filter(|text| !text.is_empty())
}

/// Appends the links and files of a failure or a question to its message, a line each.
fn with_links(message: Option<String>, content: &Content) -> Option<String> {
    let lines: Vec<String> = message.into_iter().chain(content.lines()).collect();
    clean_message(&lines.join("\n"))
}

fn array(value: Value) -> Option<Vec<Value>> {
    match value {
        Value::Array(all) => Some(all),
        _ => None,
    }
}

fn object(value: Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields),
        _ => None,
    }
}

/// Parses a list of decisions without duplicates.
fn decisions(value: Value) -> Option<Vec<Decision>> {
    let all: Vec<Decision> =
        array(value)?.into_iter().map(|one| parse_enum(Some(one))).collect::<Option<_>>()?;
    let is_distinct = all.iter().enumerate().all(|(i, decision)| !all[..i].contains(decision));
    is_distinct.then_some(all)
}

fn is_task(task: &TaskUpdate) -> bool {
    let fits = |text: &str, most| (1..=most).contains(&text.chars().count());
    fits(&task.id, MAX_TASK_ID) && fits(&task.title, MAX_TASK_TITLE)
}

/// Returns whether this can be the id of an agent in the registry.
fn is_agent(id: &str) -> bool {
    let plain = id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    plain && (1..=63).contains(&id.len()) && id.starts_with(|c: char| c.is_ascii_lowercase())
}

fn truncate_field(text: &mut Option<String>, most: usize) {
    *text = text.take().filter(|text| !text.is_empty()).map(|text| truncate(&text, most));
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
