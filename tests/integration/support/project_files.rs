//! Files of the project, and checks against them.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::client::TestResponse;
pub use super::example_matcher::is_time;
pub use super::openapi_document::Document;
pub use super::template::Template;

/// Checks a response against `docs/openapi.yaml`. Ignores undocumented operations, and responses
/// that do not come from a function.
pub fn check_response(method: &str, path: &str, reply: &TestResponse) -> Result<()> {
    let path = path.split('?').next().unwrap_or_default();
    match Document::read()?.operation_at(method, path) {
        Ok(operation) if reply.headers.contains_key("x-request-id") => operation.check(reply),
        _ => Ok(()),
    }
}

/// The root of the project.
pub fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests have no parent folder")
}

/// The content of a file of the project.
pub fn read_text(path: &str) -> Result<String> {
    std::fs::read_to_string(root()?.join(path)).with_context(|| format!("reading {path}"))
}

pub fn read_yaml(path: &str) -> Result<Value> {
    local_stack::yaml::read(&root()?.join(path))
}

/// Checks that two places name the same things.
pub fn ensure_same<T: Ord + Debug>(
    (here, ours): (&str, &BTreeSet<T>),
    (there, theirs): (&str, &BTreeSet<T>),
) -> Result<()> {
    let only_here: Vec<&T> = ours.difference(theirs).collect();
    let only_there: Vec<&T> = theirs.difference(ours).collect();
    if ours.is_empty() {
        bail!("found nothing in {here}");
    }
    if !only_here.is_empty() || !only_there.is_empty() {
        bail!("only in {here}: {only_here:?}; only in {there}: {only_there:?}");
    }
    Ok(())
}
