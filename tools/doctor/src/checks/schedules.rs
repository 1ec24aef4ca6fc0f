//! The schedules, and whether they start their functions.

use serde_json::Value;
use shared::doctor::{Check, CheckResult, FaultCode};

use super::findings::Findings;
use crate::{
    aws::{PERIOD, Schedule},
    deployment::{Deployment, METRIC_SECONDS},
    template::{Resource, differs, to_text},
};

/// Metrics appear after some minutes.
const SHORTEST_WINDOW: i64 = 15 * 60;

/// Intervals without an invocation after which a schedule does not run.
const MISSED_INTERVALS: i64 = 3;

pub fn check(deployment: &Deployment) -> Vec<CheckResult> {
    let mut findings = Findings::new(Check::Schedule);
    let schedules = deployment.template.resources("AWS::Scheduler::Schedule");
    for resource in &schedules {
        match deployment.schedules.get(resource.id) {
            Some(Ok(schedule)) => check_schedule(&mut findings, deployment, resource, schedule),
            Some(Err(unanswered)) => findings.unanswered(unanswered, FaultCode::ScheduleMissing, resource.id),
            None => {}
        }
    }
    findings.finish(format!("{} schedules", schedules.len()))
}

fn check_schedule(
    findings: &mut Findings,
    deployment: &Deployment,
    resource: &Resource<'_>,
    schedule: &Schedule,
) {
    let id = resource.id;
    let expected_state = resource.properties["State"].as_str().unwrap_or("ENABLED");
    if schedule.state != expected_state {
        return findings.fault(FaultCode::ScheduleDisabled, id, format!("State is {}", schedule.state));
    }
    let expected = &resource.properties;
    let expression = Value::String(schedule.schedule_expression.clone());
    let target = &expected["Target"];
    let compared = [
        ("ScheduleExpression", &expected["ScheduleExpression"], &expression),
        ("Target.Arn", &target["Arn"], &schedule.target["Arn"]),
        ("Target.RoleArn", &target["RoleArn"], &schedule.target["RoleArn"]),
        (
            "DeadLetterConfig.Arn",
            &target["DeadLetterConfig"]["Arn"],
            &schedule.target["DeadLetterConfig"]["Arn"],
        ),
    ];
    let different = compared.into_iter().find(|(_, expected, actual)| differs(expected, actual));
    if let Some((name, expected, actual)) = different {
        let detail = format!("{name} is {}, the template has {}", to_text(actual), to_text(expected));
        return findings.fault(FaultCode::ScheduleDiffers, id, detail);
    }
    match &deployment.metrics {
        Err(unanswered) => findings.unanswered(unanswered, FaultCode::AwsRequestFailed, id),
        Ok(metrics) => {
            let window = window(&schedule.schedule_expression);
            let since = deployment.now.as_second() - window;
            let is_new = deployment.updated.get(id).is_none_or(|updated| updated.as_second() > since);
            let invocations = metrics.get(id).into_iter().flatten();
            let has_run = invocations.into_iter().any(|(begin, sum)| begin + PERIOD > since && *sum > 0.0);
            if !is_new && !has_run {
                let detail = format!("no invocation in {} minutes", window / 60);
                findings.fault(FaultCode::ScheduleNotRunning, id, detail);
            }
        }
    }
}

/// Returns the seconds in which a schedule must have started its function. For a `cron` expression,
/// and an interval of a day or more, that is all that was read.
fn window(expression: &str) -> i64 {
    let interval = || {
        let rate = expression.strip_prefix("rate(")?.strip_suffix(')')?;
        let (number, unit) = rate.trim().split_once(' ')?;
        let seconds = match unit.trim().trim_end_matches('s') {
            "minute" => 60,
            "hour" => 60 * 60,
            _ => return None,
        };
        number.parse::<i64>().ok().map(|number| number.saturating_mul(seconds))
    };
    let missed = interval().map_or(METRIC_SECONDS, |interval| interval.saturating_mul(MISSED_INTERVALS));
    missed.clamp(SHORTEST_WINDOW, METRIC_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_is_three_intervals_within_bounds() {
        assert_eq!(window("rate(1 minute)"), 15 * 60);
        assert_eq!(window("rate(10 minutes)"), 30 * 60);
        assert_eq!(window("rate(2 hours)"), 6 * 60 * 60);
        assert_eq!(window("rate(12 hours)"), METRIC_SECONDS);
        assert_eq!(window("rate(1 day)"), METRIC_SECONDS);
        assert_eq!(window("cron(0 3 * * ? *)"), METRIC_SECONDS);
    }
}
