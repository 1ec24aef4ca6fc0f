//! YAML as JSON.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

/// Reads a file. CloudFormation's tags are passed over: what `!Ref Name` and `!GetAtt Name.Part` say is `Name` and `Name.Part`.
pub fn read(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("in {}", path.display()))
}
