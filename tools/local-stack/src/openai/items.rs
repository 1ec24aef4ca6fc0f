//! The items of a thread, in the six shapes that OpenAI has.

use serde_json::{Map, Value, json};

/// An item before it is put into a thread, which gives it its id and time.
#[derive(Debug, Clone, PartialEq)]
pub struct Item(Value);

impl Item {
    /// What a person typed.
    pub fn user(text: &str) -> Self {
        Self::user_with(vec![json!({"type": "input_text", "text": text})], vec![], Value::Null)
    }

    /// A person's message in full: content parts, attachments, inference options (or null).
    pub fn user_with(content: Vec<Value>, attachments: Vec<Value>, inference_options: Value) -> Self {
        Self(json!({
            "type": "chatkit.user_message",
            "content": content,
            "attachments": attachments,
            "inference_options": inference_options,
        }))
    }

    /// What the agent said.
    pub fn assistant(text: &str) -> Self {
        Self::assistant_with(text, vec![])
    }

    /// What the agent said, with annotations of files and URLs.
    pub fn assistant_with(text: &str, annotations: Vec<Value>) -> Self {
        let part = json!({"type": "output_text", "text": text, "annotations": annotations});
        Self(json!({"type": "chatkit.assistant_message", "content": [part]}))
    }

    /// A widget; OpenAI sends it as a string that holds JSON.
    pub fn widget(widget: &Value) -> Self {
        Self(json!({"type": "chatkit.widget", "widget": widget.to_string()}))
    }

    /// A call of a tool in the browser; in progress as long as it has no output. Both are strings that hold JSON.
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

    /// Steps shown together, each as `(type, heading, summary)`.
    pub fn task_group(tasks: &[(&str, Option<&str>, Option<&str>)]) -> Self {
        let task = |&(kind, heading, summary): &(&str, Option<&str>, Option<&str>)| json!({"type": kind, "heading": heading, "summary": summary});
        Self(json!({"type": "chatkit.task_group", "tasks": tasks.iter().map(task).collect::<Vec<_>>()}))
    }

    /// Any JSON object at all: for shapes that OpenAI may send one day.
    pub fn raw(fields: Map<String, Value>) -> Self {
        Self(Value::Object(fields))
    }

    /// The item as OpenAI sends it.
    pub(super) fn placed(self, id: &str, thread_id: &str, created_at: u64) -> Value {
        let mut value = self.0;
        value["id"] = json!(id);
        value["object"] = json!("chatkit.thread_item");
        value["created_at"] = json!(created_at);
        value["thread_id"] = json!(thread_id);
        value
    }
}
