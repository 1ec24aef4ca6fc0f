//! Requests for a response of the model.

use serde::{Deserialize, Serialize, ser::SerializeStruct};
use serde_json::{Value, json};

/// A request for a streamed response, `POST /responses`.
///
/// The server stores nothing: the request contains the whole conversation, and reasoning comes back
/// encrypted. Servers without state accept such a request too.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRequest {
    pub model: String,
    /// The agent's instructions. They never contain a text of a user or of a tool.
    pub instructions: Option<String>,
    /// Input items in the order of the conversation.
    pub input: Vec<Value>,
    /// Function tools that the model may call.
    pub tools: Vec<Value>,
    /// `None` for a model that does not reason.
    pub reasoning: Option<Reasoning>,
    pub max_output_tokens: Option<u32>,
    /// Opaque id of the user, at most 64 characters, for the provider's abuse detection.
    pub safety_identifier: Option<String>,
}

/// Settings of a reasoning model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reasoning {
    pub effort: ReasoningEffort,
}

/// Amount of reasoning before the answer of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReasoningEffort {
    None,
    Minimal,
    Low,
    Medium,
    High,
    Xhigh,
}

impl Serialize for ModelRequest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut body = serializer.serialize_struct("ModelRequest", 12)?;
        body.serialize_field("model", &self.model)?;
        if let Some(instructions) = &self.instructions {
            body.serialize_field("instructions", instructions)?;
        }
        body.serialize_field("input", &self.input)?;
        if !self.tools.is_empty() {
            body.serialize_field("tools", &self.tools)?;
        }
        body.serialize_field("stream", &true)?;
        // Padding against traffic analysis, which doubles the size of a stream.
        body.serialize_field("stream_options", &json!({ "include_obfuscation": false }))?;
        body.serialize_field("store", &false)?;
        if let Some(Reasoning { effort }) = self.reasoning {
            body.serialize_field("reasoning", &json!({ "effort": effort, "summary": "auto" }))?;
            // A model that does not reason rejects a request for encrypted reasoning.
            body.serialize_field("include", &["reasoning.encrypted_content"])?;
        }
        if let Some(limit) = self.max_output_tokens {
            body.serialize_field("max_output_tokens", &limit)?;
        }
        if let Some(id) = &self.safety_identifier {
            body.serialize_field("safety_identifier", id)?;
        }
        body.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> ModelRequest {
        ModelRequest {
            model: "m".to_owned(),
            instructions: None,
            input: vec![json!({ "type": "message", "role": "user", "content": "hi" })],
            tools: Vec::new(),
            reasoning: None,
            max_output_tokens: None,
            safety_identifier: None,
        }
    }

    #[test]
    fn request_without_settings_contains_only_what_every_server_accepts() {
        let expected = json!({
            "model": "m",
            "input": [{ "type": "message", "role": "user", "content": "hi" }],
            "stream": true,
            "stream_options": { "include_obfuscation": false },
            "store": false,
        });
        assert_eq!(serde_json::to_value(request()).unwrap(), expected);
    }

    #[test]
    fn request_for_a_reasoning_model_includes_encrypted_reasoning() {
        let body = serde_json::to_value(ModelRequest {
            instructions: Some("Be brief.".to_owned()),
            reasoning: Some(Reasoning { effort: ReasoningEffort::Low }),
            max_output_tokens: Some(500),
            safety_identifier: Some("u1".to_owned()),
            tools: vec![json!({ "type": "function" })],
            ..request()
        })
        .unwrap();
        assert_eq!(body["reasoning"], json!({ "effort": "low", "summary": "auto" }));
        assert_eq!(body["include"], json!(["reasoning.encrypted_content"]));
        assert_eq!(body["instructions"], "Be brief.");
        assert_eq!(body["max_output_tokens"], 500);
        assert_eq!(body["safety_identifier"], "u1");
        assert_eq!(body["tools"], json!([{ "type": "function" }]));
    }
}
