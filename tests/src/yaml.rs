//! YAML as JSON. What CloudFormation tags (`!Ref x`) comes in its long form (`{"Ref": x}`), which means the same.

use std::path::Path;

use anyhow::{Context, Result, bail};
use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// Reads a file with one document.
pub fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

/// Parses one document.
pub fn parse(text: &str) -> Result<Value> {
    match Yaml::load_from_str(text)?.as_slice() {
        [document] => json_of(document),
        documents => bail!("{} documents in place of one", documents.len()),
    }
}

fn json_of(yaml: &Yaml) -> Result<Value> {
    Ok(match yaml {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => json!(value.into_inner()),
            Scalar::String(value) => json!(value),
        },
        Yaml::Sequence(items) => items.iter().map(json_of).collect::<Result<_>>()?,
        Yaml::Mapping(fields) => {
            let mut object = Map::new();
            for (name, value) in fields {
                object.insert(name_of(name)?, json_of(value)?);
            }
            Value::Object(object)
        }
        Yaml::Tagged(tag, inner) => json!({ long_form(&tag.suffix): json_of(inner)? }),
        other => bail!("what this YAML means is not known here: {other:?}"),
    })
}

/// Status codes are numbers in YAML and names in JSON.
fn name_of(name: &Yaml) -> Result<String> {
    match json_of(name)? {
        Value::String(name) => Ok(name),
        Value::Number(name) => Ok(name.to_string()),
        other => bail!("{other} as the name of a field"),
    }
}

fn long_form(tag: &str) -> String {
    match tag {
        "Ref" | "Condition" => tag.to_owned(),
        function => format!("Fn::{function}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_come_in_their_long_form() {
        let text = "a: !Ref B\nb: !If [C, !Sub \"${D}\", !Ref AWS::NoValue]\n200: [1, 1.5, true, ~, '1']";
        let expected = json!({
            "a": { "Ref": "B" },
            "b": { "Fn::If": ["C", { "Fn::Sub": "${D}" }, { "Ref": "AWS::NoValue" }] },
            "200": [1, 1.5, true, null, "1"],
        });
        assert_eq!(parse(text).unwrap(), expected);
    }

    #[test]
    fn what_is_no_single_document_is_an_error() {
        assert!(parse("a: [").is_err());
        assert!(parse("--- 1\n--- 2").is_err());
    }
}
