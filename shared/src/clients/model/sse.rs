//! Decoder of server-sent events.
//! Source: <https://html.spec.whatwg.org/multipage/server-sent-events.html>, section 9.2.6
//!
//! `sse-stream` is stricter than the standard: it fails on an unknown field and on a line without
//! a colon, and it drops the rest of the chunk. It does not limit the size of an event either.

use std::collections::VecDeque;

/// Maximum size of an event in bytes, with field names and line ends, without the empty line.
pub(super) const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// An event with data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SseEvent {
    /// Empty if the event does not have a name.
    pub name: String,
    pub data: String,
}

/// An event is larger than [`MAX_EVENT_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EventTooLarge;

/// Turns chunks of bytes into events.
#[derive(Debug, Default)]
pub(super) struct SseDecoder {
    /// Begin of a line whose end has not arrived.
    line: Vec<u8>,
    /// The event that the lines so far describe. `None` before its first `data`.
    name: String,
    data: Option<String>,
    /// Bytes since the last event.
    size: usize,
    /// Whether the last chunk ended with a carriage return, which a line feed may follow.
    after_cr: bool,
    has_begun: bool,
    events: VecDeque<SseEvent>,
}

impl SseDecoder {
    /// Adds a chunk.
    ///
    /// # Errors
    /// Fails if an event is too large. The decoder must not be used afterwards.
    pub fn push(&mut self, mut chunk: &[u8]) -> Result<(), EventTooLarge> {
        if std::mem::take(&mut self.after_cr) {
            chunk = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        while let Some(end) = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.grow(&chunk[..end])?;
            self.size += 1;
            let rest = &chunk[end + 1..];
            chunk = match chunk[end] {
                b'\r' if rest.is_empty() => {
                    self.after_cr = true;
                    rest
                }
                b'\r' => rest.strip_prefix(b"\n").unwrap_or(rest),
                _ => rest,
            };
            let line = std::mem::take(&mut self.line);
            self.end_line(&line);
            // Keeps the allocation.
            self.line = line;
            self.line.clear();
        }
        self.grow(chunk)
    }

    /// Returns the next event. An event at the end of the stream without an empty line after it is
    /// incomplete, and is not returned.
    pub fn next_event(&mut self) -> Option<SseEvent> {
        self.events.pop_front()
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), EventTooLarge> {
        self.size += bytes.len();
        if self.size > MAX_EVENT_BYTES {
            return Err(EventTooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, line: &[u8]) {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        let line = line.strip_prefix(b"\xef\xbb\xbf".as_slice()).filter(|_| is_first).unwrap_or(line);
        if line.is_empty() {
            self.size = 0;
            let name = std::mem::take(&mut self.name);
            self.events.extend(self.data.take().map(|data| SseEvent { name, data }));
            return;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = String::from_utf8_lossy(value.strip_prefix(b" ").unwrap_or(value));
        match &line[..colon] {
            b"data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(&value);
                }
                None => self.data = Some(value.into_owned()),
            },
            b"event" => self.name = value.into_owned(),
            // A comment, an id, a retry delay, or a field that the standard does not have.
            _ => self.size = if self.data.is_none() && self.name.is_empty() { 0 } else { self.size },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut decoder = SseDecoder::default();
        chunks.iter().for_each(|chunk| decoder.push(chunk).unwrap());
        std::iter::from_fn(|| decoder.next_event()).map(|event| (event.name, event.data)).collect()
    }

    fn events(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect()
    }

    #[test]
    fn events_of_every_form_are_decoded() {
        for (text, expected) in [
            ("event: a\ndata: 1\n\ndata: 2\n\n", &[("a", "1"), ("", "2")][..]),
            ("event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", &[("a", "1"), ("", "2")]),
            ("data: 1\r\rdata: 2\r\r", &[("", "1"), ("", "2")]),
            ("\u{feff}data: 1\n\n", &[("", "1")]),
            (": ping\n\n: ping\ndata: 1\n: ping\n\n", &[("", "1")]),
            ("id: 7\nretry: soon\nother: x\nlonely\ndata: 1\n\n", &[("", "1")]),
            ("data: a\ndata: b\ndata:c\ndata:  d\n\n", &[("", "a\nb\nc\n d")]),
            ("event: a\n\ndata: 1\n\n", &[("", "1")]),
            ("data\n\n", &[("", "")]),
            ("data: \u{1f600}\n\n", &[("", "\u{1f600}")]),
            ("data: 1\n\ndata: cut", &[("", "1")]),
            ("", &[]),
        ] {
            assert_eq!(decode(&[text.as_bytes()]), events(expected), "{text:?}");
            // The same, with every split into two chunks and into single bytes.
            for at in 0..text.len() {
                let (first, second) = text.as_bytes().split_at(at);
                assert_eq!(decode(&[first, second]), events(expected), "{text:?} at {at}");
            }
            let bytes: Vec<_> = text.as_bytes().chunks(1).collect();
            assert_eq!(decode(&bytes), events(expected), "{text:?} in bytes");
        }
    }

    #[test]
    fn event_larger_than_a_mebibyte_is_rejected() {
        let event = |size: usize| format!("data: {}\n\n", "x".repeat(size - 7));
        for (text, is_accepted) in [
            (event(MAX_EVENT_BYTES), true),
            (event(MAX_EVENT_BYTES + 1), false),
            (event(MAX_EVENT_BYTES).repeat(3), true),
            ("data: xxxxxxxxx\n".repeat(MAX_EVENT_BYTES / 16), true),
            ("data: xxxxxxxxx\n".repeat(MAX_EVENT_BYTES / 16 + 1), false),
            (": a comment of 32 characters .....\n".repeat(MAX_EVENT_BYTES / 16), true),
        ] {
            let mut decoder = SseDecoder::default();
            let accepted = text.as_bytes().chunks(16 * 1024).all(|chunk| decoder.push(chunk).is_ok());
            assert_eq!(accepted, is_accepted, "{} bytes", text.len());
        }
    }
}
