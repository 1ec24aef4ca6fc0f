//! Sections of the documentation that are generated from the code.

use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};

use super::project_files::{read_text, root};

/// Several tests may write sections of one page at the same time.
static PAGES: Mutex<()> = Mutex::new(());

/// The maximum number of differing lines that an error quotes from the page and from the code.
const MAX_QUOTED_LINES: usize = 5;

/// Checks that a section of a page has this content. With `UPDATE_DOCS=1` writes it instead.
///
/// The section stands between `<!-- generated: <section> -->` and `<!-- end -->`.
pub fn check_generated(page: &str, section: &str, content: &str) -> Result<()> {
    let _guard = PAGES.lock().unwrap_or_else(PoisonError::into_inner);
    let current = read_text(page)?;
    let parts = Parts::of(&current, section).with_context(|| page.to_owned())?;
    let content = content.trim();
    if parts.content.trim() == content {
        return Ok(());
    }
    let update = std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1");
    ensure!(
        update,
        "{page}: the section {section:?} differs from the code.\n{}\
         Run `cargo update-docs` and review the changes.",
        first_difference(parts.content.trim(), content)
    );
    std::fs::write(root()?.join(page), parts.with_content(content)).with_context(|| format!("writing {page}"))
}

/// A page, split at a generated section. The other parts include the markers.
struct Parts<'a> {
    before: &'a str,
    content: &'a str,
    after: &'a str,
}

impl<'a> Parts<'a> {
    fn of(page: &'a str, section: &str) -> Result<Self> {
        let marker = format!("<!-- generated: {section} -->\n");
        let start = page.find(&marker).with_context(|| format!("missing line {marker:?}"))? + marker.len();
        let (before, rest) = page.split_at(start);
        let end = rest.find("<!-- end -->").with_context(|| format!("no end of the section {section:?}"))?;
        let (content, after) = rest.split_at(end);
        ensure!(!content.contains("<!-- generated: "), "no end of the section {section:?}");
        Ok(Self { before, content, after })
    }

    fn with_content(&self, content: &str) -> String {
        format!("{}\n{content}\n\n{}", self.before, self.after)
    }
}

/// The lines between the common beginning and the common end of two texts.
fn first_difference(page: &str, code: &str) -> String {
    let mut page: Vec<&str> = page.lines().collect();
    let mut code: Vec<&str> = code.lines().collect();
    while page.last().is_some_and(|line| Some(line) == code.last()) {
        page.pop();
        code.pop();
    }
    let common = page.iter().zip(&code).take_while(|(left, right)| left == right).count();
    let quote = |sign: char, lines: &[&str]| -> String {
        let lines = lines.iter().skip(common).take(MAX_QUOTED_LINES);
        lines.map(|line| format!("{sign} {line}\n")).collect()
    };
    quote('-', &page) + &quote('+', &code)
}

#[test]
fn changed_section_is_replaced_and_the_rest_is_kept() -> Result<()> {
    let page =
        "a\n<!-- generated: one -->\n\nold\n\n<!-- end -->\nb\n<!-- generated: two -->\n<!-- end -->\n";
    let replaced = Parts::of(page, "one")?.with_content("new");
    ensure!(replaced == page.replace("old", "new"), "found {replaced}");
    Ok(())
}

#[test]
fn section_without_markers_is_an_error() {
    for page in
        ["", "<!-- generated: one -->\n", "<!-- generated: one -->\n<!-- generated: two -->\n<!-- end -->"]
    {
        assert!(Parts::of(page, "one").is_err(), "expected an error for {page:?}");
    }
}

#[test]
fn difference_omits_common_lines() {
    assert_eq!(first_difference("a\nb\nc\nd", "a\nx\ny\nd"), "- b\n- c\n+ x\n+ y\n");
    assert_eq!(first_difference("a\na", "a\na\na"), "+ a\n");
}
