//! JSON Schema validation: checks the answer to an escalation against a schema from an agent, and
//! the inputs of a call against the schema of its tool.
//!
//! The author of a schema must not be able to cause unbounded work. So a schema is limited before
//! it is compiled: its size, its depth, and its expansion through references, which must stay
//! inside the schema and must not be circular. Patterns are matched in linear time by an engine
//! without look-around and back-references. Source: <https://json-schema.org/draft/2020-12>

use std::fmt;

use boon::{Compiler, Draft, ErrorKind, SchemaIndex, Schemas, UrlLoader, ValidationError};
use serde_json::Value;

/// Maximum size of a schema as compact JSON, in bytes: that of an event's payload.
const MAX_BYTES: usize = 16 * 1024;

/// Maximum depth of nesting, with references followed.
const MAX_DEPTH: usize = 32;

/// Maximum number of values in a schema, with references followed.
const MAX_NODES: usize = 4_000;

/// Maximum size of a compiled pattern, in bytes.
const MAX_PATTERN: usize = 256 * 1024;

/// Maximum number of errors that are reported for a value.
const MAX_MISTAKES: usize = 20;

/// The address under which the compiler knows the schema. It is not connected to.
const ADDRESS: &str = "urn:schema";

/// A compiled schema to validate values with.
pub struct Schema {
    schemas: Schemas,
    root: SchemaIndex,
}

/// A violation of the schema, with its place and rule. The value itself is not quoted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// JSON pointer (RFC 6901) into the value.
    pub pointer: String,
    pub detail: String,
}

/// Why inputs may not be sent to a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidInputs {
    /// The registered schema cannot be used, for this reason.
    UnusableSchema(&'static str),
    /// The inputs violate the schema here. There is at least one mistake.
    Mistakes(Vec<Mistake>),
}

/// Checks the inputs of a call against the `input_schema` of the tool's registration.
///
/// # Errors
/// [`InvalidInputs`] with a pointer into the inputs for each mistake. The inputs are not quoted.
pub fn validate_inputs(schema: &Value, inputs: &Value) -> Result<(), InvalidInputs> {
    let mistakes = Schema::compile(schema).map_err(InvalidInputs::UnusableSchema)?.errors(inputs);
    if mistakes.is_empty() { Ok(()) } else { Err(InvalidInputs::Mistakes(mistakes)) }
}

impl Schema {
    /// Compiles a schema as one of draft 2020-12 and ignores its `$schema`.
    ///
    /// # Errors
    /// Returns why the schema cannot be used.
    pub fn compile(schema: &Value) -> Result<Self, &'static str> {
        let Value::Object(fields) = schema else {
            return Err("must be an object");
        };
        if schema.to_string().len() > MAX_BYTES {
            return Err("is too large");
        }
        let mut nodes = 0;
        check_complexity(schema, schema, 0, &mut nodes)?;
        let mut fields = fields.clone();
        fields.remove("$schema");
        fields.remove("$id");

        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        compiler.use_loader(Box::new(NoLoader));
        let mut schemas = Schemas::new();
        let unusable = "is not a usable JSON schema of draft 2020-12";
        compiler.add_resource(ADDRESS, Value::Object(fields)).map_err(|_| unusable)?;
        let root = compiler.compile(ADDRESS, &mut schemas).map_err(|_| unusable)?;
        Ok(Self { schemas, root })
    }

    /// Returns the errors of a value, as many as a person wants to read; empty if it is valid.
    pub fn errors(&self, value: &Value) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        if let Err(error) = self.schemas.validate(value, self.root) {
            collect(&error, &mut mistakes);
        }
        mistakes
    }
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// Loads nothing. The compiler's default reads files.
struct NoLoader;

impl UrlLoader for NoLoader {
    fn load(&self, _: &str) -> Result<Value, Box<dyn std::error::Error>> {
        Err("references lead out of the schema".into())
    }
}

/// Collects the errors at the leaves. A failed `anyOf` is one error, not one for each alternative.
fn collect(error: &ValidationError<'_, '_>, mistakes: &mut Vec<Mistake>) {
    let is_group = matches!(
        error.kind,
        ErrorKind::Group | ErrorKind::Schema { .. } | ErrorKind::Reference { .. } | ErrorKind::AllOf
    );
    if is_group {
        error.causes.iter().for_each(|cause| collect(cause, mistakes));
    } else if mistakes.len() < MAX_MISTAKES {
        mistakes
            .push(Mistake { pointer: error.instance_location.to_string(), detail: describe(&error.kind) });
    }
}

