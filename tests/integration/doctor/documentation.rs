//! The findings of `docs/operations/doctor.md`, from the code.

use anyhow::{Result, ensure};
use shared::doctor::FaultCode;

use crate::support::generated_docs::check_generated;
use crate::support::markdown;

/// The headings of the page, each with the first code below it.
const HEADINGS: [(&str, FaultCode); 8] = [
    ("Configuration", FaultCode::VariableMissing),
    ("Supabase", FaultCode::SupabaseUnreachable),
    ("Keys, tokens, clocks", FaultCode::PublishableKeyRejected),
    ("Migrations", FaultCode::DeploymentStateMissing),
    ("Schema", FaultCode::SchemaOpen),
    ("ChatKit", FaultCode::ChatkitKeyRejected),
    ("Agents", FaultCode::AgentUrlRefused),
    ("Approvers", FaultCode::ApproversTooFew),
];

#[tokio::test]
async fn list_of_findings_is_generated() -> Result<()> {
    let mut sections: Vec<(&str, Vec<Vec<String>>)> = Vec::new();
    for code in FaultCode::ALL {
        if let Some((heading, _)) = HEADINGS.iter().find(|(_, first)| first == code) {
            let titles = ["code", "likely cause", "what to do"].map(str::to_owned).to_vec();
            sections.push((heading, vec![titles]));
        }
        let (cause, remedy) = (markdown::escape(code.cause()), markdown::escape(code.remedy()));
        if let Some((_, rows)) = sections.last_mut() {
            rows.push(vec![format!("`{code}`"), cause, remedy]);
        }
    }
    let rows: usize = sections.iter().map(|(_, rows)| rows.len() - 1).sum();
    ensure!(rows == FaultCode::ALL.len(), "expected {} rows, found {rows}", FaultCode::ALL.len());
    let sections =
        sections.iter().map(|(title, rows)| format!("### {title}\n\n{}", markdown::render_table(rows)));
    check_generated("docs/operations/doctor.md", "findings", &sections.collect::<Vec<_>>().join("\n"))
}
