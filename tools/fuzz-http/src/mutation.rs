use fastrand::Rng;
use serde_json::{Map, Value, json};

/// Strings that often break parsers.
const TEXTS: [&str; 44] = [
    "",
    " ",
    "a b",
    "\"",
    "<>",
    "#",
    "?",
    "%",
    "%zz",
    "%2",
    "%00",
    "%ff%fe",
    "%2F",
    "%2e%2e/",
    "//",
    "/",
    "/..",
    "\\",
    "\0",
    "\n",
    "\r\n\r\n",
    "\t",
    "\u{7f}",
    "\u{fc}",
    "\u{feff}{}",
    "\u{1F4B6}",
    "\u{202e}",
    "null",
    "true",
    "-1",
    "1e999",
    "{}",
    "[",
    "{\"a\":",
    "e30",
    "e30=",
    "=",
    "$default",
    "OPTIONS",
    "HEAD",
    "https://evil.example.com",
    "application/json; charset=utf-16",
    "gzip",
    "*",
];

/// Returns a payload: an event with some changes.
pub fn payload(rng: &mut Rng, events: &[Value]) -> Vec<u8> {
    if rng.u8(..) < 4 {
        return (0..rng.usize(..200)).map(|_| rng.u8(..)).collect();
    }
    let mut event = events.get(rng.usize(..events.len())).cloned().unwrap_or_default();
    // Few changes are more frequent, because events with many changes are mostly rejected for the
    // first one. Some events stay unchanged.
    for _ in 0..rng.usize(..8).min(rng.usize(..8)) {
        change(rng, &mut event);
    }
    let mut text = event.to_string().into_bytes();
    if rng.u8(..) < 16 {
        corrupt_text(rng, &mut text);
    }
    text
}

/// Applies one change at a random position.
fn change(rng: &mut Rng, event: &mut Value) {
    if rng.u16(..) < 256 {
        return oversize(rng, event);
    }
    let stop_at = rng.u8(1..5);
    let place = walk(rng, event, stop_at);
    match place {
        Value::Object(members) if !members.is_empty() && rng.u8(..4) > 0 => {
            let name = members.keys().nth(rng.usize(..members.len())).cloned().unwrap_or_default();
            let value = members.remove(&name).unwrap_or_default();
            match rng.u8(..4) {
                // Removed.
                0 => {}
                // Duplicated with other letter case.
                1 => {
                    members.insert(name.to_uppercase(), value.clone());
                    members.insert(name, value);
                }
                2 => drop(members.insert(text(rng), value)),
                _ => drop(members.insert(name, any(rng))),
            }
        }
        Value::Array(items) if !items.is_empty() && rng.bool() => {
            let item = items[rng.usize(..items.len())].clone();
            items.push(item);
        }
        Value::String(content) if rng.u8(..4) > 0 => {
            let at =
                content.char_indices().map(|(at, _)| at).nth(rng.usize(..content.len().max(1))).unwrap_or(0);
            match rng.u8(..4) {
                0 => content.insert_str(at, &text(rng)),
                1 => content.truncate(at),
                2 => *content = content.to_uppercase(),
                _ => *content = text(rng),
            }
        }
        place => *place = any(rng),
    }
}

/// Descends some levels at random.
fn walk<'v>(rng: &mut Rng, value: &'v mut Value, levels: u8) -> &'v mut Value {
    let size = match value {
        Value::Object(members) => members.len(),
        Value::Array(items) => items.len(),
        _ => 0,
    };
    if levels == 0 || size == 0 {
        return value;
    }
    let chosen = rng.usize(..size);
    let inner = match value {
        Value::Object(members) => members.values_mut().nth(chosen),
        Value::Array(items) => items.get_mut(chosen),
        _ => None,
    };
    // Counted just before.
    match inner {
        Some(inner) => walk(rng, inner, levels - 1),
        None => unreachable!("an index below the size"),
    }
}

fn text(rng: &mut Rng) -> String {
    match rng.u8(..16) {
        0 => (0..rng.usize(..40)).map(|_| rng.char(..)).collect(),
        1 => "x".repeat(rng.usize(..3000)),
        _ => rng.choice(TEXTS).unwrap_or_default().to_owned(),
    }
}

/// Returns a value of any type.
fn any(rng: &mut Rng) -> Value {
    match rng.u8(..10) {
        0 => Value::Null,
        1 => rng.bool().into(),
        2 => rng.u64(..).into(),
        3 => rng.i64(..).into(),
        4 => json!(rng.f64() * 1e308),
        5 => json!([text(rng), rng.u8(..), null]),
        6 => json!({ text(rng): text(rng), "http": { "method": text(rng) } }),
        _ => text(rng).into(),
    }
}

/// Makes a part of the event very large.
fn oversize(rng: &mut Rng, event: &mut Value) {
    let Value::Object(event) = event else { return };
    match rng.u8(..32) {
        0 => {
            let headers: Map<String, Value> = (0..40_000).map(|i| (format!("x-{i}"), "a".into())).collect();
            event.insert("headers".to_owned(), headers.into());
        }
        28..32 => drop(event.insert("body".to_owned(), "x".repeat(300_000).into())),
        2 => drop(event.insert("rawPath".to_owned(), "/a".repeat(100_000).into())),
        3 => drop(event.insert("rawQueryString".to_owned(), "a=b&".repeat(20_000).into())),
        4..8 => drop(
            event.insert("body".to_owned(), format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)).into()),
        ),
        8..12 => {
            let nested = (0..200).fold(json!([]), |inner, _| json!([inner]));
            event.insert(text(rng), nested);
        }
        _ => {
            let headers = (0..300).map(|_| (text(rng), any(rng))).collect::<Map<_, _>>();
            event.insert("multiValueHeaders".to_owned(), headers.into());
        }
    }
}

fn corrupt_text(rng: &mut Rng, text: &mut Vec<u8>) {
    let at = rng.usize(..=text.len());
    match rng.u8(..6) {
        0 => text.truncate(at),
        1 => text.insert(at, rng.u8(..)),
        2 => {
            let surrogate = br"\ud800";
            text.splice(at..at, surrogate.iter().copied());
        }
        3 => {
            let number = b"1e999";
            text.splice(at..at, number.iter().copied());
        }
        4 => text.extend_from_slice(b"}}"),
        _ => {
            if let Some(byte) = text.get_mut(at) {
                *byte = rng.u8(..);
            }
        }
    }
}
