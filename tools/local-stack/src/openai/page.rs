use serde_json::{Value, json};

use super::response::ApiError;
use super::validation;

const DEFAULT_LIMIT: i64 = 20;
const MAX_LIMIT: i64 = 100;
const MAX_USER_LENGTH: usize = 512;

/// The query parameters of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Page {
    limit: usize,
    ascending: bool,
    after: Option<String>,
    before: Option<String>,
    /// Returns only this user's threads. The items of a thread do not have this filter.
    pub(super) user: Option<String>,
}

impl Page {
    /// `by_user`: whether the list can be filtered by user.
    pub(super) fn parse(query: &[(String, String)], by_user: bool) -> Result<Self, ApiError> {
        let mut page =
            Self { limit: DEFAULT_LIMIT as usize, ascending: false, after: None, before: None, user: None };
        for (i, (name, value)) in query.iter().enumerate() {
            if query[..i].iter().any(|(earlier, _)| earlier == name) {
                let message = format!("Duplicate parameter: '{name}'.");
                return Err(ApiError::parameter(name, "duplicate_parameter", message));
            }
            match name.as_str() {
                "limit" => page.limit = limit(value)?,
                "order" => page.ascending = order(value)?,
                "after" => page.after = Some(value.clone()),
                "before" => page.before = Some(value.clone()),
                "user" if by_user => page.user = Some(user(value)?),
                _ => {
                    let message = format!("Unknown parameter: '{name}'.");
                    return Err(ApiError::parameter(name, "unknown_parameter", message));
                }
            }
        }
        Ok(page)
    }

    /// Returns the page of `rows`, which are ordered oldest first as `(id, JSON)`.
    ///
    /// `after` and `before` are positions in the sorted list, as the official SDK uses them.
    pub(super) fn slice(&self, mut rows: Vec<(String, Value)>) -> Result<Value, ApiError> {
        if !self.ascending {
            rows.reverse();
        }
        let start = match &self.after {
            Some(id) => position(&rows, id, "after")? + 1,
            None => 0,
        };
        let end = match &self.before {
            Some(id) => position(&rows, id, "before")?,
            None => rows.len(),
        };
        let span = rows.get(start..end).unwrap_or_default();
        let has_more = span.len() > self.limit;
        // A page before an id ends directly before that id.
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

fn position(rows: &[(String, Value)], id: &str, param: &str) -> Result<usize, ApiError> {
    rows.iter().position(|(row, _)| row == id).ok_or_else(|| {
        let message = format!("Invalid '{param}': no item with id '{id}' in this list.");
        ApiError::parameter(param, "invalid_value", message)
    })
}

fn limit(value: &str) -> Result<usize, ApiError> {
    let Ok(number) = value.parse::<i64>() else {
        let message = "Invalid type for 'limit': expected an integer.";
        return Err(ApiError::parameter("limit", "invalid_type", message));
    };
    validation::check_range("limit", number, 0, MAX_LIMIT).map(|n| n as usize)
}

fn order(value: &str) -> Result<bool, ApiError> {
    match value {
        "asc" => Ok(true),
        "desc" => Ok(false),
        _ => {
            let message = format!("Invalid value: '{value}'. Supported values are: 'asc' and 'desc'.");
            Err(ApiError::parameter("order", "invalid_value", message))
        }
    }
}

fn user(value: &str) -> Result<String, ApiError> {
    if value.is_empty() {
        let message = "Invalid 'user': empty string. Expected a minimum length of 1.";
        return Err(ApiError::parameter("user", "empty_string", message));
    }
    validation::check_max_length("user", value, MAX_USER_LENGTH)?;
    Ok(value.to_owned())
}
