//! Compares the database with what the migrations define. Objects that they do not define,
//! for example another application's tables in the same project, are ignored. Additions to
//! our own tables are not.

use std::collections::BTreeSet;

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    manifest::Manifest,
    state::{DatabaseSchema, DatabaseTable, DeploymentState, Function},
};

/// Returns one result per difference, or one success.
pub(super) fn check(manifest: &Manifest, state: &DeploymentState) -> Vec<CheckResult> {
    let findings = differences(&manifest.schema, &state.schema);
    if findings.is_empty() { vec![CheckResult::ok(Check::Schema)] } else { findings }
}

fn differences(expected: &DatabaseSchema, found: &DatabaseSchema) -> Vec<CheckResult> {
    let mut findings = Vec::new();
    for role in found.private_usage.difference(&expected.private_usage) {
        findings.push(
            fault(FaultCode::SchemaOpen, "chatkit_private").detail(format!("usage is granted to {role}")),
        );
    }
    for role in expected.private_usage.difference(&found.private_usage) {
        findings.push(
            fault(FaultCode::SchemaClosed, "chatkit_private")
                .detail(format!("usage is not granted to {role}")),
        );
    }
    for (name, table) in &expected.tables {
        let name = format!("public.{name}");
        match found.tables.get(name.trim_start_matches("public.")) {
            Some(there) => tables(&name, table, there, &mut findings),
            None => findings.push(fault(FaultCode::TableMissing, &name)),
        }
    }
    for (name, function) in &expected.functions {
        match found.functions.get(name) {
            Some(there) => functions(name, function, there, &mut findings),
            None => findings.push(fault(FaultCode::FunctionMissing, name)),
        }
    }
    findings
}

fn tables(name: &str, expected: &DatabaseTable, found: &DatabaseTable, findings: &mut Vec<CheckResult>) {
    if expected.row_level_security && !found.row_level_security {
        findings.push(fault(FaultCode::RlsOff, name));
    }
    for (policy, says) in &expected.policies {
        let code = match found.policies.get(policy) {
            Some(there) if there == says => continue,
            Some(_) => FaultCode::PolicyChanged,
            None => FaultCode::PolicyMissing,
        };
        findings.push(fault(code, name).detail(format!("the policy \"{policy}\"")));
    }
    // A restrictive policy lets no role see more, so an operator may add one. Rows that it
    // hides cannot be written either.
    let added = found
        .policies
        .iter()
        .filter(|(policy, says)| !expected.policies.contains_key(*policy) && says.permissive);
    for (policy, _) in added {
        findings.push(fault(FaultCode::PolicyAdded, name).detail(format!("the policy \"{policy}\"")));
    }
    findings.extend(granted(FaultCode::GrantAdded, name, &found.grants, &expected.grants));
    findings.extend(granted(FaultCode::GrantMissing, name, &expected.grants, &found.grants));
    for trigger in expected.triggers.keys() {
        let code = match found.triggers.get(trigger) {
            Some(true) => continue,
            Some(false) => FaultCode::TriggerDisabled,
            None => FaultCode::TriggerMissing,
        };
        findings.push(fault(code, name).detail(format!("the trigger {trigger}")));
    }
}

fn functions(name: &str, expected: &Function, found: &Function, findings: &mut Vec<CheckResult>) {
    let same = expected.security_definer == found.security_definer
        && expected.settings == found.settings
        && expected.body == found.body;
    if !same {
        findings.push(fault(FaultCode::FunctionChanged, name));
    }
    findings.extend(granted(FaultCode::FunctionOpen, name, &found.execute, &expected.execute));
    findings.extend(granted(FaultCode::FunctionClosed, name, &expected.execute, &found.execute));
}

/// Returns one result for all entries of `those` that are not in `others`: they were
/// probably granted in one statement.
fn granted(
    code: FaultCode,
    name: &str,
    those: &BTreeSet<String>,
    others: &BTreeSet<String>,
) -> Option<CheckResult> {
    let only: Vec<&str> = those.difference(others).map(String::as_str).collect();
    (!only.is_empty()).then(|| fault(code, name).detail(only.join(", ")))
}

fn fault(code: FaultCode, about: &str) -> CheckResult {
    CheckResult::fault(Check::Schema, code).subject(about)
}
