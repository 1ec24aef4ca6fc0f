//! The proving ground at its small size; `cargo soak` is the full one.

use anyhow::{Context, Result, ensure};
use dev_tools::stress;
use dev_tools::stress::Size;

/// One that is known to hold, so that a failure is somebody's doing; what interleaves differs all the same.
const SEED: u64 = 20_261_122;

macro_rules! stress_tests {
    ($($name:ident,)*) => {
        $(
            #[tokio::test]
            async fn $name() -> Result<()> {
                hold(stringify!($name)).await
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
    openai_down,
    supabase_down,
    approvals,
    approvals_mutants,
    storm,
}

#[test]
fn every_stress_test_has_a_test_here() {
    let names: Vec<String> = stress::TRIALS.iter().map(|test| test.name.replace('-', "_")).collect();
    assert_eq!(NAMES, names);
}

async fn hold(name: &str) -> Result<()> {
    let trial = stress::TRIALS.iter().find(|trial| trial.name.replace('-', "_") == name);
    let trial = trial.context("there is no such stress test")?;
    let found = trial.run(Size::Small, SEED).await?;
    let broken: Vec<String> = found
        .figures
        .iter()
        .filter(|figure| !figure.holds)
        .map(|figure| format!("{}: {} instead of {}", figure.what, figure.found, figure.promised))
        .collect();
    ensure!(broken.is_empty(), "{} (history: {})", broken.join("; "), found.history.display());
    Ok(())
}
