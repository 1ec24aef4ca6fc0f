//! Comparison of responses with documented examples.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

/// Fields with generated values that are not UUIDs.
const GENERATED_FIELDS: [&str; 5] = ["sessionId", "clientSecret", "nextCursor", "cursor", "subjectHash"];

/// Compares responses with examples. Each generated value of the examples stands for one actual
/// value in all responses, and two values stand for two.
#[derive(Default)]
pub struct ExampleMatcher {
    actual_values: BTreeMap<String, String>,
}

impl ExampleMatcher {
    /// Sets the actual value that a value of the examples stands for.
    pub fn set(&mut self, example: &str, actual: &str) {
        self.actual_values.insert(example.to_owned(), actual.to_owned());
    }

    /// Replaces the values of the examples in a text by the actual ones.
    pub fn substitute(&self, text: &str) -> String {
        let longest_first = self.actual_values.iter().rev();
        longest_first.fold(text.to_owned(), |text, (example, actual)| text.replace(example, actual))
    }

    /// [`ExampleMatcher::substitute`] for JSON.
    pub fn substitute_in(&self, value: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&self.substitute(&value.to_string()))?)
    }

    /// Checks that keys, lengths, types and values are equal. Times only need the same format.
    /// Generated values are equal where those of the examples are equal.
    pub fn compare(&mut self, example: &Value, answer: &Value) -> Result<()> {
        let result = self.compare_at("", example, answer);
        result.map_err(|error| anyhow!("{error:#}; expected {example:#}, found {answer:#}"))
    }

    fn compare_at(&mut self, at: &str, example: &Value, answer: &Value) -> Result<()> {
        match (example, answer) {
            (Value::Object(expected), Value::Object(got)) => {
                let unexpected: Vec<_> = got.keys().filter(|key| !expected.contains_key(*key)).collect();
                ensure!(unexpected.is_empty(), "{at} has the unexpected keys {unexpected:?}");
                for (key, value) in expected {
                    let other = got.get(key).with_context(|| format!("{at}/{key} is missing"))?;
                    self.compare_at(&format!("{at}/{key}"), value, other)?;
                }
            }
            (Value::Array(expected), Value::Array(got)) => {
                ensure!(expected.len() == got.len(), "{at} has {} items, not {}", got.len(), expected.len());
                for (i, (value, other)) in expected.iter().zip(got).enumerate() {
                    self.compare_at(&format!("{at}/{i}"), value, other)?;
                }
            }
            (Value::String(expected), Value::String(got)) => self.compare_text(at, expected, got)?,
            _ => ensure!(example == answer, "{at} is {answer}, not {example}"),
        }
        Ok(())
    }

    fn compare_text(&mut self, at: &str, expected: &str, got: &str) -> Result<()> {
        let field = at.rsplit('/').next().unwrap_or_default();
        if expected.parse::<Timestamp>().is_ok() {
            ensure!(is_time(got), "{at} is {got}, not a UTC time with six decimals");
        } else if field == "requestId" {
            ensure!(got.parse::<Uuid>().is_ok(), "{at} is {got}, not a UUID");
        } else if is_id(expected) || GENERATED_FIELDS.contains(&field) {
            ensure!(is_id(expected) == is_id(got), "{at} is {got}, not a value like {expected}");
            self.bind(at, expected, got)?;
        } else {
            ensure!(self.substitute(expected) == got, "{at} is {got:?}, not {expected:?}");
        }
        Ok(())
    }

    fn bind(&mut self, at: &str, expected: &str, got: &str) -> Result<()> {
        match self.actual_values.get(expected) {
            Some(known) => ensure!(known == got, "{at} is {got}, but {expected} stands for {known}"),
            None => match self.actual_values.iter().find(|(_, actual)| *actual == got) {
                Some((other, _)) => bail!("{at} is {got}, for which {other} stands, not {expected}"),
                None => self.set(expected, got),
            },
        }
        Ok(())
    }
}

/// Whether a text is a time in the format of responses: UTC, with six decimals.
pub fn is_time(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok()
        && text.len() == "2026-11-22T10:00:00.000000Z".len()
        && text.ends_with('Z')
}

fn is_id(text: &str) -> bool {
    text.parse::<Uuid>().is_ok() || is_chat_id(text)
}

/// Whether a text is an id of the self-hosted chat, for example `thr_` and 32 hexadecimal digits.
fn is_chat_id(text: &str) -> bool {
    text.split_once('_').is_some_and(|(prefix, digits)| {
        ["thr", "msg", "wf", "tsk"].contains(&prefix)
            && digits.len() == 32
            && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}
