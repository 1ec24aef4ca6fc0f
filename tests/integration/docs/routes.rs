//! Routes and schemas of `docs/openapi.yaml`, compared with the places that repeat them.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use local_stack::lambda::{Workspace, workspace};
use serde_json::{Map, Value};

use crate::support::markdown;
use crate::support::openapi_document::Document;
use crate::support::project_files::{ensure_same, read_text};
use crate::support::template::{Routes, Template};

#[tokio::test]
async fn template_router_and_openapi_have_the_same_routes() -> Result<()> {
    let (template, router) = (Template::read()?.routes()?, watch_routes(workspace().await?)?);
    ensure_same(("template.yaml", &template), ("Cargo.toml's watch router", &router))?;
    let documented = Document::read()?.routes();
    ensure_same(
        ("docs/openapi.yaml", &documented),
        ("Cargo.toml's watch router", &without_preflights(&router)),
    )
}

#[tokio::test]
async fn functions_have_routes_and_paths_have_a_preflight() -> Result<()> {
    let workspace = workspace().await?;
    let routes = watch_routes(workspace)?;
    let template = Template::read()?;
    let packages =
        &workspace.functions.iter().cloned().collect::<BTreeSet<String>>() - &template.unrouted()?;
    let endpoints = without_preflights(&routes);
    let routed = endpoints.iter().map(|(_, _, function)| function.clone()).collect();
    ensure_same(("functions/", &packages), ("Cargo.toml's watch router", &routed))?;
    let paths: BTreeSet<&String> = endpoints.iter().map(|(_, path, _)| path).collect();
    for path in paths {
        let functions_of = |wanted: &str| -> Vec<&String> {
            let matching = routes.iter().filter(|(method, other, _)| method == wanted && other == path);
            matching.map(|(_, _, function)| function).collect()
        };
        let options = functions_of("OPTIONS");
        let [preflight] = options[..] else {
            anyhow::bail!("OPTIONS {path} should have one function, found {options:?}")
        };
        let get = functions_of("GET");
        ensure!(
            get.is_empty() || get == [preflight],
            "{preflight} answers OPTIONS {path}, but {get:?} answers GET"
        );
        ensure!(
            endpoints.iter().any(|(_, other, function)| other == path && function == preflight),
            "{preflight} answers OPTIONS {path}, but no other method of this path"
        );
    }
    Ok(())
}

#[tokio::test]
async fn readme_endpoints_equal_openapi() -> Result<()> {
    let mut listed = Routes::new();
    for row in markdown::table(&read_text("README.md")?, "endpoint") {
        let [endpoint, function, purpose] = &row[..] else {
            anyhow::bail!("the table of endpoints should have three columns, found {row:?}")
        };
        let (method, path) = endpoint
            .trim_matches('`')
            .split_once(' ')
            .with_context(|| format!("{endpoint} is not a method and a path"))?;
        ensure!(!purpose.is_empty(), "the README states no purpose of {function}");
        listed.insert((method.to_owned(), path.to_owned(), function.trim_matches('`').to_owned()));
    }
    ensure_same(("README.md", &listed), ("docs/openapi.yaml", &Document::read()?.routes()))
}

#[tokio::test]
async fn openapi_links_name_existing_operations() -> Result<()> {
    let document = Document::read()?;
    let mut count = 0;
    for operation in document.operations() {
        for response in operation.responses()? {
            for to in response.links() {
                document
                    .operation(to)
                    .with_context(|| format!("the target of a link of {}", operation.id))?;
                count += 1;
            }
        }
    }
    ensure!(count > 0, "the document has no links");
    Ok(())
}

/// Generators ignore the siblings of a `$ref`, except for a description.
#[tokio::test]
async fn openapi_schemas_extend_references_by_all_of() -> Result<()> {
    let document = Document::read()?;
    let references = references(&document.root, "#".to_owned());
    ensure!(references.len() > 300, "expected more than 300 references, found {}", references.len());
    for (place, node) in references {
        let sibling = node.keys().find(|key| !["$ref", "description"].contains(&key.as_str()));
        ensure!(
            sibling.is_none(),
            "the `$ref` at {place} has the sibling `{}`",
            sibling.map_or("", |key| key)
        );
    }
    Ok(())
}

/// Objects with a `$ref`, with their JSON pointers.
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

fn watch_routes(workspace: &Workspace) -> Result<Routes> {
    let routes = workspace.routes.iter().map(|route| {
        let method = route.method.as_ref().with_context(|| format!("{} has no method", route.path))?;
        Ok((method.to_string(), route.path.clone(), route.function.clone()))
    });
    routes.collect()
}

fn without_preflights(routes: &Routes) -> Routes {
    routes.iter().filter(|(method, _, _)| method != "OPTIONS").cloned().collect()
}
