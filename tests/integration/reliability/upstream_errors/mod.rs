//! Every row of docs/reference/upstream-errors.md is played to the functions: what passes is repeated, the rest is answered with the code that the
//! page says, and nobody is blamed who is not named there.

mod openai;
mod supabase;

use anyhow::{Context, Result, ensure};

use crate::support::markdown;
use crate::support::project_files::text;

/// A row of the page.
#[derive(Clone, Debug)]
struct Row {
    speaker: String,
    /// The first and the last status of each range; none for any.
    statuses: Vec<u16>,
    /// With something in the place of a `*`.
    codes: Vec<String>,
    says: String,
    as_user: Option<bool>,
    cause: String,
    passes: bool,
    is_done: bool,
    /// None where the answer itself has the code.
    answer: Option<(u16, String)>,
}

/// The rows of a section's table.
fn rows(section: &str) -> Result<Vec<Row>> {
    let page = text("docs/reference/upstream-errors.md")?;
    let (_, from) = page.split_once(&format!("\n## {section}\n")).with_context(|| format!("no {section}"))?;
    let rows = markdown::table(from, "response from").into_iter().map(|cells| row(&cells));
    let rows: Vec<Row> = rows.collect::<Result<_>>()?;
    ensure!(rows.len() > 15, "{} rows of {section}", rows.len());
    Ok(rows)
}

fn row(cells: &[String]) -> Result<Row> {
    let [speaker, statuses, codes, says, asked, cause, passes, done, _, answer] = cells else {
        anyhow::bail!("other columns: {cells:?}")
    };
    let numbers = statuses.split(['–', ',']).filter_map(|number| number.trim().parse().ok());
    let codes = markdown::quoted(codes).into_iter().map(|code| match code {
        "PT*" => "PT409".to_owned(),
        pattern => pattern.replace('*', &"000"[..5_usize.saturating_sub(pattern.len() - 1).min(3)]),
    });
    let answer = answer
        .split_once(' ')
        .and_then(|(status, code)| Some((status.parse().ok()?, code.trim_matches('`').to_owned())));
    Ok(Row {
        speaker: speaker.clone(),
        statuses: numbers.collect(),
        codes: codes.collect(),
        says: says.trim_matches('"').to_owned(),
        as_user: match asked.as_str() {
            "user's token" => Some(true),
            "our key" => Some(false),
            _ => None,
        },
        cause: cause.clone(),
        passes: passes == "yes",
        is_done: done != "no",
        answer,
    })
}

impl Row {
    /// Each status with each code that the row names; those of a row that names none are these.
    fn answers(&self, status: u16, code: &str) -> Vec<(u16, String)> {
        let statuses = if self.statuses.is_empty() { vec![status] } else { self.statuses.clone() };
        let codes = if self.codes.is_empty() { vec![code.to_owned()] } else { self.codes.clone() };
        statuses.iter().flat_map(|status| codes.iter().map(|code| (*status, code.clone()))).collect()
    }

    fn message(&self) -> &str {
        if self.says == "any" { "Something went wrong" } else { &self.says }
    }
}
