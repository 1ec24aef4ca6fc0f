//! The items of a thread, in OpenAI's six shapes.

use serde_json::{Map, Value, json};

/// An item without the id and the time, which the thread assigns.
#[derive(Debug, Clone, PartialEq)]
pub struct Item(Value);

impl Item {
    pub fn user(text: &str) -> Self {
        Self::user_with(vec![json!({"type": "input_text", "text": text})], vec![], Value::Null)
    }

    /// A user's message with content parts, attachments, and inference options or null.
    pub fn user_with(content: Vec<Value>, attachments: Vec<Value>, inference_options: Value) -> Self {
        Self(json!({
            "type": "chatkit.user_message",
            "content": content,
            "attachments": attachments,
            "inference_options": inference_options,
        }))
    }

    pub fn assistant(text: &str) -> Self {
        Self::assistant_with(text, vec![])
    }

    /// An assistant's message with annotations of files and URLs.
    pub fn assistant_with(text: &str, annotations: Vec<Value>) -> Self {
        let part = json!({"type": "output_text", "text": text, "annotations": annotations});
        Self(json!({"type": "chatkit.assistant_message", "content": [part]}))
    }

    /// A widget, which OpenAI sends as a JSON string.
    pub fn widget(widget: &Value) -> Self {
        Self(json!({"type": "chatkit.widget", "widget": widget.to_string()}))
    }

    /// A tool call in the browser, in progress until it has an output. Arguments and output are
    /// JSON strings.
    pub fn client_tool_call(call_id: &str, name: &str, arguments: &Value, output: Option<&Value>) -> Self {
        Self(json!({
            "type": "chatkit.client_tool_call",
            "status": if output.is_some() { "completed" } else { "in_progress" },
            "call_id": call_id,
            "name": name,
            "arguments": arguments.to_string(),
            "output": output.map(Value::to_string),
        }))
    }

    /// A step of the workflow, `custom` or `thought`.
    pub fn task(task_type: &str, heading: Option<&str>, summary: Option<&str>) -> Self {
        Self(json!({
            "type": "chatkit.task",
            "task_type": task_type,
            "heading": heading,
            "summary": summary,
        }))
    }

    /// A group of steps, each as `(type, heading, summary)`.
    pub fn task_group(tasks: &[(&str, Option<&str>, Option<&str>)]) -> Self {
        let task = |&(kind, heading, summary): &(&str, Option<&str>, Option<&str>)| json!({"type": kind, "heading": heading, "summary": summary});
        Self(json!({"type": "chatkit.task_group", "tasks": tasks.iter().map(task).collect::<Vec<_>>()}))
    }

    /// Any JSON object, for future shapes.
    pub fn raw(fields: Map<String, Value>) -> Self {
        Self(Value::Object(fields))
    }

    /// Returns the item in OpenAI's format.
    pub(super) fn into_json(self, id: &str, thread_id: &str, created_at: u64) -> Value {
        let mut value = self.0;
        value["id"] = json!(id);
        value["object"] = json!("chatkit.thread_item");
        value["created_at"] = json!(created_at);
        value["thread_id"] = json!(thread_id);
        value
    }
}
