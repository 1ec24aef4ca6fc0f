//! JSON schemas that others wrote: what the answer to an escalation must look like.
//!
//! Whoever wrote one must not make us work without end. So a schema is bounded before it is compiled: its size, its depth, and what
//! it comes to once its references are followed, which must lead into itself and not in circles. Patterns are matched by an engine
//! that takes linear time, at the price of look-around and back-references. Source: <https://json-schema.org/draft/2020-12>

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// The most bytes of a schema, as compact JSON: an event's payload has no more.
const MAX_BYTES: usize = 16 * 1024;

/// The deepest nesting, references followed.
const MAX_DEPTH: usize = 32;

/// The most values that a schema may come to, references followed.
const MAX_NODES: usize = 4_000;

/// The most bytes of a compiled pattern.
const MAX_PATTERN: usize = 256 * 1024;

/// The most mistakes that are told of a value.
const MAX_MISTAKES: usize = 20;

/// A schema that values can be checked against.
#[derive(Debug)]
pub struct Schema(Validator);

/// Where a value is not as the schema wants it, and how. The value itself is not quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// A JSON pointer (RFC 6901) into the value.
    pub pointer: String,
    /// What it should be.
    pub detail: String,
}

impl Schema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// What keeps it from being used.
    pub fn compile(schema: &Value) -> Result<Self, &'static str> {
        if !schema.is_object() {
            return Err("must be an object");
        }
        if schema.to_string().len() > MAX_BYTES {
            return Err("is too large");
        }
        let mut nodes = 0;
        check_complexity(schema, schema, 0, &mut nodes)?;
        let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
        jsonschema::options()
            .with_draft(Draft::Draft202012)
            .with_pattern_options(patterns)
            .build(schema)
            .map(Self)
            .map_err(|_| "is no JSON schema of draft 2020-12 that can be used")
    }

    /// What is wrong with a value, as far as a person wants to read; nothing if it is as it should be.
    pub fn errors(&self, value: &Value) -> Vec<Mistake> {
        let mistake = |error: jsonschema::ValidationError<'_>| Mistake {
            pointer: error.instance_path().to_string(),
            detail: error.masked_with("it").to_string(),
        };
        self.0.iter_errors(value).take(MAX_MISTAKES).map(mistake).collect()
    }
}

/// Walks a schema as a validator would, and gives up where that takes too long.
fn check_complexity(node: &Value, root: &Value, depth: usize, nodes: &mut usize) -> Result<(), &'static str> {
    *nodes += 1;
    if depth > MAX_DEPTH || *nodes > MAX_NODES {
        return Err("is nested too deeply, or its references lead too far");
    }
    match node {
        Value::Array(all) => all.iter().try_for_each(|value| check_complexity(value, root, depth + 1, nodes)),
        Value::Object(fields) => fields.iter().try_for_each(|(name, value)| match (name.as_str(), value) {
            ("$ref", Value::String(reference)) => {
                let target = reference.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
                check_complexity(
                    target.ok_or("has a reference that leads out of it")?,
                    root,
                    depth + 1,
                    nodes,
                )
            }
            // With these `#/…` would mean something else than it does above.
            ("$id", Value::String(_)) if depth > 0 => Err("has a schema with a name of its own in it"),
            ("$dynamicRef" | "$recursiveRef", Value::String(_)) => Err("has a dynamic reference"),
            _ => check_complexity(value, root, depth + 1, nodes),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(schema: &Value) -> bool {
        Schema::compile(schema).is_err()
    }

    #[test]
    fn an_answer_is_checked_and_not_quoted() {
        let schema = Schema::compile(&json!({
            "type": "object", "required": ["amount"], "additionalProperties": false,
            "properties": {"amount": {"type": "number", "maximum": 100}, "why": {"$ref": "#/$defs/why"}},
            "$defs": {"why": {"enum": ["late", "wrong"]}}
        }));
        let schema = schema.unwrap();
        assert_eq!(schema.errors(&json!({"amount": 7, "why": "late"})), []);
        let mistakes = schema.errors(&json!({"amount": 31337, "why": "s3cret"}));
        let pointers: Vec<&str> = mistakes.iter().map(|mistake| mistake.pointer.as_str()).collect();
        assert_eq!(pointers, ["/amount", "/why"]);
        assert!(!format!("{mistakes:?}").contains("31337") && !format!("{mistakes:?}").contains("s3cret"));
    }

    #[test]
    fn nothing_is_fetched() {
        for reference in [
            "https://example.com/schema",
            "http://127.0.0.1:1/s",
            "file:///etc/hosts",
            "other",
            "#anchor",
            "#/no",
        ] {
            assert!(refused(&json!({"properties": {"a": {"$ref": reference}}})), "{reference}");
        }
        assert!(refused(&json!({"$dynamicRef": "#meta"})));
        assert!(refused(
            &json!({"$ref": "#/$defs/a", "$defs": {"a": {"$id": "https://example.com/a", "type": "null"}}})
        ));
    }

    #[test]
    fn what_would_be_work_without_end_is_refused() {
        assert!(refused(&json!({"$ref": "#"})), "a circle");
        assert!(
            refused(&json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}})),
            "a circle by the value"
        );
        // Twelve steps that double each.
        let steps = (0..12).map(|i| {
            let next = json!({"$ref": format!("#/$defs/{}", i + 1)});
            (i.to_string(), json!({"allOf": [next.clone(), next]}))
        });
        let mut defs: serde_json::Map<String, Value> = steps.collect();
        defs.insert("12".to_owned(), json!({"type": "null"}));
        assert!(refused(&json!({"$ref": "#/$defs/0", "$defs": defs})), "doubling");
        let deep = (0..40).fold(json!({}), |inner, _| json!({"not": inner}));
        assert!(refused(&deep), "depth");
        assert!(refused(&json!({"description": "x".repeat(17_000)})), "size");
    }

    #[test]
    fn patterns_take_linear_time_and_bounded_memory() {
        assert!(refused(&json!({"pattern": "(a)\\1"})), "a back-reference");
        assert!(refused(&json!({"pattern": "((a{500}){500}){500}"})), "memory");
        let schema = Schema::compile(&json!({"pattern": "^(a+)+$"})).unwrap();
        let started = std::time::Instant::now();
        assert_eq!(schema.errors(&json!(format!("{}!", "a".repeat(5_000)))).len(), 1);
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for schema in [
            json!(true),
            json!("string"),
            json!({"type": "invoice"}),
            json!({"required": "amount"}),
            json!({"minimum": "1"}),
        ] {
            assert!(refused(&schema), "{schema}");
        }
    }
}
