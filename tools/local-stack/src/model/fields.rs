//! Strict validation of JSON: every error has OpenAI's code, message and parameter path.

use serde_json::{Map, Value};

use super::error::ApiError;

/// Joins parameter names as `parent.child`.
pub(super) fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() { child.to_owned() } else { format!("{parent}.{child}") }
}

pub(super) fn wrong_type(path: &str, expected: &str, value: &Value) -> ApiError {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a decimal",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    let message = format!("Invalid type for '{path}': expected {expected}, but got {got} instead.");
    ApiError::parameter(path, "invalid_type", message)
}

/// 400 for a value that is not in a list.
pub(super) fn wrong_value(path: &str, value: &str, supported: &[&str]) -> ApiError {
    let message = format!("Invalid value: '{value}'. Supported values are: {}.", quoted(supported));
    ApiError::parameter(path, "invalid_value", message)
}

pub(super) fn missing(path: &str) -> ApiError {
    let message = format!("Missing required parameter: '{path}'.");
    ApiError::parameter(path, "missing_required_parameter", message)
}

/// `'a'`, `'a' and 'b'`, or `'a', 'b', and 'c'`.
fn quoted(values: &[&str]) -> String {
    match values {
        [] => "none".to_owned(),
        [one] => format!("'{one}'"),
        [first, second] => format!("'{first}' and '{second}'"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|value| format!("'{value}'")).collect();
            format!("{}, and '{last}'", first.join(", "))
        }
    }
}

/// Rejects a string with more than `max` characters.
pub(super) fn check_length(path: &str, text: &str, max: usize) -> Result<(), ApiError> {
    let length = text.chars().count();
    if length > max {
        let message = format!(
            "Invalid '{path}': string too long. Expected a string with maximum length {max}, but got a \
             string with length {length} instead."
        );
        return Err(ApiError::parameter(path, "string_above_max_length", message));
    }
    Ok(())
}

/// Rejects a name that OpenAI does not accept for a function.
pub(super) fn check_function_name(path: &str, name: &str) -> Result<(), ApiError> {
    check_length(path, name, 64)?;
    let is_valid = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if name.is_empty() || !name.chars().all(is_valid) {
        let message = format!(
            "Invalid '{path}': string does not match pattern. Expected a string that matches the pattern \
             '^[a-zA-Z0-9_-]+$'."
        );
        return Err(ApiError::parameter(path, "invalid_value", message));
    }
    Ok(())
}

