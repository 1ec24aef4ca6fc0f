//! Amounts of calls: exact magnitudes, and reading them from a call.

use std::cmp::Ordering;

use serde_json::Value;

use super::registry::{Tool, Unit};

/// The absolute value of a decimal number of any length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Magnitude {
    /// Without leading zeros; empty for zero.
    whole: String,
    /// Without trailing zeros.
    fraction: String,
}

impl Magnitude {
    /// Parses digits with at most one decimal point and an optional minus sign.
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
        Some(Self::from_parts(whole, fraction))
    }

    fn from_parts(whole: &str, fraction: &str) -> Self {
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
        Self::from_parts(whole, fraction)
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

/// An amount that can be compared with a tool's limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    pub magnitude: Magnitude,
    /// `None` if neither the call nor the tool has a currency.
    pub currency: Option<String>,
}

/// Reads the amount of a call. `None` for another currency or an unreadable amount, which count as
/// above every limit.
pub fn read(tool: &Tool, inputs: &Value) -> Option<Reading> {
    let magnitude = magnitude(inputs.pointer(tool.amount_pointer.as_deref()?)?)?;
    // An amount in minor units is an integer; units are not converted.
    if tool.unit == Unit::Minor && !magnitude.is_integer() {
        return None;
    }
    let currency = match &tool.currency_pointer {
        None => tool.currency.clone(),
        Some(pointer) => {
            let code = inputs.pointer(pointer)?.as_str()?;
            let known = code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase());
            // A tool with a currency accepts no other; without one, the limits apply to each
            // currency.
            if !known || tool.currency.as_ref().is_some_and(|own| own != code) {
                return None;
            }
            Some(code.to_owned())
        }
    };
    Some(Reading { magnitude, currency })
}

/// Parses the magnitude of a JSON number, or of a string that is a plain decimal number.
fn magnitude(found: &Value) -> Option<Magnitude> {
    match found {
        Value::Number(number) => Magnitude::parse(&number.to_string()),
        Value::String(text) => Magnitude::parse(text),
        _ => None,
    }
}

/// Returns whether an edit only lowers the amount: same type and sign, a smaller magnitude, and
/// every other value unchanged.
pub fn only_lowers(tool: &Tool, before: &Value, after: &Value) -> bool {
    let Some(pointer) = &tool.amount_pointer else { return false };
    let (Some(old), Some(new)) = (before.pointer(pointer), after.pointer(pointer)) else { return false };
    let (Some(read_before), Some(read_after)) = (read(tool, before), read(tool, after)) else { return false };
    let mut restored = after.clone();
    if let Some(place) = restored.pointer_mut(pointer) {
        *place = old.clone();
    }
    old.is_string() == new.is_string()
        && is_negative(old) == is_negative(new)
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