/// Describes an error by the schema alone. The library's own texts quote the value.
fn describe(kind: &ErrorKind<'_, '_>) -> String {
    match kind {
        ErrorKind::Type { want, .. } => {
            let types: Vec<String> = want.iter().map(|wanted| wanted.to_string()).collect();
            format!("must be of type {}", types.join(" or "))
        }
        ErrorKind::Enum { want } => format!("must be one of {}", join(want.iter())),
        ErrorKind::Const { want } => format!("must be {want}"),
        ErrorKind::Required { want } => format!("must have the properties {}", join(want.iter())),
        ErrorKind::AdditionalProperties { got } => {
            format!("must not have the properties {}", join(got.iter()))
        }
        ErrorKind::Dependency { prop, missing } | ErrorKind::DependentRequired { prop, missing } => {
            format!("must have the properties {}, since it has {prop:?}", join(missing.iter()))
        }
        ErrorKind::MinProperties { want, .. } => format!("must have at least {want} properties"),
        ErrorKind::MaxProperties { want, .. } => format!("must have at most {want} properties"),
        ErrorKind::MinItems { want, .. } => format!("must have at least {want} items"),
        ErrorKind::MaxItems { want, .. } => format!("must have at most {want} items"),
        ErrorKind::MinContains { want, .. } => format!("must contain at least {want} matching items"),
        ErrorKind::MaxContains { want, .. } => format!("must contain at most {want} matching items"),
        ErrorKind::Contains => "must contain a matching item".to_owned(),
        ErrorKind::UniqueItems { got: [first, second] } => {
            format!("must not repeat items: {first} and {second} are equal")
        }
        ErrorKind::MinLength { want, .. } => format!("must have at least {want} characters"),
        ErrorKind::MaxLength { want, .. } => format!("must have at most {want} characters"),
        ErrorKind::Pattern { want, .. } => format!("must match the pattern {want:?}"),
        ErrorKind::Minimum { want, .. } => format!("must be at least {want}"),
        ErrorKind::Maximum { want, .. } => format!("must be at most {want}"),
        ErrorKind::ExclusiveMinimum { want, .. } => format!("must be greater than {want}"),
        ErrorKind::ExclusiveMaximum { want, .. } => format!("must be less than {want}"),
        ErrorKind::MultipleOf { want, .. } => format!("must be a multiple of {want}"),
        ErrorKind::PropertyName { .. } => "must not have a property of that name".to_owned(),
        ErrorKind::FalseSchema | ErrorKind::AdditionalItems { .. } => "is not allowed".to_owned(),
        ErrorKind::Not => "must not match the schema under `not`".to_owned(),
        ErrorKind::AnyOf => "must match at least one schema under `anyOf`".to_owned(),
        ErrorKind::OneOf(None) => "must match a schema under `oneOf`".to_owned(),
        ErrorKind::OneOf(Some(_)) => "must match only one schema under `oneOf`".to_owned(),
        _ => "is not valid".to_owned(),
    }
}

fn join<T: serde::Serialize>(values: impl Iterator<Item = T>) -> String {
    let quoted = values.map(|value| serde_json::to_string(&value).unwrap_or_default());
    quoted.collect::<Vec<_>>().join(", ")
}

/// Fails if a pattern needs much memory. What is not a pattern is found when the schema is
/// compiled.
fn check_pattern(pattern: &str) -> Result<(), &'static str> {
    match regex::RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build() {
        Err(regex::Error::CompiledTooBig(_)) => Err("has a pattern that is too large"),
        _ => Ok(()),
    }
}

