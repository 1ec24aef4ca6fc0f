//! What the project says about itself is what it is: routes, configuration, errors, examples, deployment.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

pub use crate::docs::template::Template;
use crate::support::client::TestResponse;
pub use crate::support::example_matcher::is_time;
pub use crate::support::openapi_document::Document;

/// Whether an answer is one that the API description has for such a request. One by something else than a function, or about
/// nothing that is described, is none of its business.
pub fn check(method: &str, path: &str, reply: &TestResponse) -> Result<()> {
    let path = path.split('?').next().unwrap_or_default();
    match Document::read()?.operation_at(method, path) {
        Ok(operation) if reply.headers.contains_key("x-request-id") => operation.check(reply),
        _ => Ok(()),
    }
}

/// The root of the project.
pub fn root() -> Result<&'static Path> {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("the tests are in no project")
}

/// A file of the project.
pub fn text(path: &str) -> Result<String> {
    std::fs::read_to_string(root()?.join(path)).with_context(|| format!("reading {path}"))
}

/// A YAML file of the project.
pub fn yaml(path: &str) -> Result<Value> {
    local_stack::yaml::read(&root()?.join(path))
}

/// Two descriptions of the same things must name the same ones.
pub fn same<T: Ord + Debug>(
    (here, ours): (&str, &BTreeSet<T>),
    (there, theirs): (&str, &BTreeSet<T>),
) -> Result<()> {
    let only_here: Vec<&T> = ours.difference(theirs).collect();
    let only_there: Vec<&T> = theirs.difference(ours).collect();
    if ours.is_empty() {
        bail!("nothing was found in {here}");
    }
    if !only_here.is_empty() || !only_there.is_empty() {
        bail!("only in {here}: {only_here:?}; only in {there}: {only_there:?}");
    }
    Ok(())
}
