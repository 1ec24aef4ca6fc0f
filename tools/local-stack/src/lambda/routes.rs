//! The HTTP routes. The list is `cargo lambda watch`'s router in the root `Cargo.toml`, so that
//! both stay equal.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use axum::http::Method;
use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The function's package.
    pub function: String,
    /// `None` for every method.
    pub method: Option<Method>,
    /// The path with parameters in braces: `/chatkit/sessions/{id}`.
    pub path: String,
}

/// The route of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteMatch {
    /// The function's package.
    pub function: String,
    /// The route key of an HTTP API: `GET /chatkit/sessions/{id}`.
    pub route_key: String,
    /// The decoded path parameters.
    pub parameters: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Default)]
pub struct Routes(Vec<Route>);

impl FromIterator<Route> for Routes {
    fn from_iter<I: IntoIterator<Item = Route>>(routes: I) -> Self {
        Self(routes.into_iter().collect())
    }
}

impl Routes {
    /// Reads `lambda.watch.router` of the workspace's metadata. A path has one function, or a list
    /// of functions with methods.
    pub fn from_metadata(metadata: &Value) -> Result<Self> {
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

    /// Returns the routes of the functions that `keep` accepts.
    pub fn of_functions(&self, keep: impl Fn(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|route| keep(&route.function)).cloned().collect())
    }

    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.0.iter()
    }

    /// Returns whether a function has a route.
    pub fn has_function(&self, function: &str) -> bool {
        self.0.iter().any(|route| route.function == function)
    }

    /// Returns the route of a request. A route for the method takes precedence over one for every
    /// method, and fixed path segments over parameters.
    pub fn find(&self, method: &Method, path: &str) -> Option<RouteMatch> {
        let matching =
            self.0.iter().filter(|route| route.method.as_ref().is_none_or(|wanted| wanted == method));
        let matching = matching.filter_map(|route| Some((route, parameters(&route.path, path)?)));
        let (route, parameters) =
            matching.min_by_key(|(route, parameters)| (parameters.len(), route.method.is_none()))?;
        let named = route.method.as_ref().map_or("ANY", Method::as_str);
        Some(RouteMatch {
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

/// Returns the path parameters, if the path matches.
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

/// Decodes percent-encoding. A plus sign stays a plus sign in a path.
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
        Routes::from_metadata(&json!({ "lambda": { "watch": { "router": {
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
    fn route_matches_method_and_whole_path() {
        assert_eq!(function(Method::GET, "/chatkit/sessions").as_deref(), Some("list"));
        assert_eq!(function(Method::POST, "/chatkit/sessions").as_deref(), Some("create"));
        assert_eq!(function(Method::PATCH, "/everything").as_deref(), Some("all"));
        assert_eq!(function(Method::DELETE, "/chatkit/sessions"), None);
        assert_eq!(function(Method::GET, "/chatkit/sessions/"), None);
        assert_eq!(function(Method::GET, "/chatkit/sessions/7/more"), None);
    }

    #[test]
    fn fixed_segments_take_precedence_and_parameters_are_decoded() {
        assert_eq!(function(Method::GET, "/chatkit/sessions/mine").as_deref(), Some("mine"));
        let found = routes().find(&Method::GET, "/chatkit/sessions/a%20b+c%").unwrap();
        assert_eq!(found.parameters, [("id".to_owned(), "a b+c%".to_owned())].into());
        assert_eq!(found.route_key, "GET /chatkit/sessions/{id}");
    }

    #[test]
    fn missing_router_is_an_error() {
        assert!(
            Routes::from_metadata(&json!({ "lambda": {} })).unwrap_err().to_string().contains("watch.router")
        );
        assert!(Routes::from_metadata(&json!(null)).is_err());
    }
}
