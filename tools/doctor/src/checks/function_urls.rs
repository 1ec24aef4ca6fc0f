//! Function URLs, and the permissions on functions.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::{
    aws::{FunctionUrl, Permission},
    deployment::Deployment,
};

/// A URL's mode if the template does not state one.
const DEFAULT_MODE: &str = "BUFFERED";

const INVOKE: &str = "lambda:InvokeFunction";
const INVOKE_URL: &str = "lambda:InvokeFunctionUrl";

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::FunctionUrl);
    let functions = deployment.template.resources("AWS::Lambda::Function");
    let mut compared = 0;
    for url in deployment.template.resources("AWS::Lambda::Url") {
        let target = &url.properties["TargetFunctionArn"];
        let Some(function) = functions.iter().find(|function| target == function.physical_id) else {
            continue;
        };
        let Some(state) = deployment.functions.get(function.id) else { continue };
        match &state.url {
            None => continue,
            Some(Err(unanswered)) => {
                findings.unanswered(unanswered, FaultCode::FunctionUrlMissing, function.id)
            }
            Some(Ok(actual)) => check_url(&mut findings, function.id, &url.properties, actual),
        }
        compared += 1;
    }
    check_permissions(&mut findings, deployment);
    findings.finish_after(Check::Lambda, compared, "URLs")
}

fn check_url(findings: &mut Findings, id: &str, expected: &Value, actual: &FunctionUrl) {
    let auth_type = expected["AuthType"].as_str().unwrap_or_default();
    if auth_type != actual.auth_type {
        let detail = format!("AuthType is {}, the template has {auth_type}", actual.auth_type);
        findings.fault(FaultCode::FunctionUrlAuthDiffers, id, detail);
    }
    let mode = expected["InvokeMode"].as_str().unwrap_or(DEFAULT_MODE);
    // AWS leaves the default out for URLs from before response streaming.
    let actual_mode = if actual.invoke_mode.is_empty() { DEFAULT_MODE } else { &actual.invoke_mode };
    if mode != actual_mode {
        let detail = format!("InvokeMode is {actual_mode}, the template has {mode}");
        findings.fault(FaultCode::InvokeModeDiffers, id, detail);
    }
}

/// Compares the permissions on each function with those of the template, and with those that an
/// open URL needs, even if an old transformation of SAM has left them out.
fn check_permissions(findings: &mut Findings, deployment: &Deployment) {
    let template = &deployment.template;
    let granted = template.resources("AWS::Lambda::Permission");
    let urls = template.resources("AWS::Lambda::Url");
    for function in template.resources("AWS::Lambda::Function") {
        let Some(state) = deployment.functions.get(function.id) else { continue };
        let Ok(_) = &state.function else { continue };
        let actual = match &state.permissions {
            Ok(permissions) => permissions,
            Err(unanswered) => {
                findings.unanswered(unanswered, FaultCode::LambdaMissing, function.id);
                continue;
            }
        };
        let mut expected: BTreeSet<Permission> = granted
            .iter()
            .map(|permission| &permission.properties)
            .filter(|properties| is_of(&properties["FunctionName"], function.physical_id))
            .map(from_properties)
            .collect();
        let url = urls.iter().find(|url| url.properties["TargetFunctionArn"] == function.physical_id);
        if url.is_some_and(|url| url.properties["AuthType"] == "NONE") {
            expected.extend(open_url_permissions());
        }
        for missing in expected.iter().filter(|permission| !actual.contains(permission)) {
            let (code, detail) = missing_permission(missing);
            findings.fault(code, function.id, detail);
        }
        for added in actual.iter().filter(|permission| !expected.contains(permission)) {
            let detail = format!("{} for {}", added.action, added.principal);
            findings.fault(FaultCode::LambdaPermissionAdded, function.id, detail);
        }
    }
}

/// Source: <https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html>
fn open_url_permissions() -> [Permission; 2] {
    let of = |action: &str| Permission {
        principal: "*".to_owned(),
        action: action.to_owned(),
        ..Permission::default()
    };
    [
        Permission { url_auth_type: Some("NONE".to_owned()), ..of(INVOKE_URL) },
        Permission { via_url_only: true, ..of(INVOKE) },
    ]
}

fn missing_permission(permission: &Permission) -> (FaultCode, String) {
    let detail = format!("{} for {}", permission.action, permission.principal);
    match permission.action.as_str() {
        INVOKE_URL => (FaultCode::UrlPermissionMissing, detail),
        _ if permission.via_url_only => (FaultCode::UrlInvokePermissionMissing, detail),
        _ => {
            let from = permission.source_arn.as_deref().unwrap_or_default();
            (FaultCode::RoutePermissionMissing, format!("{detail} from {from}"))
        }
    }
}

/// Reads a permission of the template.
fn from_properties(properties: &Value) -> Permission {
    let text = |name: &str| properties[name].as_str().map(str::to_owned);
    Permission {
        principal: text("Principal").unwrap_or_default(),
        action: text("Action").unwrap_or_default(),
        source_arn: text("SourceArn"),
        url_auth_type: text("FunctionUrlAuthType"),
        via_url_only: properties["InvokedViaFunctionUrl"] == true,
        has_other_conditions: false,
    }
}

/// Returns whether a name or an ARN is that of the function.
fn is_of(name: &Value, function: &str) -> bool {
    name.as_str().is_some_and(|name| name.rsplit(':').next() == Some(function))
}
