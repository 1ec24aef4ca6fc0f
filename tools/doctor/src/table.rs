//! Renders a report as text: one line for a check that passed; for a fault or a warning, the cause
//! and the remedy on the lines below it.

use shared::doctor::{CheckResult, CheckStatus, DoctorReport};

/// Width of the column with the name of the check.
const WIDTH: usize = 18;

pub fn text(report: &DoctorReport) -> String {
    let mut lines: Vec<String> = report.findings.iter().flat_map(lines).collect();
    let skipped = report.findings.iter().filter(|finding| finding.status == CheckStatus::Skipped).count();
    let warnings = match report.warnings {
        0 => String::new(),
        1 => "1 warning, ".to_owned(),
        warnings => format!("{warnings} warnings, "),
    };
    lines.push(String::new());
    lines.push(match (report.faults, skipped) {
        (0, 0) if warnings.is_empty() => "All is well.".to_owned(),
        (0, skipped) => format!("Nothing is wrong; {warnings}{skipped} skipped."),
        (faults, skipped) => {
            format!(
                "{faults} wrong, {warnings}{skipped} skipped. Correct the faults and run the doctor again."
            )
        }
    });
    lines.join("\n")
}

fn lines(finding: &CheckResult) -> Vec<String> {
    let about = finding.about.as_deref().unwrap_or_default();
    let first = |mark: &str, more: &str| {
        let more = [about, more].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("  ");
        format!("{mark}  {:<WIDTH$}  {more}", finding.check.as_str()).trim_end().to_owned()
    };
    let below = |text: String| format!("      {:<WIDTH$}  {text}", "");
    let detail = finding.detail.as_deref().unwrap_or_default();
    let cause = finding.cause.as_deref().unwrap_or_default();
    match finding.status {
        CheckStatus::Ok => vec![first("ok  ", detail)],
        CheckStatus::Skipped => vec![first("–   ", &format!("skipped: {cause}"))],
        CheckStatus::Fault | CheckStatus::Warning => {
            let mark = if finding.is_fault() { "FAIL" } else { "warn" };
            let mut lines = vec![first(mark, finding.code.map(|code| code.as_str()).unwrap_or_default())];
            lines.extend(
                [detail, cause]
                    .into_iter()
                    .filter(|text| !text.is_empty())
                    .map(|text| below(text.to_owned())),
            );
            lines.extend(finding.remedy.map(|remedy| below(format!("→ {remedy}"))));
            lines
        }
    }
}
