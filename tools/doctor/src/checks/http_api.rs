//! The routes of the HTTP API, and the functions that they call.

use std::collections::BTreeMap;

use serde_json::Value;
use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::deployment::Deployment;

/// The method of an OpenAPI document that stands for all methods.
const ANY_METHOD: &str = "x-amazon-apigateway-any-method";

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::HttpApi);
    let mut routes = 0;
    for api in deployment.template.resources("AWS::ApiGatewayV2::Api") {
        let expected = expected_routes(&api.properties["Body"]);
        routes += expected.len();
        let actual = match deployment.apis.get(api.id) {
            Some(Ok(actual)) => actual,
            Some(Err(unanswered)) => {
                findings.unanswered(unanswered, FaultCode::HttpApiMissing, api.id);
                continue;
            }
            None => continue,
        };
        for (route, function) in &expected {
            match actual.get(route) {
                None => findings.fault(FaultCode::RouteMissing, route, ""),
                Some(uri) if function_of(uri) != Some(function) => {
                    findings.fault(FaultCode::RouteTargetDiffers, route, format!("expected {function}"));
                }
                Some(_) => {}
            }
        }
        for route in actual.keys().filter(|route| !expected.contains_key(*route)) {
            findings.fault(FaultCode::RouteAdded, route, "");
        }
    }
    findings.finish(format!("{routes} routes"))
}

/// Returns the name of the function of each route in the API's OpenAPI document.
fn expected_routes(body: &Value) -> BTreeMap<String, String> {
    let mut routes = BTreeMap::new();
    for (path, methods) in body["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            let uri = operation["x-amazon-apigateway-integration"]["uri"].as_str().unwrap_or_default();
            let method = if method == ANY_METHOD { "ANY".to_owned() } else { method.to_uppercase() };
            if let Some(function) = function_of(uri) {
                routes.insert(format!("{method} {path}"), function.to_owned());
            }
        }
    }
    routes
}

/// Returns the name of the function in the URI of an integration. API Gateway accepts the
/// function's ARN, and a URI around it.
fn function_of(uri: &str) -> Option<&str> {
    let (_, name) = uri.rsplit_once(":function:")?;
    name.split('/').next()
}
