//! `docs/operations/doctor.md` lists the findings of the code.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use shared::doctor::FaultCode;

use crate::support::project_files::read_text;

#[tokio::test]
async fn page_lists_every_code_with_cause_and_remedy() -> Result<()> {
    let page = read_text("docs/operations/doctor.md")?;
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    for code in FaultCode::ALL {
        let row = format!("| `{code}` | {} | {} |", code.cause(), code.remedy());
        ensure!(rows.contains(&row.as_str()), "the page lacks this row:\n{row}");
    }
    let codes: BTreeSet<&str> = FaultCode::ALL.iter().map(|code| code.as_str()).collect();
    ensure!(codes.len() == FaultCode::ALL.len(), "two codes are equal: {:?}", FaultCode::ALL);
    ensure!(rows.len() == codes.len(), "expected {} rows, found {}", codes.len(), rows.len());
    Ok(())
}
