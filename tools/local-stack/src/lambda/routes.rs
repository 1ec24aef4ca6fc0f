//! Which function answers which method and path. The one list is the router of `cargo lambda watch` in the root
//! `Cargo.toml`, so that the two can't differ.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use axum::http::Method;
use serde_json::Value;

/// One route.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The function's package.
    pub function: String,
    /// `None` for every method.
    pub method: Option<Method>,
    /// As written: `/chatkit/sessions/{id}`.
    pub path: String,
}

/// A route that fits a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Match {
    /// The function's package.
    pub function: String,
    /// The route as an HTTP API names it: `GET /chatkit/sessions/{id}`.
    pub route_key: String,
    /// What stands for the names in braces, decoded.
    pub parameters: BTreeMap<String, String>,
}

/// Every route.
#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// Reads `lambda.watch.router` of the workspace's metadata: a path has one function, or a list of functions with methods.
    pub fn of(metadata: &Value) -> Result<Self> {
        let router = &metadata["lambda"]["watch"]["router"];
        let router = router
            .as_object()
            .context("no [workspace.metadata.lambda.watch.router] in the root Cargo.toml")?;
        let mut routes = Vec::new();
        for (path, targets) in router {
            let targets = match targets {
                Value::Array(targets) => targets.as_slice(),
                one => std::slice::from_ref(one),
            };
            for target in targets {
                routes.push(route(path, target)?);
            }
        }
        Ok(Self(routes))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// Whether a function has a route.
    pub fn lead_to(&self, function: &str) -> bool {
        self.0.iter().any(|route| route.function == function)
    }

    /// The route for a request: one for its method before one for every method, fixed parts of a path before parameters.
    pub fn find(&self, method: &Method, path: &str) -> Option<Match> {
        let fits = self.0.iter().filter(|route| route.method.as_ref().is_none_or(|wanted| wanted == method));
        let fits = fits.filter_map(|route| Some((route, parameters(&route.path, path)?)));
        let (route, parameters) =
            fits.min_by_key(|(route, parameters)| (parameters.len(), route.method.is_none()))?;
        let named = route.method.as_ref().map_or("ANY", Method::as_str);
        Some(Match {
            function: route.function.clone(),
            route_key: format!("{named} {}", route.path),
            parameters,
        })
    }
}

fn route(path: &str, target: &Value) -> Result<Route> {
    let function = match target {
        Value::String(function) => function,
        target => {
            target["function"].as_str().with_context(|| format!("the route {path} names no function"))?
        }
    };
    let method = match &target["method"] {
        Value::Null => None,
        Value::String(method) if method == "ANY" => None,
        Value::String(method) => {
            Some(method.to_uppercase().parse().with_context(|| format!("the method of {path}"))?)
        }
        other => bail!("the method of the route {path} is {other}"),
    };
    Ok(Route { function: function.to_owned(), method, path: path.to_owned() })
}

/// What stands for the names in braces, where the path fits.
fn parameters(pattern: &str, path: &str) -> Option<BTreeMap<String, String>> {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    if pattern.len() != path.len() {
        return None;
    }
    let mut parameters = BTreeMap::new();
    for (wanted, given) in pattern.into_iter().zip(path) {
        match wanted.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(_) if given.is_empty() => return None,
            Some(name) => drop(parameters.insert(name.to_owned(), decoded(given))),
            None if wanted == given => {}
            None => return None,
        }
    }
    Some(parameters)
}

/// A part of a path with its percent signs resolved; a plus sign is a plus sign there.
fn decoded(part: &str) -> String {
    let mut decoded = Vec::with_capacity(part.len());
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.extend_from_slice(before.as_bytes());
        match after.get(..2).and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &after[2..];
            }
            None => {
                decoded.push(b'%');
                rest = after;
            }
        }
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn routes() -> Routes {
        Routes::of(&json!({ "lambda": { "watch": { "router": {
            "/chatkit/sessions": [{ "function": "list", "method": "GET" }, { "function": "create", "method": "POST" }],
            "/chatkit/sessions/{id}": [{ "function": "get", "method": "GET" }],
            "/chatkit/sessions/mine": [{ "function": "mine", "method": "GET" }],
            "/everything": "all"
        } } } }))
        .unwrap()
    }

    fn function(method: Method, path: &str) -> Option<String> {
        routes().find(&method, path).map(|found| found.function)
    }

    #[test]
    fn a_route_fits_by_method_and_whole_path() {
        assert_eq!(function(Method::GET, "/chatkit/sessions").as_deref(), Some("list"));
        assert_eq!(function(Method::POST, "/chatkit/sessions").as_deref(), Some("create"));
        assert_eq!(function(Method::PATCH, "/everything").as_deref(), Some("all"));
        assert_eq!(function(Method::DELETE, "/chatkit/sessions"), None);
        assert_eq!(function(Method::GET, "/chatkit/sessions/"), None);
        assert_eq!(function(Method::GET, "/chatkit/sessions/7/more"), None);
    }

    #[test]
    fn fixed_parts_go_before_parameters_which_come_decoded() {
        assert_eq!(function(Method::GET, "/chatkit/sessions/mine").as_deref(), Some("mine"));
        let found = routes().find(&Method::GET, "/chatkit/sessions/a%20b+c%").unwrap();
        assert_eq!(found.parameters, [("id".to_owned(), "a b+c%".to_owned())].into());
        assert_eq!(found.route_key, "GET /chatkit/sessions/{id}");
    }

    #[test]
    fn a_workspace_without_a_router_is_an_error() {
        assert!(Routes::of(&json!({ "lambda": {} })).unwrap_err().to_string().contains("watch.router"));
        assert!(Routes::of(&json!(null)).is_err());
    }
}
