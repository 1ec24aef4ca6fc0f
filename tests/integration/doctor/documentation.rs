//! docs/operations/doctor.md says of every finding what it says itself.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, ensure};
use shared::doctor::FaultCode;

// NAME: doctor: docs/operations/doctor.md explains every finding that there is, and no other
#[tokio::test]
async fn explained() -> Result<()> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations/doctor.md");
    let page = fs::read_to_string(page).context("docs/operations/doctor.md")?;
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for code in FaultCode::ALL {
        let row = format!("| `{code}` | {} | {} |", code.cause(), code.remedy());
        ensure!(rows.contains(&row.as_str()), "there is no such row:\n{row}");
    }
    let codes: BTreeSet<&str> = FaultCode::ALL.iter().map(|code| code.as_str()).collect();
    ensure!(
        codes.len() == FaultCode::ALL.len() && rows.len() == codes.len(),
        "{} rows, {} codes",
        rows.len(),
        codes.len()
    );
    Ok(())
}
