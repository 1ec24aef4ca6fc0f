//! The stack's own state, and the report of its function `doctor`.

use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::{aws::Unanswered, deployment::Deployment};

/// The version of this doctor, which is that of the functions of the same checkout.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name of the functions' tag with their version.
pub const VERSION_TAG: &str = "Version";

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::Stack);
    let name = &deployment.template.stack.name;
    let status = &deployment.status;
    if status.ends_with("_IN_PROGRESS") {
        findings.warning(FaultCode::StackInProgress, name, status);
    } else if status.ends_with("_FAILED") || status.contains("ROLLBACK") {
        findings.fault(FaultCode::StackFailed, name, status);
    }
    let functions = deployment.template.resources("AWS::Lambda::Function");
    let versions = functions.iter().filter_map(|function| version(&function.properties));
    if let Some(version) = versions.max().filter(|version| *version != VERSION) {
        let detail = format!("the template is of {version}, this doctor of {VERSION}");
        findings.warning(FaultCode::StackVersionDiffers, name, detail);
    }
    findings.finish(format!("{name}, version {VERSION}"))
}

/// Reports that CloudFormation does not describe the stack.
pub fn unanswered(unanswered: &Unanswered) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::Stack);
    findings.unanswered(unanswered, FaultCode::StackMissing, "");
    findings.finish("")
}

/// Adds the report of the deployed doctor, and returns the result of asking for it.
pub fn deployed_doctor(deployment: &Deployment, results: &mut Vec<CheckResult>) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::DeployedDoctor);
    match &deployment.report {
        Ok(Some(report)) => results.extend(report.findings.iter().cloned()),
        Ok(None) => findings.fault(FaultCode::DeployedDoctorFailed, "Doctor", ""),
        // The function is missing, which is a finding of its own.
        Err(unanswered) if unanswered.is_missing() => {
            return vec![CheckResult::blocked_by(Check::DeployedDoctor, Check::Lambda)];
        }
        Err(unanswered) => findings.unanswered(unanswered, FaultCode::LambdaMissing, "Doctor"),
    }
    findings.finish("its report is part of this one")
}

/// Returns the version in the tags of a function's resource.
pub fn version(properties: &serde_json::Value) -> Option<&str> {
    let tags = properties["Tags"].as_array()?;
    tags.iter().find(|tag| tag["Key"] == VERSION_TAG)?["Value"].as_str()
}
