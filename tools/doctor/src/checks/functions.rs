//! The code and the settings of each function.

use serde_json::Value;
use shared::doctor::{Check, CheckResult, FaultCode};

use super::{environment, findings::Findings, secrets, stack};
use crate::{
    aws::{Function, Reason, Unanswered},
    deployment::Deployment,
    template::{Resource, differs, to_text},
};

/// Settings at the top of a function's configuration, besides those with a finding of their own.
const SETTINGS: [&str; 4] = ["Runtime", "Handler", "Role", "Description"];

/// Settings of a function's log.
const LOG_SETTINGS: [&str; 4] = ["LogFormat", "ApplicationLogLevel", "SystemLogLevel", "LogGroup"];

/// Seconds between the last update of a function and the end of its deployment in CloudFormation.
const DEPLOYMENT_SECONDS: i64 = 60;

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::Lambda);
    let functions = deployment.template.resources("AWS::Lambda::Function");
    for resource in &functions {
        let Some(state) = deployment.functions.get(resource.id) else { continue };
        match &state.function {
            Err(unanswered) => findings.unanswered(unanswered, FaultCode::LambdaMissing, resource.id),
            Ok(function) => {
                check_function(&mut findings, deployment, resource, function);
            }
        }
    }
    findings.finish(format!("{} functions", functions.len()))
}

fn check_function(
    findings: &mut Findings,
    deployment: &Deployment,
    resource: &Resource<'_>,
    function: &Function,
) {
    let id = resource.id;
    if let Some(reason) = unusable_state(function) {
        return findings.fault(FaultCode::LambdaNotActive, id, reason);
    }
    check_version(findings, resource, function);
    let differences = differences(&resource.properties, function);
    let is_as_deployed = differences.is_empty()
        && environment::differences(resource, function).is_empty()
        && !secrets::has_outdated(deployment, resource);
    for (code, detail) in differences {
        findings.fault(code, id, detail);
    }
    // An update that changed a setting has a finding already.
    let updated = deployment.updated.get(id);
    if let (Some(modified), Some(updated), true) = (function.modified(), updated, is_as_deployed)
        && modified.as_second() > updated.as_second() + DEPLOYMENT_SECONDS
    {
        let detail = format!("updated at {modified}, deployed at {updated}");
        findings.fault(FaultCode::LambdaCodeReplaced, id, detail);
    }
}

fn check_version(findings: &mut Findings, resource: &Resource<'_>, function: &Function) {
    let Some(expected) = stack::version(&resource.properties) else { return };
    let version = function.tags.get(stack::VERSION_TAG).map(String::as_str);
    if function.tags_error.is_some() {
        let denied = Unanswered { action: "lambda:ListTags", reason: Reason::Denied };
        findings.unanswered(&denied, FaultCode::LambdaMissing, resource.id);
    } else if version != Some(expected) {
        let has = version.map_or("no version".to_owned(), |version| format!("version {version}"));
        let detail = format!("it has {has}, the template {expected}");
        findings.fault(FaultCode::LambdaVersionDiffers, resource.id, detail);
    }
}

/// Returns why Lambda does not run the function. A function that was not called for weeks is
/// `Inactive`, and starts at the next call.
fn unusable_state(function: &Function) -> Option<String> {
    let reason = |name: &str| function.setting(name).as_str().unwrap_or("no reason");
    if function.setting("State") == "Failed" {
        Some(format!("State is Failed: {}", reason("StateReasonCode")))
    } else if function.setting("LastUpdateStatus") == "Failed" {
        Some(format!("LastUpdateStatus is Failed: {}", reason("LastUpdateStatusReasonCode")))
    } else {
        None
    }
}

fn differences(expected: &Value, function: &Function) -> Vec<(FaultCode, String)> {
    let log = function.setting("LoggingConfig");
    let architecture = (&expected["Architectures"][0], &function.setting("Architectures")[0]);
    let own = [
        (FaultCode::LambdaArchitectureDiffers, "Architectures", architecture),
        (
            FaultCode::LambdaMemoryDiffers,
            "MemorySize",
            (&expected["MemorySize"], function.setting("MemorySize")),
        ),
        (FaultCode::LambdaTimeoutDiffers, "Timeout", (&expected["Timeout"], function.setting("Timeout"))),
    ];
    let settings = SETTINGS
        .map(|name| (FaultCode::LambdaSettingDiffers, name, (&expected[name], function.setting(name))));
    let log_settings = LOG_SETTINGS
        .map(|name| (FaultCode::LambdaSettingDiffers, name, (&expected["LoggingConfig"][name], &log[name])));
    let all = own.into_iter().chain(settings).chain(log_settings);
    let different = all.filter(|(_, _, (expected, actual))| differs(expected, actual));
    different
        .map(|(code, name, (expected, actual))| {
            (code, format!("{name} is {}, the template has {}", to_text(actual), to_text(expected)))
        })
        .collect()
}
