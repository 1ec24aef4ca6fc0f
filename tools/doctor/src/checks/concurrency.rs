//! The concurrency that functions reserve, and what is left in the account.

use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::deployment::Deployment;

/// The executions that Lambda requires to remain unreserved, unless the account has fewer in all.
const ENOUGH: u64 = 100;

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::Concurrency);
    for resource in deployment.template.resources("AWS::Lambda::Function") {
        let Some(function) = deployment.function(resource.id) else { continue };
        let expected = resource.properties["ReservedConcurrentExecutions"].as_u64();
        let actual = function.concurrency.reserved_concurrent_executions;
        if expected != actual {
            let text =
                |reserved: Option<u64>| reserved.map_or("none".to_owned(), |number| number.to_string());
            let detail = format!("{}, the template has {}", text(actual), text(expected));
            findings.fault(FaultCode::ReservedConcurrencyDiffers, resource.id, detail);
        }
    }
    let mut detail = String::new();
    match &deployment.account {
        Err(unanswered) => findings.unanswered(unanswered, FaultCode::AwsRequestFailed, "account"),
        Ok(account) => {
            let limit = &account.account_limit;
            let (all, free) = (limit.concurrent_executions, limit.unreserved_concurrent_executions);
            detail = format!("{free} of {all} executions are unreserved");
            if free < ENOUGH {
                findings.warning(FaultCode::AccountConcurrencyLow, "account", detail.clone());
            }
        }
    }
    findings.finish(detail)
}
