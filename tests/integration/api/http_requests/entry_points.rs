//! The doors of a function, as it sees them: the events that each sends for one and the same request.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use axum::{
    body::Bytes,
    http::{Request, request::Parts},
};
use local_stack::lambda;
use local_stack::lambda::{Circumstances, Match, Routes};
use serde_json::{Map, Value, json};
use url::form_urlencoded;

/// Where a request comes in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Door {
    FunctionUrl,
    HttpApi,
    /// With the path decoded.
    HttpApiDecoded,
    /// A stage whose name stands at the beginning of the path.
    NamedStage,
    /// A mapping key stands there.
    CustomDomain,
    /// The same, and a route that matches everything.
    GreedyRoute,
    /// Payload format 1.0, below a mapping key.
    RestApi,
}

pub const ALL: [Door; 7] = [
    Door::FunctionUrl,
    Door::HttpApi,
    Door::HttpApiDecoded,
    Door::NamedStage,
    Door::CustomDomain,
    Door::GreedyRoute,
    Door::RestApi,
];

impl Door {
    /// The event of this request. What no route fits comes by the one for everything, without which it would not come.
    pub fn event(self, routes: &Routes, request: Request<Vec<u8>>) -> Result<Value> {
        let (parts, body) = request.into_parts();
        let body = Bytes::from(body);
        let circumstances = Circumstances {
            request_id: "d2b1b0f0".to_owned(),
            trace_id: "Root=1-5e9f0c65-1de4d666d4dd26aced652b6c".to_owned(),
            source: IpAddr::V4(Ipv4Addr::LOCALHOST),
            at: "2026-11-22T10:00:00Z".parse()?,
        };
        let mut event = lambda::event(lambda::Door::FunctionUrl, &parts, &body, &circumstances);
        let path = parts.uri.path();
        let found = routes.find(&parts.method, path).filter(|_| self != Self::GreedyRoute);
        match self {
            Self::FunctionUrl => {}
            Self::HttpApi => matched(&mut event, found, "$default"),
            Self::HttpApiDecoded => {
                event["rawPath"] = decoded(path).into();
                matched(&mut event, found, "$default");
            }
            Self::NamedStage => {
                event["rawPath"] = format!("/prod{path}").into();
                event["requestContext"]["stage"] = "prod".into();
                matched(&mut event, found, "$default");
            }
            Self::CustomDomain | Self::GreedyRoute => {
                event["rawPath"] = format!("/v1{path}").into();
                matched(&mut event, found, "ANY /{proxy+}");
                if event["routeKey"] == "ANY /{proxy+}" {
                    event["pathParameters"] = json!({ "proxy": path.strip_prefix('/') });
                }
            }
            Self::RestApi => event = rest(&parts, found, &event),
        }
        Ok(event)
    }

    /// The path as it was asked for, which problems name as their `instance`.
    pub fn path(self, path: &str) -> String {
        match self {
            Self::HttpApiDecoded => decoded(path),
            Self::NamedStage => format!("/prod{path}"),
            Self::CustomDomain | Self::GreedyRoute | Self::RestApi => format!("/v1{path}"),
            Self::FunctionUrl | Self::HttpApi => path.to_owned(),
        }
    }
}

fn matched(event: &mut Value, found: Option<Match>, otherwise: &str) {
    let key = found.as_ref().map_or(otherwise, |found| &found.route_key).to_owned();
    event["requestContext"]["routeKey"] = key.clone().into();
    event["routeKey"] = key.into();
    if let Some(found) = found.filter(|found| !found.parameters.is_empty()) {
        event["pathParameters"] = json!(found.parameters);
    }
}

/// Source: <https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>
fn rest(parts: &Parts, found: Option<Match>, v2: &Value) -> Value {
    let path = parts.uri.path();
    let proxy = || json!({ "proxy": path.strip_prefix('/') });
    let resource =
        found.as_ref().map_or("/{proxy+}", |found| found.route_key.split(' ').nth(1).unwrap_or_default());
    let mut headers: Map<String, Value> = Map::new();
    for (name, value) in &parts.headers {
        // A REST API leaves the case of names as it came.
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
        "requestContext": { "stage": "prod", "path": format!("/v1{path}"), "resourcePath": resource, "httpMethod": parts.method.as_str() },
        "body": v2["body"],
        "isBase64Encoded": v2["isBase64Encoded"],
    })
}

fn decoded(path: &str) -> String {
    // A plus sign is one there.
    let plus = path.replace('+', "%2B");
    form_urlencoded::parse(plus.as_bytes()).map(|(name, _)| name.into_owned()).next().unwrap_or_default()
}
