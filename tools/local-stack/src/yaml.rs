//! Reads YAML files as JSON values.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Reads a file. Expands anchors and merge keys (`<<`), as SAM does. Drops CloudFormation's tags:
/// `!Ref Name` and `!GetAtt Name.Part` become `Name` and `Name.Part`.
pub fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("in {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn merge_keys_are_expanded_and_own_keys_take_precedence() {
        let text = "
one: { <<: &shared { a: !Ref X, b: 2 }, b: 3 }
two: { <<: [*shared, &more { <<: *shared, c: 4 }], a: 5 }
three: { b: 6, <<: *more }
";
        let expected = json!({
            "one": { "a": "X", "b": 3 },
            "two": { "a": 5, "b": 2, "c": 4 },
            "three": { "a": "X", "b": 6, "c": 4 },
        });
        assert_eq!(serde_saphyr::from_str::<Value>(text).unwrap(), expected);
    }
}
