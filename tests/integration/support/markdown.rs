//! Tables and code blocks of Markdown pages.

/// The cells of each row of the table whose first column has this title, without the header.
pub fn table(text: &str, title: &str) -> Vec<Vec<String>> {
    let mut lines = text.lines().skip_while(|line| cells(line).is_none_or(|cells| cells[0] != title));
    let header = lines.next().and_then(cells);
    let separator = 1;
    let rows = lines.skip(separator).map_while(cells);
    header.into_iter().flat_map(|_| rows.clone().collect::<Vec<_>>()).collect()
}

/// The column titles of the table whose first column has this title.
pub fn columns(text: &str, title: &str) -> Vec<String> {
    text.lines().filter_map(cells).find(|cells| cells[0] == title).unwrap_or_default()
}

/// The code blocks in this language.
pub fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == format!("```{language}") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != "```").collect();
            blocks.push(block.join("\n"));
        } else if line.trim_start().starts_with("```") {
            lines.by_ref().find(|line| line.trim() == "```");
        }
    }
    blocks
}

/// The texts between single backticks.
pub fn code_spans(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// A table with these rows. The first one is the header.
pub fn render_table(rows: &[Vec<String>]) -> String {
    render(rows, "---")
}

/// A table whose columns are centred, except the first.
pub fn render_matrix(rows: &[Vec<String>]) -> String {
    render(rows, ":-:")
}

fn render(rows: &[Vec<String>], separator: &str) -> String {
    let line = |cells: &[String]| -> String {
        let cells =
            cells.iter().map(|cell| if cell.is_empty() { " |".to_owned() } else { format!(" {cell} |") });
        format!("|{}\n", cells.collect::<String>())
    };
    let (header, rows) = rows.split_first().map_or((&[][..], rows), |(header, rows)| (&header[..], rows));
    let separators = ["---"].into_iter().chain(std::iter::repeat(separator)).take(header.len());
    let separators: Vec<String> = separators.map(str::to_owned).collect();
    let rows = rows.iter().map(|row| line(row));
    [line(header), line(&separators)].into_iter().chain(rows).collect()
}

/// A text of the code as the content of a cell, in which `<` does not begin a tag.
pub fn escape(text: &str) -> String {
    text.replace('<', "\\<")
}

fn cells(line: &str) -> Option<Vec<String>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(|cell| cell.trim().to_owned()).collect())
}
