//! Amounts of calls: exact magnitudes, and what a registered tool reads out of a call.

use std::cmp::Ordering;

use serde_json::Value;

use super::registry::{Tool, Unit};

/// The absolute value of a decimal number, of any length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnitude {
    /// Without leading zeros; empty for zero.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Magnitude {
    /// Reads digits with at most one point between them, and a sign before them.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (digits, ""),
        };
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 100 || fraction.len() > 100 || !plain(whole) || !plain(fraction)
        {
            return None;
        }
        Some(Self::of(whole, fraction))
    }

    fn of(whole: &str, fraction: &str) -> Self {
        Self {
            whole: whole.trim_start_matches('0').to_owned(),
            fraction: fraction.trim_end_matches('0').to_owned(),
        }
    }

    pub fn is_integer(&self) -> bool {
        self.fraction.is_empty()
    }

    /// The sum, digit by digit.
    pub fn add(&self, other: &Self) -> Self {
        let places = self.fraction.len().max(other.fraction.len());
        let digits = |number: &Self| -> Vec<u8> {
            let text = format!("{}{:0<places$}", number.whole, number.fraction);
            text.bytes().rev().map(|byte| byte - b'0').collect()
        };
        let (left, right) = (digits(self), digits(other));
        let mut sum = Vec::new();
        let mut carry = 0;
        for place in 0..left.len().max(right.len()) + 1 {
            let digit =
                left.get(place).copied().unwrap_or(0) + right.get(place).copied().unwrap_or(0) + carry;
            sum.push(char::from(b'0' + digit % 10));
            carry = digit / 10;
        }
        let text: String = sum.into_iter().rev().collect();
        let (whole, fraction) = text.split_at(text.len() - places);
        Self::of(whole, fraction)
    }
}

impl Ord for Magnitude {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |number: &'_ Self| (number.whole.len(), number.whole.clone(), number.fraction.clone());
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for Magnitude {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::fmt::Display for Magnitude {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let whole = if self.whole.is_empty() { "0" } else { &self.whole };
        match self.fraction.as_str() {
            "" => f.write_str(whole),
            fraction => write!(f, "{whole}.{fraction}"),
        }
    }
}

/// What can be compared with a tool's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub magnitude: Magnitude,
    /// None: neither the call nor the tool names one.
    pub currency: Option<String>,
}

/// "Another currency, or what cannot be read, is never below a limit": none then.
pub fn read(tool: &Tool, inputs: &Value) -> Option<Reading> {
    let magnitude = magnitude(inputs.pointer(tool.amount_pointer.as_deref()?)?)?;
    // "A limit has a currency and a unit": an amount in minor units is an integer, and nothing is converted.
    if tool.unit == Unit::Minor && !magnitude.is_integer() {
        return None;
    }
    let currency = match &tool.currency_pointer {
        None => tool.currency.clone(),
        Some(pointer) => {
            let said = inputs.pointer(pointer)?.as_str()?;
            let known = said.len() == 3 && said.bytes().all(|byte| byte.is_ascii_uppercase());
            // With a currency of its own the tool takes no other; otherwise "the limits hold for each currency by itself".
            if !known || tool.currency.as_ref().is_some_and(|own| own != said) {
                return None;
            }
            Some(said.to_owned())
        }
    };
    Some(Reading { magnitude, currency })
}

/// "An amount counts by its magnitude": of a JSON number, or of a text that is a plain decimal number and nothing else.
fn magnitude(found: &Value) -> Option<Magnitude> {
    match found {
        Value::Number(number) => Magnitude::parse(&number.to_string()),
        Value::String(text) => Magnitude::parse(text),
        _ => None,
    }
}

/// "An edit that only lowers the amount and changes nothing else": the same JSON type and sign at the same place, a smaller
/// magnitude, and every other value as it was.
pub fn only_lowers(tool: &Tool, before: &Value, after: &Value) -> bool {
    let Some(pointer) = &tool.amount_pointer else { return false };
    let (Some(was), Some(is)) = (before.pointer(pointer), after.pointer(pointer)) else { return false };
    let (Some(read_before), Some(read_after)) = (read(tool, before), read(tool, after)) else { return false };
    let mut restored = after.clone();
    if let Some(place) = restored.pointer_mut(pointer) {
        *place = was.clone();
    }
    was.is_string() == is.is_string()
        && is_negative(was) == is_negative(is)
        && read_after.magnitude < read_before.magnitude
        && restored == *before
}

fn is_negative(value: &Value) -> bool {
    value.as_str().map_or_else(|| value.to_string().starts_with('-'), |text| text.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::Magnitude;

    fn of(text: &str) -> Magnitude {
        Magnitude::parse(text).unwrap()
    }

    #[test]
    fn magnitudes_are_exact() {
        assert!(of("-1000") == of("01000.00") && of("999.99") < of("1000") && of("1000.001") > of("1000"));
        assert_eq!(of("999.99").add(&of("0.01")).to_string(), "1000");
        assert_eq!(of("0").add(&of("0.5")).to_string(), "0.5");
        assert!(
            ["", "-", "1,000", "1.", ".5", "1e3", " 1", "+1", "١"]
                .iter()
                .all(|text| Magnitude::parse(text).is_none())
        );
    }
}
