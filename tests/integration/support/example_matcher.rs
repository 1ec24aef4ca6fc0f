//! Whether an answer is the one that an example shows, but for what differs each time.

use std::collections::BTreeMap;

use anyhow::{Context, Result, anyhow, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

/// Fields whose text somebody else makes up.
const MADE_UP: [&str; 4] = ["sessionId", "clientSecret", "nextCursor", "subjectHash"];

/// The ids and secrets of examples, and what stood in their place so far: what is one there is one in all the answers, and
/// what are two are two.
#[derive(Default)]
pub struct Likeness {
    found: BTreeMap<String, String>,
}

impl Likeness {
    /// What an example calls so is this.
    pub fn put(&mut self, example: &str, actual: &str) {
        self.found.insert(example.to_owned(), actual.to_owned());
    }

    /// Text of an example, with what is known put in its place.
    pub fn filled(&self, text: &str) -> String {
        let longest_first = self.found.iter().rev();
        longest_first.fold(text.to_owned(), |text, (example, actual)| text.replace(example, actual))
    }

    /// [`Likeness::filled`] for every text in a value.
    pub fn filled_in(&self, value: &Value) -> Result<Value> {
        Ok(serde_json::from_str(&self.filled(&value.to_string()))?)
    }

    /// The same keys, lengths, types and values. Of times only the form is compared, and of ids and secrets that they are the
    /// same where the examples' are.
    pub fn compare(&mut self, example: &Value, answer: &Value) -> Result<()> {
        let compared = self.compare_at("", example, answer);
        compared.map_err(|error| anyhow!("{error:#}; expected {example:#}, got {answer:#}"))
    }

    fn compare_at(&mut self, at: &str, example: &Value, answer: &Value) -> Result<()> {
        match (example, answer) {
            (Value::Object(expected), Value::Object(got)) => {
                let unexpected: Vec<_> = got.keys().filter(|key| !expected.contains_key(*key)).collect();
                ensure!(unexpected.is_empty(), "{at} has {unexpected:?} too");
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
            ensure!(is_time(got), "{at} is {got}, and no time with six digits of a second");
        } else if field == "requestId" {
            ensure!(is_id(got), "{at} is {got}, and no id");
        } else if is_id(expected) || MADE_UP.contains(&field) {
            ensure!(is_id(expected) == is_id(got), "{at} is {got}, not like {expected}");
            self.bind(at, expected, got)?;
        } else {
            ensure!(self.filled(expected) == got, "{at} is {got:?}, not {expected:?}");
        }
        Ok(())
    }

    fn bind(&mut self, at: &str, expected: &str, got: &str) -> Result<()> {
        match self.found.get(expected) {
            Some(known) => ensure!(known == got, "{at} is {got}, but {expected} was {known} before"),
            None => match self.found.iter().find(|(_, actual)| *actual == got) {
                Some((other, _)) => bail!("{at} is {got}, which is {other} and not {expected}"),
                None => self.put(expected, got),
            },
        }
        Ok(())
    }
}

/// Whether a text is a time in the one form that answers have: in UTC, with six digits of a second.
pub fn is_time(text: &str) -> bool {
    text.parse::<Timestamp>().is_ok()
        && text.len() == "2026-11-22T10:00:00.000000Z".len()
        && text.ends_with('Z')
}

fn is_id(text: &str) -> bool {
    text.parse::<Uuid>().is_ok()
}
