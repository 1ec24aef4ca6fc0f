//! The variables of each function. No finding has a value.

use std::collections::BTreeSet;

use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::{
    aws::Function,
    deployment::Deployment,
    secrets::SecretReference,
    template::{Resource, to_text},
};

/// The largest size of a function's variables. Lambda counts them as JSON.
/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html>
const LIMIT: usize = 4096;

/// The share of the limit from which there is a warning.
const WARNING_PERCENT: usize = 90;

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::LambdaEnvironment);
    let mut compared = 0;
    for resource in deployment.template.resources("AWS::Lambda::Function") {
        let Some(function) = deployment.function(resource.id) else { continue };
        compared += 1;
        let Some(variables) = function.variables() else {
            findings.fault(FaultCode::LambdaEnvironmentUnreadable, resource.id, "");
            continue;
        };
        for difference in differences(&resource, function) {
            findings.fault(FaultCode::LambdaVariableDiffers, resource.id, difference);
        }
        let size = serde_json::to_string(&variables).map_or(0, |json| json.len());
        if size * 100 > LIMIT * WARNING_PERCENT {
            let detail = format!("{size} of {LIMIT} bytes");
            findings.warning(FaultCode::LambdaEnvironmentNearLimit, resource.id, detail);
        }
    }
    findings.finish_after(Check::Lambda, compared, "functions")
}

/// Compares the variables with the template, except those that CloudFormation copies from a secret.
pub fn differences(resource: &Resource<'_>, function: &Function) -> Vec<String> {
    let expected = &resource.properties["Environment"]["Variables"];
    let Some(actual) = function.variables() else { return Vec::new() };
    let declared = expected.as_object().into_iter().flatten().map(|(name, _)| name);
    let names: BTreeSet<&String> = declared.chain(actual.keys()).collect();
    let difference = |name: &String| {
        let expected = &expected[name.as_str()];
        let text = to_text(expected);
        let is_copied = SecretReference::parse(&text).is_some_and(|reference| reference.is_copied);
        let actual = actual.get(name).map(String::as_str).unwrap_or_default();
        let is_unknown =
            expected.is_null() && resource.properties["Environment"]["Variables"].get(name).is_some();
        match (text.as_str(), actual) {
            (expected, actual) if expected == actual || is_copied && !actual.is_empty() || is_unknown => None,
            ("", _) => Some(format!("{name} is set, and the template does not set it")),
            (_, "") => Some(format!("{name} is not set")),
            _ => Some(format!("{name} has another value")),
        }
    };
    names.into_iter().filter_map(difference).collect()
}
