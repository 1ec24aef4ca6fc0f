//! Parses the blocks of a result's `content`: text, links, and blocks that cannot be kept.
//! Source: <https://modelcontextprotocol.io/specification/2026-07-28/server/tools#tool-result>

use serde_json::{Map, Value, json, value::RawValue};

use super::{
    json::Members,
    sanitize::{replace_nul, truncate},
};

/// Maximum number of blocks with a note. One more note counts the rest.
const MAX_NOTES: usize = 50;
/// Maximum length of a URI. A longer one is left out: a truncated URI leads nowhere.
const MAX_URI: usize = 2_000;
/// Maximum number of characters of each text in a note.
const MAX_LABEL: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Content {
    pub texts: Vec<String>,
    /// Notes on the other blocks: links as they are, omitted blocks by type and size.
    pub notes: Vec<Value>,
}

impl Content {
    pub fn parse(content: Option<&RawValue>) -> Self {
        let blocks: Vec<&RawValue> =
            content.and_then(|content| serde_json::from_str(content.get()).ok()).unwrap_or_default();
        let mut read = Self::default();
        let mut more = 0;
        for json in blocks {
            let block = Members::parse(json).unwrap_or_default();
            match (block.text("type").as_deref(), block.text("text")) {
                (Some("text"), Some(text)) => read.texts.push(text),
                _ if read.notes.len() == MAX_NOTES => more += 1,
                (kind, _) => read.notes.push(note(kind.unwrap_or("unknown"), &block, json.get().len())),
            }
        }
        if more > 0 {
            read.notes.push(json!({"type": "more", "leftOut": true, "count": more}));
        }
        read
    }

    /// Returns the notes as text, a line each.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        let line = |note: &Value| {
            let of = |name: &str| note[name].as_str();
            let label = ["title", "name", "uri", "type"].into_iter().find_map(of).unwrap_or_default();
            let size = note["size"].as_u64().map(|size| format!("{size} bytes"));
            match of("uri") {
                _ if note["leftOut"] == true => {
                    let about = [of("mimeType").map(str::to_owned), size, Some("not kept".to_owned())];
                    format!("{label} ({})", about.into_iter().flatten().collect::<Vec<_>>().join(", "))
                }
                Some(uri) if uri != label => format!("{label}: {uri}"),
                _ => label.to_owned(),
            }
        };
        self.notes.iter().map(line)
    }
}

/// Creates the note on a block that is not text. `length` is that of its JSON.
fn note(kind: &str, block: &Members<'_>, length: usize) -> Value {
    let embedded = block.get("resource").and_then(Members::parse);
    let source = embedded.as_ref().unwrap_or(block);
    let mut note = Map::from_iter([("type".to_owned(), json!(truncate(kind, MAX_LABEL)))]);
    let uri = source.text("uri").filter(|uri| uri.chars().count() <= MAX_URI);
    let is_link = kind == "resource_link" && uri.is_some();
    note.extend(uri.map(|uri| ("uri".to_owned(), json!(uri))));
    for name in ["name", "title", "description", "mimeType"] {
        let label = source.text(name).map(|label| json!(truncate(&label, MAX_LABEL)));
        note.extend(label.map(|label| (name.to_owned(), label)));
    }
    let encoded = source.text("data").or_else(|| source.text("blob"));
    let size = match (encoded, source.text("text")) {
        _ if is_link => source.value("size").and_then(|size| size.as_u64()),
        // Four characters of base64 encode three bytes.
        (Some(encoded), _) => u64::try_from(encoded.trim_end_matches('=').len() * 3 / 4).ok(),
        (_, Some(text)) => u64::try_from(text.len()).ok(),
        _ => u64::try_from(length).ok(),
    };
    note.extend(size.map(|size| ("size".to_owned(), json!(size))));
    if !is_link {
        note.insert("leftOut".to_owned(), Value::Bool(true));
    }
    replace_nul(Value::Object(note))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &Value) -> Content {
        Content::parse(serde_json::value::to_raw_value(content).ok().as_deref())
    }

    #[test]
    fn links_are_kept_and_files_are_described() {
        let link = json!({"type": "resource_link", "uri": "https://example.com/42.pdf", "name": "42.pdf",
            "title": "Invoice 42", "mimeType": "application/pdf", "size": 7, "annotations": {"priority": 1}});
        let mut kept = link.clone();
        kept.as_object_mut().unwrap().remove("annotations");
        for (block, noted) in [
            (link, kept),
            (json!({"type": "resource_link", "uri": "a:b"}), json!({"type": "resource_link", "uri": "a:b"})),
            (
                json!({"type": "image", "data": "aGVsbG8=", "mimeType": "image/png"}),
                json!({"type": "image", "mimeType": "image/png", "size": 5, "leftOut": true}),
            ),
            (
                json!({"type": "audio", "data": "aGVsbG8h", "mimeType": "audio/wav"}),
                json!({"type": "audio", "mimeType": "audio/wav", "size": 6, "leftOut": true}),
            ),
            (
                json!({"type": "resource", "resource": {"uri": "file:///42", "blob": "aGk=", "mimeType": "a/b"}}),
                json!({"type": "resource", "uri": "file:///42", "mimeType": "a/b", "size": 2, "leftOut": true}),
            ),
            (
                json!({"type": "resource", "resource": {"uri": "file:///42", "text": "grün"}}),
                json!({"type": "resource", "uri": "file:///42", "size": 5, "leftOut": true}),
            ),
            (json!({"type": "hologram", "x": 1}), json!({"type": "hologram", "size": 25, "leftOut": true})),
            (json!(7), json!({"type": "unknown", "size": 1, "leftOut": true})),
            (
                json!({"type": "resource_link", "uri": "x".repeat(2_001), "name": "n"}),
                json!({"type": "resource_link", "name": "n", "size": 2_045, "leftOut": true}),
            ),
        ] {
            let content = read(&json!([{"type": "text", "text": "a"}, block]));
            assert_eq!((content.texts, content.notes), (vec!["a".to_owned()], vec![noted]));
        }
        let many = read(&json!(vec![json!({"type": "image", "data": ""}); 53])).notes;
        assert_eq!((many.len(), &many[50]), (51, &json!({"type": "more", "leftOut": true, "count": 3})));
    }

    #[test]
    fn malformed_content_is_empty() {
        for content in [json!(null), json!([]), json!({}), json!("text")] {
            let content = read(&content);
            assert!(content.texts.is_empty() && content.notes.is_empty());
        }
    }
}
