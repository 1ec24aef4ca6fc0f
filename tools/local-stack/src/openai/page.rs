//! Lists: which page of them is asked for, and that page.

use serde_json::{Value, json};

use super::response::Refusal;
use super::validation;

const DEFAULT_LIMIT: i64 = 20;
const LARGEST_LIMIT: i64 = 100;
const LONGEST_USER: usize = 512;

/// The query of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    ascending: bool,
    after: Option<String>,
    before: Option<String>,
    /// Only the threads of this user; the items of a thread have no such filter.
    pub(super) user: Option<String>,
}

impl Page {
    /// `by_user`: whether this list can be filtered by user.
    pub(super) fn parse(query: &[(String, String)], by_user: bool) -> Result<Self, Refusal> {
        let mut page =
            Self { limit: DEFAULT_LIMIT as usize, ascending: false, after: None, before: None, user: None };
        for (i, (name, value)) in query.iter().enumerate() {
            if query[..i].iter().any(|(earlier, _)| earlier == name) {
                let message = format!("Duplicate parameter: '{name}'.");
                return Err(Refusal::parameter(name, "duplicate_parameter", message));
            }
            match name.as_str() {
                "limit" => page.limit = limit(value)?,
                "order" => page.ascending = order(value)?,
                "after" => page.after = Some(value.clone()),
                "before" => page.before = Some(value.clone()),
                "user" if by_user => page.user = Some(user(value)?),
                _ => {
                    let message = format!("Unknown parameter: '{name}'.");
                    return Err(Refusal::parameter(name, "unknown_parameter", message));
                }
            }
        }
        Ok(page)
    }

    /// The page of `rows`, which come oldest first as `(id, JSON)`.
    ///
    /// `after` and `before` are places in the list as it is sorted: that is how the official SDK turns pages.
    pub(super) fn of(&self, mut rows: Vec<(String, Value)>) -> Result<Value, Refusal> {
        if !self.ascending {
            rows.reverse();
        }
        let start = match &self.after {
            Some(id) => place(&rows, id, "after")? + 1,
            None => 0,
        };
        let end = match &self.before {
            Some(id) => place(&rows, id, "before")?,
            None => rows.len(),
        };
        let span = rows.get(start..end).unwrap_or_default();
        let has_more = span.len() > self.limit;
        // Backwards from a place, a page is what stands right before that place.
        let backwards = self.before.is_some() && self.after.is_none();
        let page = match (has_more, backwards) {
            (false, _) => span,
            (true, false) => &span[..self.limit],
            (true, true) => &span[span.len() - self.limit..],
        };
        Ok(json!({
            "object": "list",
            "data": page.iter().map(|(_, row)| row).collect::<Vec<_>>(),
            "first_id": page.first().map(|(id, _)| id),
            "last_id": page.last().map(|(id, _)| id),
            "has_more": has_more,
        }))
    }
}

fn place(rows: &[(String, Value)], id: &str, param: &str) -> Result<usize, Refusal> {
    rows.iter().position(|(row, _)| row == id).ok_or_else(|| {
        let message = format!("Invalid '{param}': nothing with id '{id}' is in this list.");
        Refusal::parameter(param, "invalid_value", message)
    })
}

fn limit(value: &str) -> Result<usize, Refusal> {
    let Ok(number) = value.parse::<i64>() else {
        let message = "Invalid type for 'limit': expected an integer.";
        return Err(Refusal::parameter("limit", "invalid_type", message));
    };
    validation::within("limit", number, 0, LARGEST_LIMIT).map(|n| n as usize)
}

fn order(value: &str) -> Result<bool, Refusal> {
    match value {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => {
            let message = format!("Invalid value: '{value}'. Supported values are: 'asc' and 'desc'.");
            Err(Refusal::parameter("order", "invalid_value", message))
        }
    }
}

fn user(value: &str) -> Result<String, Refusal> {
    if value.is_empty() {
        let message = "Invalid 'user': empty string. Expected a minimum length of 1.";
        return Err(Refusal::parameter("user", "empty_string", message));
    }
    validation::at_most("user", value, LONGEST_USER)?;
    Ok(value.to_owned())
}
