//! Compares the registration of tools with the tools that their server offers.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    agents::fault,
    code::FaultCode,
    finding::{Check, CheckResult},
    state::{RegisteredTool, ToolArguments},
};
use crate::{clients::mcp::OfferedTools, platform::json_schema::Schema};

/// Returns one result for each kind of difference, or one that reports none.
pub(super) fn compare(registered: &[RegisteredTool], offered: &OfferedTools) -> Vec<CheckResult> {
    let mut missing = BTreeSet::new();
    let mut unusable = BTreeSet::new();
    let mut differing = BTreeSet::new();
    let mut undescribed = BTreeSet::new();
    for tool in registered {
        let name = &tool.name;
        if let Some(Err(reason)) = tool.input_schema.as_ref().map(Schema::compile) {
            unusable.insert(format!("{name}: the schema {reason}"));
        }
        if tool.is_for_models && !tool.is_described {
            undescribed.insert(name.clone());
        }
        let Some(expected) = offered.get(name) else {
            missing.insert(name.clone());
            continue;
        };
        // For an envelope, the server's schema describes more than the inputs.
        if let (ToolArguments::Plain, Some(schema)) = (tool.arguments, &tool.input_schema) {
            differing.extend(difference(schema, expected).map(|found| format!("{name}: {found}")));
        }
    }
    let found = [
        (missing, fault(FaultCode::AgentToolMissing)),
        (unusable, fault(FaultCode::AgentToolSchemaUnusable)),
        (differing, fault(FaultCode::AgentToolSchemaDiffers)),
        (undescribed, CheckResult::warning(Check::AgentServer, FaultCode::AgentToolUndescribed)),
    ];
    let found = found.into_iter().filter(|(tools, _)| !tools.is_empty());
    let mut results: Vec<_> = found
        .map(|(tools, result)| result.detail(tools.into_iter().collect::<Vec<_>>().join(", ")))
        .collect();
    if results.is_empty() {
        results.push(CheckResult::ok(Check::AgentServer));
    }
    results
}

/// Returns how inputs that match `registered` may fail at a tool that expects `expected`; `None` if
/// the required properties, the names and the types agree. Only these are compared, since the rest
/// of a schema can be written in many ways.
fn difference(registered: &Value, expected: &Map<String, Value>) -> Option<String> {
    let required = strings(registered.get("required"));
    if let Some(name) = strings(expected.get("required")).difference(&required).next() {
        return Some(format!("the server requires {name}"));
    }
    // Many servers ignore a property that they do not list, although their schemas allow any.
    let expected_properties = expected.get("properties").and_then(Value::as_object);
    let is_open = expected_properties.is_none()
        || expected.contains_key("patternProperties")
        || expected.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false));
    for (name, property) in registered.get("properties").and_then(Value::as_object).into_iter().flatten() {
        match expected_properties.and_then(|properties| properties.get(name)) {
            None if is_open => {}
            None => return Some(format!("the server does not know {name}")),
            Some(at_server) if !accepts(at_server.get("type"), property.get("type")) => {
                return Some(format!("{name} has another type at the server"));
            }
            Some(_) => {}
        }
    }
    None
}

/// Returns whether each registered type is one that the server expects. A type that is not stated
/// matches every type.
fn accepts(expected: Option<&Value>, registered: Option<&Value>) -> bool {
    let (expected, registered) = (strings(expected), strings(registered));
    let is_expected =
        |name: &&str| expected.contains(name) || (*name == "integer" && expected.contains("number"));
    expected.is_empty() || registered.iter().all(is_expected)
}

/// Returns the text, or the texts of a list.
fn strings(value: Option<&Value>) -> BTreeSet<&str> {
    match value {
        Some(Value::String(text)) => BTreeSet::from([text.as_str()]),
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).collect(),
        _ => BTreeSet::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schemas_differ_in_required_properties_names_and_types() {
        let expected = json!({
            "type": "object", "required": ["invoice_id"], "title": "payArguments",
            "properties": {
                "invoice_id": {"type": "string", "title": "Invoice Id"}, "amount": {"type": "number"},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            },
        });
        let invoice = json!({"type": "string"});
        for (required, properties, found) in [
            (json!(["invoice_id"]), json!({"invoice_id": invoice}), None),
            (
                json!(["invoice_id", "amount"]),
                json!({"invoice_id": invoice, "amount": {"type": "integer"}}),
                None,
            ),
            (json!(["invoice_id"]), json!({"invoice_id": invoice, "note": {"type": "string"}}), None),
            (json!([]), json!({"invoice_id": invoice}), Some("the server requires invoice_id")),
            (json!(["invoice_id"]), json!({"invoice": invoice}), Some("the server does not know invoice")),
            (
                json!(["invoice_id"]),
                json!({"invoice_id": {"type": ["string", "null"]}}),
                Some("invoice_id has another type at the server"),
            ),
        ] {
            let registered = json!({"type": "object", "required": required, "properties": properties});
            let difference = difference(&registered, expected.as_object().unwrap());
            assert_eq!(difference.as_deref(), found, "{registered}");
        }
        // A server that accepts any property knows all of them.
        for open in [json!({}), json!({"properties": {}, "additionalProperties": true})] {
            let registered = json!({"properties": {"invoice": {"type": "string"}}});
            assert_eq!(difference(&registered, open.as_object().unwrap()), None, "{open}");
        }
    }
}
