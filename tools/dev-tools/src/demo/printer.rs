//! Prints the demo: sections, requests, responses and checks.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::terminal::TextStyle;

/// Pause between two sections on a terminal.
const SECTION_PAUSE: Duration = Duration::from_millis(350);

/// Prints steps and counts passed checks.
pub struct Printer {
    style: TextStyle,
    section: usize,
    passed: usize,
}

impl Printer {
    pub fn new(style: TextStyle) -> Self {
        Self { style, section: 0, passed: 0 }
    }

    pub fn title(&self, text: &str) {
        println!("\n{}\n", self.style.bold(text));
    }

    pub fn note(&self, text: &str) {
        println!("  {}", self.style.dim(text));
    }

    pub fn field(&self, name: &str, value: &str) {
        println!("  {} {value}", self.style.dim(format!("{name:<16}")));
    }

    pub async fn section(&mut self, title: &str) {
        if self.style.is_on() {
            tokio::time::sleep(SECTION_PAUSE).await;
        }
        self.section += 1;
        println!("\n{}", self.style.bold(format!("{:>2}. {title}", self.section)));
    }

    pub fn request(&self, actor: &str, line: &str, body: &Value) {
        let (actor, line) = (self.style.actor(format!("{actor:<12}")), self.style.sent(shortened(line)));
        if body.is_null() {
            println!("  {actor} {line}");
        } else {
            println!("  {actor} {line} {}", self.style.dim(truncate(&shortened(&body.to_string()), 120)));
        }
    }

    /// Prints the status and duration of a response.
    pub fn response(&self, status: &str, took: Duration) {
        println!("  {:<12} → {status} {}", "", self.style.dim(format!("in {} ms", took.as_millis())));
    }

    /// Prints parts of a response by JSON pointer.
    pub fn fields(&self, answer: &Value, pointers: &[&str]) {
        for pointer in pointers {
            let value = answer.pointer(pointer).unwrap_or(&Value::Null);
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            self.detail(&pointer[1..].replace('/', "."), &masked(&value));
        }
    }

    /// Prints a detail of a response.
    pub fn detail(&self, name: &str, value: &str) {
        println!("  {:<14} {} {}", "", self.style.dim(format!("{name}:")), truncate(value, 120));
    }

    /// Checks that two values are equal.
    pub fn check_eq<T: PartialEq + Debug>(&mut self, name: &str, expected: T, actual: T) -> Result<()> {
        let (passed, values) = (expected == actual, (format!("{expected:?}"), format!("{actual:?}")));
        self.report_check(name, passed, &values.0, &values.1)
    }

    /// Checks a condition; `actual` is printed if it fails.
    pub fn check(&mut self, name: &str, passed: bool, actual: impl Debug) -> Result<()> {
        self.report_check(name, passed, "true", &format!("{actual:?}"))
    }

    fn report_check(&mut self, name: &str, passed: bool, expected: &str, actual: &str) -> Result<()> {
        if passed {
            self.passed += 1;
            println!("  {} {name}", self.style.good("✓"));
            return Ok(());
        }
        println!("  {} {}", self.style.bad("✗"), self.style.bad(name));
        println!("      expected {expected}");
        println!("      found    {}", masked(actual));
        bail!("check failed in section {}: {name}", self.section)
    }

    /// Prints the number of checks.
    pub fn summary(&self) {
        let text = format!("All {} checks in {} sections passed.", self.passed, self.section);
        println!("\n{}\n", self.style.good(text));
    }
}

/// Masks client secrets except for their beginning.
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

/// Shortens ids in a text.
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

fn truncate(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_anywhere_in_a_text() {
        assert_eq!(masked("ek_123456"), "ek_1234…");
        assert_eq!(masked(r#"{"a":"ek_123456","b":"ek_abcdef"}"#), r#"{"a":"ek_1234…","b":"ek_abcd…"}"#);
        assert_eq!(masked("nothing here"), "nothing here");
    }

    #[test]
    fn only_ids_are_shortened() {
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
    fn failed_check_is_an_error_with_its_name() {
        let mut printer = Printer::new(TextStyle::plain());
        assert!(printer.check_eq("one is one", 1, 1).is_ok());
        let error = printer.check_eq("one is two", 2, 1).unwrap_err();
        assert!(error.to_string().contains("one is two"));
        assert!(printer.check("so", false, "not so").is_err());
        assert_eq!(printer.passed, 1);
    }
}
