//! The entry points of a function: the Lambda event that each of them creates from one request.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use axum::{
    body::Bytes,
    http::{Request, request::Parts},
};
use local_stack::lambda::{self, RequestMetadata, RouteMatch, Routes};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EntryPoint {
    FunctionUrl,
    HttpApi,
    /// An HTTP API that passes the path decoded.
    HttpApiDecoded,
    /// An HTTP API with a named stage, which prefixes the path.
    NamedStage,
    /// A custom domain with a mapping key, which prefixes the path.
    CustomDomain,
    /// A custom domain with a mapping key, and one route for all paths.
    GreedyRoute,
    /// A REST API behind a mapping key: payload format 1.0.
    RestApi,
}

pub const ALL: [EntryPoint; 7] = [
    EntryPoint::FunctionUrl,
    EntryPoint::HttpApi,
    EntryPoint::HttpApiDecoded,
    EntryPoint::NamedStage,
    EntryPoint::CustomDomain,
    EntryPoint::GreedyRoute,
    EntryPoint::RestApi,
];

impl EntryPoint {
    /// The event of this request. A request without a matching route arrives through a route for
    /// all paths.
    pub fn event(self, routes: &Routes, request: Request<Vec<u8>>) -> Result<Value> {
        let (parts, body) = request.into_parts();
        let body = Bytes::from(body);
        let context = RequestMetadata {
            request_id: "d2b1b0f0".to_owned(),
            trace_id: "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c".to_owned(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: "2026-11-22T10:00:00Z".parse()?,
        };
        let mut event = lambda::event(lambda::EntryPoint::FunctionUrl, &parts, &body, &context);
        let path = parts.uri.path();
        let found = routes.find(&parts.method, path).filter(|_| self != Self::GreedyRoute);
        match self {
            Self::FunctionUrl => {}
            Self::HttpApi => set_route(&mut event, found, "$default"),
            Self::HttpApiDecoded => {
                event["rawPath"] = percent_decode(path).into();
                set_route(&mut event, found, "$default");
            }
            Self::NamedStage => {
                event["rawPath"] = format!("/prod{path}").into();
                event["requestContext"]["stage"] = "prod".into();
                set_route(&mut event, found, "$default");
            }
            Self::CustomDomain | Self::GreedyRoute => {
                event["rawPath"] = format!("/v1{path}").into();
                set_route(&mut event, found, "ANY /{proxy+}");
                if event["routeKey"] == "ANY /{proxy+}" {
                    event["pathParameters"] = json!({ "proxy": path.strip_prefix('/') });
                }
            }
            Self::RestApi => event = rest_api_event(&parts, found, &event),
        }
        Ok(event)
    }

    /// The path that the client requested: the `instance` of a problem.
    pub fn path(self, path: &str) -> String {
        match self {
            Self::HttpApiDecoded => percent_decode(path),
            Self::NamedStage => format!("/prod{path}"),
            Self::CustomDomain | Self::GreedyRoute | Self::RestApi => format!("/v1{path}"),
            Self::FunctionUrl | Self::HttpApi => path.to_owned(),
        }
    }
}

fn set_route(event: &mut Value, found: Option<RouteMatch>, default_key: &str) {
    let key = found.as_ref().map_or(default_key, |found| &found.route_key).to_owned();
    event["requestContext"]["routeKey"] = key.clone().into();
    event["routeKey"] = key.into();
    if let Some(found) = found.filter(|found| !found.parameters.is_empty()) {
        event["pathParameters"] = json!(found.parameters);
    }
}

/// Source:
/// <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
fn rest_api_event(parts: &Parts, found: Option<RouteMatch>, v2: &Value) -> Value {
    let path = parts.uri.path();
    let proxy = || json!({ "proxy": path.strip_prefix('/') });
    let resource =
        found.as_ref().map_or("/{proxy+}", |found| found.route_key.split(' ').nth(1).unwrap_or_default());
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &parts.headers {
        // A REST API keeps the case of header names.
        let values = headers.entry(name.as_str().to_uppercase()).or_insert(json!([]));
        values.as_array_mut().expect("a list").push(String::from_utf8_lossy(value.as_bytes()).into());
    }
    let last = headers
        .iter()
        .map(|(name, values)| (name.clone(), values.as_array().and_then(|all| all.last()).cloned()));
    let mut query: Map<String, Value> = Map::new();
    for (name, value) in form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()) {
        let values = query.entry(name.into_owned()).or_insert(json!([]));
        values.as_array_mut().expect("a list").push(value.into());
    }
    json!({
        "version": "1.0",
        "resource": resource,
        "path": format!("/v1{path}"),
        "httpMethod": parts.method.as_str(),
        "headers": last.collect::<std::collections::BTreeMap<_, _>>(),
        "multiValueHeaders": headers,
        "queryStringParameters": null,
        "multiValueQueryStringParameters": query,
        "pathParameters": found.as_ref().map_or_else(proxy, |found| json!(found.parameters)),
        "stageVariables": null,
        "requestContext": {
            "stage": "prod",
            "path": format!("/v1{path}"),
            "resourcePath": resource,
            "httpMethod": parts.method.as_str(),
        },
        "body": v2["body"],
        "isBase64Encoded": v2["isBase64Encoded"],
    })
}

fn percent_decode(path: &str) -> String {
    // In a path, a plus sign is not a space.
    let plus = path.replace('+', "%2B");
    form_urlencoded::parse(plus.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}
