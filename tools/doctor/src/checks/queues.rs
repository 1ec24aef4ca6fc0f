//! The queues of failed runs.

use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::deployment::Deployment;

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::DeadLetterQueue);
    let queues = deployment.template.resources("AWS::SQS::Queue");
    for resource in &queues {
        match deployment.queues.get(resource.id) {
            Some(Ok(0)) | None => {}
            Some(Ok(messages)) => {
                let number =
                    if *messages == 1 { "1 message".to_owned() } else { format!("{messages} messages") };
                let oldest = age(deployment, resource.id);
                let oldest =
                    oldest.map_or_else(String::new, |minutes| format!(", the oldest of {minutes} minutes"));
                findings.fault(FaultCode::DeadLettersWaiting, resource.id, number + &oldest);
            }
            Some(Err(unanswered)) => findings.unanswered(unanswered, FaultCode::QueueMissing, resource.id),
        }
    }
    findings.finish(format!("{} queues", queues.len()))
}

/// Returns the age of the oldest message in minutes, as the last value of its metric.
fn age(deployment: &Deployment, id: &str) -> Option<u64> {
    let (_, seconds) = deployment.metrics.as_ref().ok()?.get(id)?.last_key_value()?;
    // Whole seconds, in a number with a fraction.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    Some((seconds / 60.0) as u64)
}
