//! The alarms, and their state.

use std::collections::BTreeSet;

use serde_json::Value;
use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::{
    deployment::Deployment,
    template::{differs, to_text},
};

const SETTINGS: [&str; 10] = [
    "Namespace",
    "MetricName",
    "Statistic",
    "ExtendedStatistic",
    "Period",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
];

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::Alarm);
    let expected = deployment.template.resources("AWS::CloudWatch::Alarm");
    match &deployment.alarms {
        Err(unanswered) => findings.unanswered(unanswered, FaultCode::AlarmMissing, ""),
        Ok(alarms) => {
            for resource in &expected {
                match alarms.get(resource.physical_id) {
                    None => findings.fault(FaultCode::AlarmMissing, resource.id, ""),
                    Some(alarm) => check_alarm(&mut findings, resource.id, &resource.properties, alarm),
                }
            }
        }
    }
    findings.finish(format!("{} alarms", expected.len()))
}

fn check_alarm(findings: &mut Findings, id: &str, expected: &Value, alarm: &Value) {
    if alarm["StateValue"] == "ALARM" {
        let description = alarm["AlarmDescription"].as_str().unwrap_or_default();
        findings.fault(FaultCode::AlarmActive, id, description);
    }
    if alarm["ActionsEnabled"] == false && expected["ActionsEnabled"] != false {
        findings.fault(FaultCode::AlarmActionsDisabled, id, "");
    }
    let setting = SETTINGS.into_iter().find(|name| differs(&expected[name], &alarm[name]));
    if let Some(name) = setting {
        let (actual, expected) = (to_text(&alarm[name]), to_text(&expected[name]));
        findings.fault(
            FaultCode::AlarmDiffers,
            id,
            format!("{name} is {actual}, the template has {expected}"),
        );
    } else if targets(&expected["AlarmActions"]) != targets(&alarm["AlarmActions"]) {
        findings.fault(FaultCode::AlarmDiffers, id, "AlarmActions are not those of the template");
    }
}

fn targets(actions: &Value) -> BTreeSet<&str> {
    actions.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}
