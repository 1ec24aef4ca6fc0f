//! Strict reading of a JSON value: every mistake is refused with the code and the parameter path that OpenAI uses.

use serde_json::{Map, Value};

use super::response::Refusal;

/// `parent.child`, as OpenAI names parameters.
pub(super) fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() { child.to_owned() } else { format!("{parent}.{child}") }
}

fn wrong_type(at: &str, wanted: &str, value: &Value) -> Refusal {
    let got = match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(n) if n.is_f64() => "a decimal number",
        Value::Number(_) => "an integer",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    };
    Refusal::parameter(at, "invalid_type", format!("Invalid type for '{at}': expected {wanted}, got {got}."))
}

/// An object whose fields are all known.
pub(super) struct Fields<'a> {
    at: String,
    map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(at: &str, value: &'a Value, known: &[&str]) -> Result<Self, Refusal> {
        let Value::Object(map) = value else { return Err(wrong_type(at, "an object", value)) };
        if let Some(unknown) = map.keys().find(|k| !known.contains(&k.as_str())) {
            let path = join(at, unknown);
            let message = format!("Unknown parameter: '{path}'.");
            return Err(Refusal::parameter(&path, "unknown_parameter", message));
        }
        Ok(Self { at: at.to_owned(), map })
    }

    /// The field's path and value, if the caller sent it. A null is a value, and of the wrong type everywhere.
    fn get(&self, name: &str) -> Option<(String, &'a Value)> {
        self.map.get(name).map(|value| (join(&self.at, name), value))
    }

    fn required<T>(&self, name: &str, found: Option<T>) -> Result<T, Refusal> {
        found.ok_or_else(|| {
            let path = join(&self.at, name);
            let message = format!("Missing required parameter: '{path}'.");
            Refusal::parameter(&path, "missing_required_parameter", message)
        })
    }

    pub(super) fn object(&self, name: &str, known: &[&str]) -> Result<Option<Fields<'a>>, Refusal> {
        self.get(name).map(|(at, value)| Fields::of(&at, value, known)).transpose()
    }

    pub(super) fn required_object(&self, name: &str, known: &[&str]) -> Result<Fields<'a>, Refusal> {
        self.required(name, self.object(name, known)?)
    }

    /// An object with the caller's own keys.
    pub(super) fn map(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Value::Object(map))) => Ok(Some(map)),
            Some((at, other)) => Err(wrong_type(&at, "an object", other)),
        }
    }

    pub(super) fn string(&self, name: &str) -> Result<Option<&'a str>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Value::String(text))) => Ok(Some(text)),
            Some((at, other)) => Err(wrong_type(&at, "a string", other)),
        }
    }

    pub(super) fn required_string(&self, name: &str) -> Result<&'a str, Refusal> {
        self.required(name, self.string(name)?)
    }

    /// A string that must be there and not be empty.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, Refusal> {
        let text = self.required_string(name)?;
        if text.is_empty() {
            let at = join(&self.at, name);
            let message = format!("Invalid '{at}': empty string. Expected a minimum length of 1.");
            return Err(Refusal::parameter(&at, "empty_string", message));
        }
        Ok(text)
    }

    pub(super) fn boolean(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.get(name) {
            None => Ok(None),
            Some((_, Value::Bool(yes))) => Ok(Some(*yes)),
            Some((at, other)) => Err(wrong_type(&at, "a boolean", other)),
        }
    }

    pub(super) fn integer(&self, name: &str, min: i64, max: i64) -> Result<Option<i64>, Refusal> {
        let Some((at, value)) = self.get(name) else { return Ok(None) };
        let Value::Number(number) = value else { return Err(wrong_type(&at, "an integer", value)) };
        if number.is_f64() {
            return Err(wrong_type(&at, "an integer", value));
        }
        // What no i64 holds is above every maximum.
        within(&at, number.as_i64().unwrap_or(i64::MAX), min, max).map(Some)
    }

    pub(super) fn required_integer(&self, name: &str, min: i64, max: i64) -> Result<i64, Refusal> {
        self.required(name, self.integer(name, min, max)?)
    }
}

/// Refuses a number outside its bounds; `i64::MAX` as the maximum is no bound.
pub(super) fn within(at: &str, number: i64, min: i64, max: i64) -> Result<i64, Refusal> {
    if number < min {
        let message = format!("Invalid '{at}': expected a value >= {min}, got {number}.");
        return Err(Refusal::parameter(at, "integer_below_min_value", message));
    }
    if number > max {
        let message = format!("Invalid '{at}': expected a value <= {max}, got {number}.");
        return Err(Refusal::parameter(at, "integer_above_max_value", message));
    }
    Ok(number)
}

/// Refuses a string of more characters than that.
pub(super) fn at_most(at: &str, text: &str, max: usize) -> Result<(), Refusal> {
    if text.chars().count() > max {
        let message = format!("Invalid '{at}': expected at most {max} characters.");
        return Err(Refusal::parameter(at, "string_above_max_length", message));
    }
    Ok(())
}

/// A value that may only be a primitive, as a state variable.
pub(super) fn primitive(at: &str, value: &Value, max: usize) -> Result<(), Refusal> {
    match value {
        Value::String(text) => at_most(at, text, max),
        Value::Bool(_) | Value::Number(_) => Ok(()),
        other => Err(wrong_type(at, "a string, integer, boolean or number", other)),
    }
}
