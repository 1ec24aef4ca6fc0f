//! Context in the model's input: texts that the user did not write, marked as data.
//!
//! A context is a message of the role `user`, never of `developer` or `system`, because a page, a
//! tool or another user may have written it. It is JSON in a tag, and `<` is escaped in it, so the
//! text cannot end its own mark. A user can write such a mark by hand. It gives the text no more
//! weight than the user's own words have.

use serde_json::{Map, Value, json};

/// Returns a message of the role `user` that contains a value as marked data.
pub(super) fn context_message(source: &str, value: &Value) -> Value {
    super::message("user", "input_text", &[context_text(source, value)])
}

pub(super) fn context_text(source: &str, value: &Value) -> String {
    let data = value.to_string().replace('<', "\\u003c");
    format!("<context source=\"{source}\">\n{data}\n</context>")
}

/// Returns what a message's tags refer to, or `None` if it has no tags.
pub(super) fn tags(content: &[Value]) -> Option<Value> {
    let tags = content.iter().filter(|part| part["type"] == "input_tag");
    let tags: Vec<_> = tags.map(tag).collect();
    (!tags.is_empty()).then_some(Value::Array(tags))
}

fn tag(part: &Value) -> Value {
    let mut tag = Map::new();
    tag.insert("tag".to_owned(), format!("@{}", part["text"].as_str().unwrap_or_default()).into());
    for field in ["id", "group", "data"] {
        let value = &part[field];
        let is_empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
        if !is_empty {
            tag.insert(field.to_owned(), value.clone());
        }
    }
    Value::Object(tag)
}

/// Returns the questions of a structured input, with the user's answers.
pub(super) fn structured_input(item: &Value) -> Value {
    let inputs = item["inputs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let answer = |input: &Value| match &input["answer"] {
        answer if answer.is_null() => Value::Null,
        answer if answer["skipped"] == true => "skipped".into(),
        answer => answer["values"].clone(),
    };
    let questions =
        inputs.iter().map(|input| json!({ "question": input["question"], "answer": answer(input) }));
    json!({ "status": item["status"], "questions": questions.collect::<Vec<_>>() })
}