/// Walks a schema like a validator, and fails if that takes too long.
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
            // With these, `#/…` would have another meaning than it has above.
            ("$id", Value::String(_)) if depth > 0 => Err("has a schema with a name of its own in it"),
            ("$dynamicRef" | "$recursiveRef", Value::String(_)) => Err("has a dynamic reference"),
            ("pattern", Value::String(pattern)) => check_pattern(pattern),
            ("patternProperties", Value::Object(properties)) => {
                properties.keys().try_for_each(|pattern| check_pattern(pattern))?;
                check_complexity(value, root, depth + 1, nodes)
            }
            _ => check_complexity(value, root, depth + 1, nodes),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn is_rejected(schema: &Value) -> bool {
        Schema::compile(schema).is_err()
    }

    #[test]
    fn invalid_value_is_reported_by_pointer_without_quoting_it() {
        let schema = Schema::compile(&json!({
            "type": "object", "required": ["amount"], "additionalProperties": false,
            "properties": {"amount": {"type": "number", "maximum": 100}, "why": {"$ref": "#/$defs/why"}},
            "$defs": {"why": {"enum": ["late", "wrong"]}}
        }));
        let schema = schema.unwrap();
        assert_eq!(schema.errors(&json!({"amount": 7, "why": "late"})), []);
        let errors = schema.errors(&json!({"amount": 31337, "why": "s3cret"}));
        let pointers: Vec<&str> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, ["/amount", "/why"]);
        assert!(!format!("{errors:?}").contains("31337") && !format!("{errors:?}").contains("s3cret"));
    }

    #[test]
    fn inputs_are_valid_only_with_a_usable_schema_that_they_match() {
        let schema =
            json!({"type": "object", "required": ["amount"], "properties": {"amount": {"minimum": 1}}});
        assert_eq!(validate_inputs(&schema, &json!({"amount": 1})), Ok(()));
        let found = validate_inputs(&schema, &json!({"amount": 0}));
        let mistake = Mistake { pointer: "/amount".to_owned(), detail: "must be at least 1".to_owned() };
        assert_eq!(found, Err(InvalidInputs::Mistakes(vec![mistake])));
        for inputs in [json!({}), json!([1]), Value::Null] {
            assert!(matches!(validate_inputs(&schema, &inputs), Err(InvalidInputs::Mistakes(_))), "{inputs}");
        }
        let elsewhere = json!({"type": "object", "$ref": "https://example.com/schema"});
        let found = validate_inputs(&elsewhere, &json!({}));
        assert_eq!(found, Err(InvalidInputs::UnusableSchema("has a reference that leads out of it")));
    }

    #[test]
    fn reference_outside_the_schema_is_rejected() {
        for reference in [
            "https://example.com/schema",
            "http://127.0.0.1:1/s",
            "file:///etc/hosts",
            "other",
            "#anchor",
            "#/no",
        ] {
            assert!(is_rejected(&json!({"properties": {"a": {"$ref": reference}}})), "{reference}");
        }
        assert!(is_rejected(&json!({"$dynamicRef": "#meta"})));
        assert!(is_rejected(
            &json!({"$ref": "#/$defs/a", "$defs": {"a": {"$id": "https://example.com/a", "type": "null"}}})
        ));
    }

    #[test]
    fn schema_with_unbounded_expansion_is_rejected() {
        assert!(is_rejected(&json!({"$ref": "#"})), "a circle");
        assert!(
            is_rejected(&json!({"properties": {"a": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}})),
            "a circle by the value"
        );
        // Twelve levels, each of which doubles the size.
        let steps = (0..12).map(|i| {
            let next = json!({"$ref": format!("#/$defs/{}", i + 1)});
            (i.to_string(), json!({"allOf": [next.clone(), next]}))
        });
        let mut defs: serde_json::Map<String, Value> = steps.collect();
        defs.insert("12".to_owned(), json!({"type": "null"}));
        assert!(is_rejected(&json!({"$ref": "#/$defs/0", "$defs": defs})), "doubling");
        let deep = (0..40).fold(json!({}), |inner, _| json!({"not": inner}));
        assert!(is_rejected(&deep), "depth");
        assert!(is_rejected(&json!({"description": "x".repeat(17_000)})), "size");
    }

    #[test]
    fn pattern_with_unbounded_time_or_memory_is_rejected() {
        assert!(is_rejected(&json!({"pattern": "(a)\\1"})), "a back-reference");
        assert!(is_rejected(&json!({"pattern": "((a{500}){500}){500}"})), "memory");
        let schema = Schema::compile(&json!({"pattern": "^(a+)+$"})).unwrap();
        let started = std::time::Instant::now();
        assert_eq!(schema.errors(&json!(format!("{}!", "a".repeat(5_000)))).len(), 1);
        assert!(started.elapsed() < std::time::Duration::from_secs(2));
    }

    #[test]
    fn invalid_schema_is_rejected() {
        for schema in [
            json!(true),
            json!("string"),
            json!({"type": "invoice"}),
            json!({"required": "amount"}),
            json!({"minimum": "1"}),
        ] {
            assert!(is_rejected(&schema), "{schema}");
        }
    }
}
