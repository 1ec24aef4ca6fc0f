//! Each fault of a stack is found with its cause, and nothing else.

mod fixture;
mod function_cases;
mod resource_cases;

use serde_json::{Value, json};
use shared::{
    doctor::{CheckStatus, FaultCode as Code},
    platform::secret::Secret,
};

use super::{check, without_stack};
use crate::{
    aws::{Function, Permission, Reason, Unanswered},
    deployment::{Deployment, FunctionState},
};
use fixture::{EXPIRE, OPEN, STREAM, time};
use function_cases::{FUNCTIONS, STACK, URLS_AND_ROUTES};
use resource_cases::{ALARMS_LOGS_AND_SECRETS, SCHEDULES_AND_QUEUES};

/// What happens to a stack, and the only finding of it: its check, code, subject and a part of its
/// detail.
type Case = (fn(&mut Deployment), &'static str, Code, &'static str, &'static str);

fn state<'a>(deployment: &'a mut Deployment, id: &str) -> &'a mut FunctionState {
    deployment.functions.get_mut(id).unwrap()
}

fn function<'a>(deployment: &'a mut Deployment, id: &str) -> &'a mut Function {
    state(deployment, id).function.as_mut().ok().unwrap()
}

fn set(deployment: &mut Deployment, id: &str, pointer: &str, value: Value) {
    *function(deployment, id).configuration.pointer_mut(pointer).unwrap() = value;
}

fn permissions<'a>(deployment: &'a mut Deployment, id: &str) -> &'a mut Vec<Permission> {
    state(deployment, id).permissions.as_mut().ok().unwrap()
}

fn unanswered(action: &'static str, reason: Reason) -> Unanswered {
    Unanswered { action, reason }
}

fn missing() -> Unanswered {
    unanswered("lambda:GetFunction", Reason::Missing)
}

fn denied(action: &'static str) -> Unanswered {
    unanswered(action, Reason::Denied)
}

const VARIABLES: &str = "/Environment/Variables";

fn alarm(deployment: &mut Deployment) -> &mut Value {
    deployment.alarms.as_mut().unwrap().values_mut().next().unwrap()
}

fn secret(deployment: &mut Deployment, id: &str, answer: Result<Secret, Unanswered>) {
    deployment.secrets.insert(id.to_owned(), answer);
}

#[test]
fn deployment_without_faults_has_no_finding() {
    let report = check(&fixture::deployment());
    let json = serde_json::to_string_pretty(&report).unwrap();
    assert!(report.findings.iter().all(|finding| finding.status == CheckStatus::Ok), "{json}");
    // One result each of the 12 checks, and one in the report of the deployed doctor.
    assert_eq!(report.findings.len(), 13, "{json}");
}

#[test]
fn each_fault_is_the_only_finding_and_quotes_no_secret() {
    let cases =
        [&STACK[..], &FUNCTIONS, &URLS_AND_ROUTES, &SCHEDULES_AND_QUEUES, &ALARMS_LOGS_AND_SECRETS].concat();
    for (inject, check_name, code, subject, detail) in cases {
        let mut deployment = fixture::deployment();
        inject(&mut deployment);
        let report = check(&deployment);
        let json = serde_json::to_string_pretty(&report).unwrap();
        let findings: Vec<_> =
            report.findings.iter().filter(|finding| finding.status != CheckStatus::Ok).collect();
        let [finding] = findings[..] else { panic!("{code} {subject}: expected one finding: {json}") };
        let found = (finding.check.as_str(), finding.code, finding.about.as_deref());
        assert_eq!(found, (check_name, Some(code), Some(subject)), "{json}");
        assert!(finding.detail.as_deref().is_some_and(|text| text.contains(detail)), "{detail}: {json}");
        assert_eq!(finding.cause.as_deref(), Some(code.cause()), "{json}");
        assert_eq!(finding.remedy, Some(code.remedy()), "{json}");
        assert!(!json.contains("c4n4ry"), "{json}");
    }
}

#[test]
fn recently_deployed_schedule_may_not_have_run_yet() {
    let mut deployment = fixture::deployment();
    deployment.metrics.as_mut().unwrap().clear();
    deployment.updated.insert("Tick".to_owned(), time("2026-11-27T19:50:00Z"));
    assert!(check(&deployment).healthy);
    deployment.updated.insert("Tick".to_owned(), time("2026-11-27T19:40:00Z"));
    assert!(!check(&deployment).healthy);
}

#[test]
fn secret_of_run_time_is_not_compared_with_the_variable() {
    let mut deployment = fixture::deployment();
    let reference = json!("secretsmanager:chat/secret-key");
    for id in [OPEN, STREAM, EXPIRE] {
        let pointer = format!("{VARIABLES}/SUPABASE_SECRET_KEY");
        deployment.template.body["Resources"][id]["Properties"]["Environment"]["Variables"]["SUPABASE_SECRET_KEY"] =
            reference.clone();
        set(&mut deployment, id, &pointer, reference.clone());
    }
    secret(
        &mut deployment,
        "chat/secret-key",
        Ok(Secret::new("sb_secret_of-tomorrow-0123456789-0123456789")),
    );
    assert!(check(&deployment).healthy);
    secret(&mut deployment, "chat/secret-key", Ok(Secret::new("postgres://")));
    let report = check(&deployment);
    let codes: Vec<_> = report.findings.iter().filter_map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::SecretInvalid]);
}

#[test]
fn checks_are_skipped_if_the_stack_is_missing() {
    for (reason, code) in [
        (Reason::Missing, Code::StackMissing),
        (Reason::Denied, Code::AwsAccessDenied),
        (Reason::CredentialsRejected, Code::AwsCredentialsRejected),
    ] {
        let report = without_stack(&unanswered("cloudformation:DescribeStacks", reason));
        assert_eq!(report.findings[0].code, Some(code));
        let others = &report.findings[1..];
        assert!(others.iter().all(|finding| finding.status == CheckStatus::Skipped), "{others:?}");
        assert_eq!((report.healthy, others.len()), (false, 11));
    }
}
