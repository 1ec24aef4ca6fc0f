//! Every row of docs/reference/upstream-errors.md as a response of OpenAI, Supabase or the model's
//! server: transient errors are retried, and other errors return the code of the row.

mod model;
mod openai;
mod supabase;

use anyhow::{Context, Result, ensure};

use crate::support::markdown;
use crate::support::project_files::read_text;

/// A row of the page's tables.
#[derive(Clone, Debug)]
struct Row {
    responder: String,
    /// The first and the last status of each range. Empty if the row applies to any status.
    statuses: Vec<u16>,
    /// Each `*` is replaced by a character.
    codes: Vec<String>,
    text: String,
    as_user: Option<bool>,
    cause: String,
    is_transient: bool,
    may_be_done: bool,
    /// Status and code that callers receive. `None` if the upstream response contains the code.
    expected: Option<(u16, String)>,
}

/// Reads the table of a section.
fn rows(section: &str) -> Result<Vec<Row>> {
    let page = read_text("docs/reference/upstream-errors.md")?;
    let (_, from) = page.split_once(&format!("\n## {section}\n")).with_context(|| format!("no {section}"))?;
    let rows = markdown::table(from, "response from").into_iter().map(|cells| row(&cells));
    let rows: Vec<Row> = rows.collect::<Result<_>>()?;
    ensure!(rows.len() > 15, "expected more than 15 rows of {section}, found {}", rows.len());
    Ok(rows)
}

fn row(cells: &[String]) -> Result<Row> {
    let [responder, statuses, codes, text, key, cause, transient, done, _, expected] = cells else {
        anyhow::bail!("unexpected columns: {cells:?}")
    };
    let numbers = statuses.split(['–', ',']).filter_map(|number| number.trim().parse().ok());
    let codes = markdown::code_spans(codes).into_iter().map(|code| match code {
        "PT*" => "PT409".to_owned(),
        pattern => pattern.replace('*', &"000"[..5_usize.saturating_sub(pattern.len() - 1).min(3)]),
    });
    let expected = expected
        .split_once(' ')
        .and_then(|(status, code)| Some((status.parse().ok()?, code.trim_matches('`').to_owned())));
    Ok(Row {
        responder: responder.clone(),
        statuses: numbers.collect(),
        codes: codes.collect(),
        text: text.trim_matches('"').to_owned(),
        as_user: match key.as_str() {
            "user's token" => Some(true),
            "our key" => Some(false),
            _ => None,
        },
        cause: cause.clone(),
        is_transient: transient == "yes",
        may_be_done: done != "no",
        expected,
    })
}

impl Row {
    /// Combines each status with each code of the row. The arguments replace missing ones.
    fn responses(&self, status: u16, code: &str) -> Vec<(u16, String)> {
        let statuses = if self.statuses.is_empty() { vec![status] } else { self.statuses.clone() };
        let codes = if self.codes.is_empty() { vec![code.to_owned()] } else { self.codes.clone() };
        statuses.iter().flat_map(|status| codes.iter().map(|code| (*status, code.clone()))).collect()
    }

    fn message(&self) -> &str {
        if self.text == "any" { "Something went wrong" } else { &self.text }
    }
}
