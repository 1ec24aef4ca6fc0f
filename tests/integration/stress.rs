//! The stress tests at their small size. `cargo stress` runs them at full size.

use anyhow::{Context, Result, ensure};
use dev_tools::stress::{self, Size};

/// A fixed seed fixes the requests and faults of a run. Their interleaving still differs.
const SEED: u64 = 20_261_122;

macro_rules! stress_tests {
    ($($name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                check_invariants(stringify!($name)).await
            }
        )*

        /// The names of the tests above.
        const NAMES: &[&str] = &[$(stringify!($name)),*];
    };
}

stress_tests! {
    creations,
    duplicates,
    decisions,
    cancels,
    kills,
    expiry,
    large,
    hostile,
    metrics,
    events,
    deliveries,
    webhook_flood,
    openai_down,
    supabase_down,
    chats,
    stops,
    slow_agents,
    approvals,
    approvals_mutants,
    storm,
}

#[test]
fn every_stress_test_has_a_test_here() {
    let names: Vec<String> = stress::STRESS_TESTS.iter().map(|test| test.name.replace('-', "_")).collect();
    assert_eq!(NAMES, names);
}

/// Runs a stress test and checks each of its measurements.
async fn check_invariants(name: &str) -> Result<()> {
    let test = stress::STRESS_TESTS.iter().find(|test| test.name.replace('-', "_") == name);
    let test = test.with_context(|| format!("no stress test {name}"))?;
    let result = test.run(Size::Small, SEED).await?;
    let violations: Vec<String> = result
        .measurements
        .iter()
        .filter(|measurement| !measurement.passed)
        .map(|measurement| {
            format!("{}: {} instead of {}", measurement.name, measurement.found, measurement.expected)
        })
        .collect();
    ensure!(violations.is_empty(), "{} (history: {})", violations.join("; "), result.log.display());
    Ok(())
}
