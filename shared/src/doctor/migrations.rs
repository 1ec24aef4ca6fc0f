//! Checks which migrations were applied, and reports each missing one by its file.

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    manifest::Manifest,
    state::DeploymentState,
};

/// Returns one result per missing migration, or one success.
pub(super) fn check(manifest: &Manifest, state: &DeploymentState) -> Vec<CheckResult> {
    let Some(applied) = &state.migrations else {
        let why = "the database keeps no history of migrations (supabase_migrations.schema_migrations); schema compares what they make";
        return vec![CheckResult::skipped(Check::Migrations, why)];
    };
    let is_missing = |file: &&String| file.split('_').next().is_none_or(|version| !applied.contains(version));
    let missing = manifest.migrations.iter().filter(is_missing);
    let findings: Vec<_> = missing
        .map(|file| {
            CheckResult::fault(Check::Migrations, FaultCode::MigrationMissing)
                .subject(format!("migrations/{file}"))
        })
        .collect();
    if findings.is_empty() { vec![CheckResult::ok(Check::Migrations)] } else { findings }
}
