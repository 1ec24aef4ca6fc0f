//! The same routes lead to the same functions wherever they are described.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::lambda::{Workspace, workspace};
use serde_json::{Map, Value};

use super::template::Template;
use crate::support::markdown;
use crate::support::openapi_document::Document;
use crate::support::project_files::{same, text};

/// Method, path, function.
pub type Routes = BTreeSet<(String, String, String)>;

// NAME: described: routes are the same in the template, the watch router and the API description
#[tokio::test]
async fn routes() -> Result<()> {
    let (template, router) = (Template::read()?.routes()?, routed(workspace().await?)?);
    same(("template.yaml", &template), ("Cargo.toml's watch router", &router))?;
    let described = Document::read()?.routes();
    same(("docs/openapi.yaml", &described), ("Cargo.toml's watch router", &without_preflights(&router)))
}

// NAME: described: every function is routed, and preflights of every path
#[tokio::test]
async fn functions() -> Result<()> {
    let workspace = workspace().await?;
    let routes = routed(workspace)?;
    let template = Template::read()?;
    let packages =
        &workspace.functions.iter().cloned().collect::<BTreeSet<String>>() - &template.unrouted()?;
    let endpoints = without_preflights(&routes);
    let routed = endpoints.iter().map(|(_, _, function)| function.clone()).collect();
    same(("functions/", &packages), ("Cargo.toml's watch router", &routed))?;
    let paths: BTreeSet<&String> = endpoints.iter().map(|(_, path, _)| path).collect();
    for path in paths {
        let of_path = |wanted: &str| -> Vec<&String> {
            let fitting = routes.iter().filter(|(method, other, _)| method == wanted && other == path);
            fitting.map(|(_, _, function)| function).collect()
        };
        let [preflight] = of_path("OPTIONS")[..] else {
            anyhow::bail!("not one function for OPTIONS {path}")
        };
        let reads = of_path("GET");
        ensure!(
            reads.is_empty() || reads == [preflight],
            "{preflight} answers OPTIONS {path}, though {reads:?} answers GET"
        );
        ensure!(
            endpoints.iter().any(|(_, other, function)| other == path && function == preflight),
            "{preflight} answers OPTIONS {path} and nothing else there"
        );
    }
    Ok(())
}

// NAME: described: the README's endpoints are those of the API description
#[tokio::test]
async fn readme() -> Result<()> {
    let mut listed = Routes::new();
    for row in markdown::table(&text("README.md")?, "endpoint") {
        let [endpoint, function, purpose] = &row[..] else {
            anyhow::bail!("a row of other columns: {row:?}")
        };
        let (method, path) =
            endpoint.trim_matches('`').split_once(' ').with_context(|| format!("no endpoint: {endpoint}"))?;
        ensure!(!purpose.is_empty(), "the README does not say what {function} does");
        listed.insert((method.to_owned(), path.to_owned(), function.trim_matches('`').to_owned()));
    }
    same(("README.md", &listed), ("docs/openapi.yaml", &Document::read()?.routes()))
}

// NAME: described: the API description's links lead to operations of it
#[tokio::test]
async fn links() -> Result<()> {
    let document = Document::read()?;
    let mut followed = 0;
    for operation in document.operations() {
        for response in operation.responses()? {
            for to in response.links() {
                document.operation(to).with_context(|| format!("a link of {}", operation.id))?;
                followed += 1;
            }
        }
    }
    ensure!(followed > 0, "there are no links");
    Ok(())
}

// NAME: described: schemas of the API description extend a reference by `allOf`
/// Generators ignore the siblings of a `$ref`, except for a description.
#[tokio::test]
async fn extended() -> Result<()> {
    let document = Document::read()?;
    let references = references(&document.root, "#".to_owned());
    ensure!(references.len() > 300, "only {} references were found", references.len());
    for (place, node) in references {
        let sibling = node.keys().find(|key| !["$ref", "description"].contains(&key.as_str()));
        ensure!(sibling.is_none(), "{place} has a `$ref` and beside it `{}`", sibling.map_or("", |key| key));
    }
    Ok(())
}

/// Every object with a `$ref`, with its place in the document.
fn references<'a>(node: &'a Value, place: String) -> Vec<(String, &'a Map<String, Value>)> {
    let below = |(key, child): (String, &'a Value)| references(child, format!("{place}/{key}"));
    match node {
        Value::Object(object) => {
            let children = object.iter().map(|(key, child)| (key.clone(), child));
            let mut found: Vec<_> = children.flat_map(below).collect();
            if object.contains_key("$ref") {
                found.push((place, object));
            }
            found
        }
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(index, child)| (index.to_string(), child))
            .flat_map(below)
            .collect(),
        _ => Vec::new(),
    }
}

fn routed(workspace: &Workspace) -> Result<Routes> {
    let routes = workspace.routes.iter().map(|route| {
        let method = route.method.as_ref().with_context(|| format!("{} has no method", route.path))?;
        Ok((method.to_string(), route.path.clone(), route.function.clone()))
    });
    routes.collect()
}

fn without_preflights(routes: &Routes) -> Routes {
    routes.iter().filter(|(method, _, _)| method != "OPTIONS").cloned().collect()
}
