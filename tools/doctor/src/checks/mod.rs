//! The checks of a deployed stack. They only compare; what AWS says has been read before.

mod alarms;
mod concurrency;
mod environment;
mod findings;
mod function_urls;
mod functions;
mod http_api;
mod log_groups;
mod queues;
mod schedules;
mod secrets;
mod stack;
#[cfg(test)]
mod tests;

use shared::doctor::{Check, CheckResult, DoctorReport};

use crate::{aws::Unanswered, deployment::Deployment};

/// The checks that compare AWS's answers with the template.
const COMPARISONS: [Check; 10] = [
    Check::Lambda,
    Check::LambdaEnvironment,
    Check::FunctionUrl,
    Check::HttpApi,
    Check::Schedule,
    Check::DeadLetterQueue,
    Check::Alarm,
    Check::Concurrency,
    Check::LogGroup,
    Check::Secret,
];

/// Checks a stack. The report of the deployed doctor comes first.
pub fn check(deployment: &Deployment) -> DoctorReport {
    let mut results = Vec::new();
    let deployed_doctor = stack::deployed_doctor(deployment, &mut results);
    results.extend(stack::check(deployment));
    results.extend(deployed_doctor);
    results.extend(functions::check(deployment));
    results.extend(environment::check(deployment));
    results.extend(function_urls::check(deployment));
    results.extend(http_api::check(deployment));
    results.extend(schedules::check(deployment));
    results.extend(queues::check(deployment));
    results.extend(alarms::check(deployment));
    results.extend(concurrency::check(deployment));
    results.extend(log_groups::check(deployment));
    results.extend(secrets::check(deployment));
    DoctorReport::from_results(results)
}

/// Returns the report if CloudFormation does not describe the stack.
pub fn without_stack(unanswered: &Unanswered) -> DoctorReport {
    let mut results = stack::unanswered(unanswered);
    let others = [Check::DeployedDoctor].into_iter().chain(COMPARISONS);
    results.extend(others.map(|check| CheckResult::blocked_by(check, Check::Stack)));
    DoctorReport::from_results(results)
}
