//! How the journey is shown: who does what, the line of HTTP, what of the answer matters, and what was promised.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::terminal::TextStyle;

/// Between two acts, where somebody watches.
const BREATH: Duration = Duration::from_millis(350);

/// Prints, and counts what was kept.
pub struct Stage {
    ink: TextStyle,
    act: usize,
    kept: usize,
}

impl Stage {
    /// An empty stage.
    pub fn new(ink: TextStyle) -> Self {
        Self { ink, act: 0, kept: 0 }
    }

    /// The title of the play.
    pub fn title(&self, text: &str) {
        println!("\n{}\n", self.ink.bold(text));
    }

    /// Something said to the audience.
    pub fn aside(&self, text: &str) {
        println!("  {}", self.ink.dim(text));
    }

    /// A value and what it is.
    pub fn fact(&self, name: &str, value: &str) {
        println!("  {} {value}", self.ink.dim(format!("{name:<16}")));
    }

    /// A new act.
    pub async fn act(&mut self, title: &str) {
        if self.ink.is_on() {
            tokio::time::sleep(BREATH).await;
        }
        self.act += 1;
        println!("\n{}", self.ink.bold(format!("{:>2}. {title}", self.act)));
    }

    /// Somebody asks for something.
    pub fn asks(&self, who: &str, line: &str, body: &Value) {
        let (who, line) = (self.ink.actor(format!("{who:<12}")), self.ink.sent(shortened(line)));
        if body.is_null() {
            println!("  {who} {line}");
        } else {
            println!("  {who} {line} {}", self.ink.dim(clipped(&shortened(&body.to_string()), 120)));
        }
    }

    /// And is answered.
    pub fn answered(&self, status: &str, took: Duration) {
        println!("  {:<12} → {status} {}", "", self.ink.dim(format!("in {} ms", took.as_millis())));
    }

    /// The parts of an answer that matter here, by JSON pointer.
    pub fn shows(&self, answer: &Value, pointers: &[&str]) {
        for pointer in pointers {
            let value = answer.pointer(pointer).unwrap_or(&Value::Null);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.detail(&pointer[1..].replace('/', "."), &masked(&value));
        }
    }

    /// One part of an answer.
    pub fn detail(&self, name: &str, value: &str) {
        println!("  {:<14} {} {}", "", self.ink.dim(format!("{name}:")), clipped(value, 120));
    }

    /// Something that was promised must have come.
    pub fn promise<T: PartialEq + Debug>(&mut self, promise: &str, expected: T, came: T) -> Result<()> {
        let (kept, shown) = (expected == came, (format!("{expected:?}"), format!("{came:?}")));
        self.judge(promise, kept, &shown.0, &shown.1)
    }

    /// Something that was promised must be so; `came` says what was found instead.
    pub fn promise_that(&mut self, promise: &str, kept: bool, came: impl Debug) -> Result<()> {
        self.judge(promise, kept, "that", &format!("{came:?}"))
    }

    fn judge(&mut self, promise: &str, kept: bool, expected: &str, came: &str) -> Result<()> {
        if kept {
            self.kept += 1;
            println!("  {} {promise}", self.ink.good("✓"));
            return Ok(());
        }
        println!("  {} {}", self.ink.bad("✗"), self.ink.bad(promise));
        println!("      expected {expected}");
        println!("      came     {}", masked(came));
        bail!("a promise was broken in act {}: {promise}", self.act)
    }

    /// The end.
    pub fn applause(&self) {
        let text = format!("All {} promises of {} acts were kept.", self.kept, self.act);
        println!("\n{}\n", self.ink.good(text));
    }
}

/// Client secrets are shown by their beginning only, here as everywhere.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("ek_") {
        let secret = &rest[at + 3..];
        let length = secret.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(secret.len());
        masked += &rest[..at + 3];
        masked += &secret[..length.min(4)];
        masked += "…";
        rest = &secret[length..];
    }
    masked + rest
}

/// Text in which ids are shown by their ends.
fn shortened(text: &str) -> String {
    let id = |part: &str| part.len() == 36 && part.matches('-').count() == 4;
    let mut shortened = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_hexdigit() && c != '-') {
        let end = part.char_indices().next_back().map_or(0, |(at, _)| at);
        let (word, rest) = if id(part) { (part, "") } else { part.split_at(end) };
        shortened +=
            &if id(word) { format!("{}…{}{rest}", &word[..4], &word[32..]) } else { part.to_owned() };
    }
    shortened
}

fn clipped(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_shown_by_its_beginning_wherever_it_stands() {
        assert_eq!(masked("ek_123456"), "ek_1234…");
        assert_eq!(masked(r#"{"a":"ek_123456","b":"ek_abcdef"}"#), r#"{"a":"ek_1234…","b":"ek_abcd…"}"#);
        assert_eq!(masked("nothing here"), "nothing here");
    }

    #[test]
    fn ids_are_shortened_and_nothing_else() {
        let id = "01a2030f-b91c-70c9-b6af-8c60a1312c54";
        assert_eq!(
            shortened(&format!("/chatkit/sessions/{id}/events")),
            "/chatkit/sessions/01a2…2c54/events"
        );
        assert_eq!(shortened(&format!("/{id}")), "/01a2…2c54");
        assert_eq!(shortened(&format!(r#"{{"id":"{id}","n":1}}"#)), r#"{"id":"01a2…2c54","n":1}"#);
        assert_eq!(shortened("/chatkit/sessions?status=active"), "/chatkit/sessions?status=active");
        assert_eq!(shortened("one more thing …"), "one more thing …");
    }

    #[test]
    fn a_broken_promise_is_an_error_that_names_it() {
        let mut stage = Stage::new(TextStyle::plain());
        assert!(stage.promise("one is one", 1, 1).is_ok());
        let error = stage.promise("one is two", 2, 1).unwrap_err();
        assert!(error.to_string().contains("one is two"));
        assert!(stage.promise_that("so", false, "not so").is_err());
        assert_eq!(stage.kept, 1);
    }
}
