//! The proving ground at its small size; `cargo soak` is the full one.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use local_stack::soak::{self, Size};

use crate::harness::alone;

/// One that is known to hold, so that a failure is somebody's doing; what interleaves differs all the same.
const SEED: u64 = 20_261_122;

pub fn trials() -> Vec<Trial> {
    soak::TRIALS
        .iter()
        .map(|trial| alone(&format!("soak: {}", trial.about), async || hold(trial).await))
        .collect()
}

async fn hold(trial: &soak::Trial) -> Result<()> {
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
