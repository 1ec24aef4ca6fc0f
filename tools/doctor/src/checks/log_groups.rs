//! The log groups, and how long they keep their lines.

use serde_json::Value;
use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::{
    deployment::Deployment,
    template::{differs, to_text},
};

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::LogGroup);
    let expected = deployment.template.resources("AWS::Logs::LogGroup");
    match &deployment.log_groups {
        Err(unanswered) => findings.unanswered(unanswered, FaultCode::LogGroupMissing, ""),
        Ok(groups) => {
            for resource in &expected {
                let days = &resource.properties["RetentionInDays"];
                match groups.get(resource.physical_id) {
                    None => findings.fault(FaultCode::LogGroupMissing, resource.id, resource.physical_id),
                    Some(actual) if differs(days, &actual.map_or(Value::Null, Value::from)) => {
                        let actual = actual.map_or("for ever".to_owned(), |days| format!("for {days} days"));
                        let detail = format!("kept {actual}, the template has {} days", to_text(days));
                        findings.fault(FaultCode::LogRetentionDiffers, resource.id, detail);
                    }
                    Some(_) => {}
                }
            }
        }
    }
    findings.finish(format!("{} groups", expected.len()))
}