/// An object whose fields are all known.
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(path: &str, value: &'a Value, known: &[&str]) -> Result<Self, ApiError> {
        let Value::Object(map) = value else { return Err(wrong_type(path, "an object", value)) };
        if let Some(unknown) = map.keys().find(|name| !known.contains(&name.as_str())) {
            let path = join(path, unknown);
            let message = format!("Unknown parameter: '{path}'.");
            return Err(ApiError::parameter(&path, "unknown_parameter", message));
        }
        Ok(Self { path: path.to_owned(), map })
    }

    pub(super) fn path(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Returns a field's value. Null is the same as no value.
    pub(super) fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Rejects null in these fields.
    pub(super) fn check_not_null(&self, names: &[&str]) -> Result<(), ApiError> {
        match names.iter().find(|name| self.map.get(**name).is_some_and(Value::is_null)) {
            Some(name) => Err(wrong_type(&self.path(name), "a value", &Value::Null)),
            None => Ok(()),
        }
    }

    /// Rejects values in fields that the fake does not simulate.
    pub(super) fn check_simulated(&self, others: &[&str]) -> Result<(), ApiError> {
        match others.iter().find(|name| self.get(name).is_some_and(|value| *value != Value::Bool(false))) {
            Some(name) => Err(ApiError::not_simulated(&self.path(name))),
            None => Ok(()),
        }
    }

    pub(super) fn required(&self, name: &str) -> Result<&'a Value, ApiError> {
        self.map.get(name).ok_or_else(|| missing(&self.path(name)))
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(wrong_type(&self.path(name), "a string", other)),
        }
    }

    pub(super) fn required_string(&self, name: &str) -> Result<&'a str, ApiError> {
        match self.required(name)? {
            Value::String(text) => Ok(text),
            other => Err(wrong_type(&self.path(name), "a string", other)),
        }
    }

    /// A string with at most `max` characters.
    pub(super) fn short_string(&self, name: &str, max: usize) -> Result<Option<&'a str>, ApiError> {
        let text = self.string(name)?;
        text.map_or(Ok(()), |text| check_length(&self.path(name), text, max))?;
        Ok(text)
    }

    /// A required string with 1 to `max` characters.
    pub(super) fn required_short_string(&self, name: &str, max: usize) -> Result<&'a str, ApiError> {
        let (path, text) = (self.path(name), self.required_string(name)?);
        if text.is_empty() {
            let message = format!(
                "Invalid '{path}': empty string. Expected a string with minimum length 1, but got an empty \
                 string instead."
            );
            return Err(ApiError::parameter(&path, "empty_string", message));
        }
        check_length(&path, text, max)?;
        Ok(text)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(yes)) => Ok(Some(*yes)),
            Some(other) => Err(wrong_type(&self.path(name), "a boolean", other)),
        }
    }

    pub(super) fn integer(&self, name: &str, min: u64, max: u64) -> Result<Option<u64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let path = self.path(name);
        let Value::Number(number) = value else { return Err(wrong_type(&path, "an integer", value)) };
        if number.is_f64() {
            return Err(wrong_type(&path, "an integer", value));
        }
        let out_of_range = |side: &str, operator: &str, bound: u64| {
            let message = format!(
                "Invalid '{path}': integer {side} value. Expected a value {operator} {bound}, but got \
                 {number} instead."
            );
            let code = if operator == ">=" { "integer_below_min_value" } else { "integer_above_max_value" };
            ApiError::parameter(&path, code, message)
        };
        match number.as_u64() {
            None => Err(out_of_range("below minimum", ">=", min)),
            Some(integer) if integer < min => Err(out_of_range("below minimum", ">=", min)),
            Some(integer) if integer > max => Err(out_of_range("above maximum", "<=", max)),
            Some(integer) => Ok(Some(integer)),
        }
    }

    /// A number from 0 to `max`.
    pub(super) fn decimal(&self, name: &str, max: f64) -> Result<Option<f64>, ApiError> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let path = self.path(name);
        let Some(number) = value.as_f64() else { return Err(wrong_type(&path, "a decimal", value)) };
        if number < 0.0 {
            let message = format!(
                "Invalid '{path}': decimal below minimum value. Expected a value >= 0, but got {value} \
                 instead."
            );
            return Err(ApiError::parameter(&path, "decimal_below_min_value", message));
        }
        if number > max {
            let message = format!(
                "Invalid '{path}': decimal above maximum value. Expected a value <= {max}, but got {value} \
                 instead."
            );
            return Err(ApiError::parameter(&path, "decimal_above_max_value", message));
        }
        Ok(Some(number))
    }

    /// One of these strings.
    pub(super) fn one_of(&self, name: &str, supported: &[&str]) -> Result<Option<&'a str>, ApiError> {
        match self.string(name)? {
            Some(value) if !supported.contains(&value) => {
                Err(wrong_value(&self.path(name), value, supported))
            }
            value => Ok(value),
        }
    }

    pub(super) fn array(&self, name: &str) -> Result<Option<&'a Vec<Value>>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Array(values)) => Ok(Some(values)),
            Some(other) => Err(wrong_type(&self.path(name), "an array", other)),
        }
    }

    pub(super) fn object(&self, name: &str, known: &[&str]) -> Result<Option<Fields<'a>>, ApiError> {
        self.get(name).map(|value| Fields::parse(&self.path(name), value, known)).transpose()
    }

    /// An object with arbitrary keys.
    pub(super) fn map(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(other) => Err(wrong_type(&self.path(name), "an object", other)),
        }
    }
}
