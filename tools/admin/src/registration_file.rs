//! Registrations in files, as TOML or JSON.

use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::{
    error::{FieldError, pointer},
    platform::parse,
    runtime::error_message,
};

use crate::failure::Failure;

/// Reads a file. Its name ends with `.toml` or `.json`.
///
/// # Errors
/// Returns a failure with the place of the error. It does not quote values.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let invalid = |reason: String| Failure::not_attempted(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| invalid(error.to_string()))?;
    let extension = path.extension().and_then(|extension| extension.to_str());
    let value = match extension {
        Some("toml") => parse_toml(&text),
        Some("json") => parse::json(text.as_bytes()).map_err(|error| match &error.cause {
            Some(cause) => cause.to_string(),
            None => error_message(&error),
        }),
        _ => Err("The name of the file must end with .toml or .json.".to_owned()),
    };
    deserialize(value.map_err(invalid)?).map_err(invalid)
}

fn parse_toml(text: &str) -> Result<Value, String> {
    let document = toml::Deserializer::parse(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        format!("line {}: {}", before.matches('\n').count() + 1, error.message())
    })?;
    parse::json_value(document).map_err(describe)
}

fn deserialize<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value)
        .map_err(|error| describe(FieldError::parsing(pointer(error.path()), error.inner())))
}

fn describe(error: FieldError) -> String {
    if error.pointer.is_empty() { error.detail } else { format!("{}: {}", error.pointer, error.detail) }
}

#[cfg(test)]
mod tests {
    use shared::domain::administration::{AgentRegistration, ServerRegistration};

    use super::*;

    fn agent(text: &str) -> Result<AgentRegistration, String> {
        parse_toml(text).and_then(deserialize)
    }

    #[test]
    fn toml_is_read_with_nested_values() {
        let server: ServerRegistration = parse_toml(
            "agent_id = 'a'\nurl = 'https://a.example'\n[[tools]]\nname = 'pay'\nask_above = 0.1\n\
             input_schema = { type = 'object' }\n[[routes]]\ntool = 'pay'\nevent_type = 'x'\n",
        )
        .and_then(deserialize)
        .unwrap();
        let tool =
            serde_json::json!({ "name": "pay", "ask_above": 0.1, "input_schema": { "type": "object" } });
        assert_eq!(server.tools, [tool]);
        assert_eq!(server.routes.len(), 1);
    }

    #[test]
    fn invalid_file_reports_the_place_and_no_value() {
        let valid = "agent_id = 'a'\ndisplay_name = 'A'\ndescription = ''\n";
        assert!(agent(valid).is_ok());
        let unknown = agent(&format!("{valid}modle = 's3cret'")).unwrap_err();
        assert!(unknown.contains("unknown field `modle`") && !unknown.contains("s3cret"), "{unknown}");
        let mistyped = agent(&format!("{valid}enabled = 's3cret'")).unwrap_err();
        assert!(mistyped.starts_with("/enabled: ") && !mistyped.contains("s3cret"), "{mistyped}");
        let syntax = agent(&format!("{valid}model = s3cret")).unwrap_err();
        assert!(syntax.starts_with("line 4: ") && !syntax.contains("s3cret"), "{syntax}");
        let twice = agent(&format!("{valid}agent_id = 'b'")).unwrap_err();
        assert!(twice.contains("line 4"), "{twice}");
    }

    #[test]
    fn only_toml_and_json_files_are_read() {
        let folder = std::env::temp_dir();
        let refused = read::<AgentRegistration>(&folder.join("no-such-agent.yaml")).unwrap_err().to_string();
        assert!(refused.contains("no-such-agent.yaml"), "{refused}");
    }
}
