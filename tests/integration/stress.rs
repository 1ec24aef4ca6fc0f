//! The proving ground at its small size; `cargo soak` is the full one.

use anyhow::{Result, ensure};
use dev_tools::stress;
use dev_tools::stress::Size;

/// One that is known to hold, so that a failure is somebody's doing; what interleaves differs all the same.
const SEED: u64 = 20_261_122;

// TODO pub fn trials() -> Vec<Trial> {
// TODO     stress::TRIALS
// TODO         .iter()
// TODO         .map(|trial| alone(&format!("soak: {}", trial.about), async || hold(trial).await))
// TODO         .collect()
// TODO }

async fn hold(trial: &stress::Trial) -> Result<()> {
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
