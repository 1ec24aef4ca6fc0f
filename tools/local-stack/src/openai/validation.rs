//! Strict validation of JSON: every error has OpenAI's code and parameter path.

use serde_json::{Map, Value};

use super::response::ApiError;

/// Joins parameter names as `parent.child`.
pub(super) fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() { child.to_owned() } else { format!("{parent}.{child}") }
}

fn wrong_type(path: &str, expected: &str, value: &Value) -> ApiError {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    ApiError::parameter(
        path,
        "invalid_type",
        format!("Invalid type for '{path}': expected {expected}, got {got}."),
    )
}

/// An object whose fields are all known.
pub(super) struct Fields<'a> {
    path: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn parse(path: &str, value: &'a Value, known: &[&str]) -> Result<Self, ApiError> {
        let Value::Object(map) = value else { return Err(wrong_type(path, "an object", value)) };
        if let Some(unknown) = map.keys().find(|k| !known.contains(&k.as_str())) {
            let path = join(path, unknown);
            let message = format!("Unknown parameter: '{path}'.");
            return Err(ApiError::parameter(&path, "unknown_parameter", message));
        }
        Ok(Self { path: path.to_owned(), map })
    }

    /// Returns the field's path and value. Null is a value, and has the wrong type everywhere.
    fn get(&self, name: &str) -> Option<(String, &'a Value)> {
        self.map.get(name).map(|value| (join(&self.path, name), value))
    }

    fn required<T>(&self, name: &str, found: Option<T>) -> Result<T, ApiError> {
        found.ok_or_else(|| {
            let path = join(&self.path, name);
            let message = format!("Missing required parameter: '{path}'.");
            ApiError::parameter(&path, "missing_required_parameter", message)
        })
    }

    pub(super) fn object(&self, name: &str, known: &[&str]) -> Result<Option<Fields<'a>>, ApiError> {
        self.get(name).map(|(path, value)| Fields::parse(&path, value, known)).transpose()
    }

    pub(super) fn required_object(&self, name: &str, known: &[&str]) -> Result<Fields<'a>, ApiError> {
        self.required(name, self.object(name, known)?)
    }

    /// An object with arbitrary keys.
    pub(super) fn map(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Value::Object(map))) => Ok(Some(map)),
            Some((path, other)) => Err(wrong_type(&path, "an object", other)),
        }
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((path, other)) => Err(wrong_type(&path, "a string", other)),
        }
    }

    pub(super) fn required_string(&self, name: &str) -> Result<&'a str, ApiError> {
        self.required(name, self.string(name)?)
    }

    /// A required string that is not empty.
    pub(super) fn non_empty_string(&self, name: &str) -> Result<&'a str, ApiError> {
        let text = self.required_string(name)?;
        if text.is_empty() {
            let path = join(&self.path, name);
            let message = format!("Invalid '{path}': empty string. Expected a minimum length of 1.");
            return Err(ApiError::parameter(&path, "empty_string", message));
        }
        Ok(text)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Value::Bool(yes))) => Ok(Some(*yes)),
            Some((path, other)) => Err(wrong_type(&path, "a boolean", other)),
        }
    }

    pub(super) fn integer(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>, ApiError> {
        let Some((path, value)) = self.get(name) else { return Ok(None) };
        let Value::Number(number) = value else { return Err(wrong_type(&path, "an integer", value)) };
        if number.is_f64() {
            return Err(wrong_type(&path, "an integer", value));
        }
        // A number beyond i64 is above every maximum.
        check_range(&path, number.as_i64().unwrap_or(i64::MAX), min, max).map(Some)
    }

    pub(super) fn required_integer(&self, name: &str, min: i64, max: i64) -> Result<i64, ApiError> {
        self.required(name, self.integer(name, min, max)?)
    }
}

/// Rejects a number outside its bounds; `i64::MAX` means no maximum.
pub(super) fn check_range(path: &str, number: i64, min: i64, max: i64) -> Result<i64, ApiError> {
    if number < min {
        let message = format!("Invalid '{path}': expected a value >= {min}, got {number}.");
        return Err(ApiError::parameter(path, "integer_below_min_value", message));
    }
    if number > max {
        let message = format!("Invalid '{path}': expected a value <= {max}, got {number}.");
        return Err(ApiError::parameter(path, "integer_above_max_value", message));
    }
    Ok(number)
}

/// Rejects a string with more than `max` characters.
pub(super) fn check_max_length(path: &str, text: &str, max: usize) -> Result<(), ApiError> {
    if text.chars().count() > max {
        let message = format!("Invalid '{path}': expected at most {max} characters.");
        return Err(ApiError::parameter(path, "string_above_max_length", message));
    }
    Ok(())
}

/// Rejects values other than primitives.
pub(super) fn check_primitive(path: &str, value: &Value, max: usize) -> Result<(), ApiError> {
    match value {
        Value::String(text) => check_max_length(path, text, max),
        Value::Bool(_) | Value::Number(_) => Ok(()),
        other => Err(wrong_type(path, "a string, integer, boolean or number", other)),
    }
}
