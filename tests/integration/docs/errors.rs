//! The errors that the code knows are those that the pages explain, and each has the status that they say.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::support::markdown;
use crate::support::openapi_document::Document;
use crate::support::project_files::{same, text};

/// Status and title of each code.
type Codes = BTreeMap<String, (u16, String)>;

/// The table in the source. The functions' crate itself is not asked: what is built for the tests would have to hold all of it.
fn codes() -> Result<Codes> {
    let source = text("shared/src/error/code.rs")?;
    let (_, table) = source.split_once("\ncodes! {\n").context("no table of codes in code.rs")?;
    let lines = table.lines().take_while(|line| *line != "}").map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    lines.map(|line| code(line).with_context(|| format!("no code: {line}"))).collect()
}

/// `Variant = 400 "code" "Title", "Advice.";`
fn code(line: &str) -> Option<(String, (u16, String))> {
    let (_, rest) = line.split_once(" = ")?;
    let (status, rest) = rest.split_once(' ')?;
    let [_, code, _, title, _, _advice, end] = rest.split('"').collect::<Vec<_>>()[..] else { return None };
    (end == ";").then_some((code.to_owned(), (status.parse().ok()?, title.to_owned())))
}

fn statuses(codes: &Codes) -> BTreeSet<(String, u16)> {
    codes.iter().map(|(code, (status, _))| (code.clone(), *status)).collect()
}

// NAME: described: docs/reference/errors.md explains every error that there is, and no other
#[tokio::test]
async fn explained() -> Result<()> {
    let mut explained = BTreeSet::new();
    for row in markdown::table(&text("docs/reference/errors.md")?, "code") {
        let [code, status, when, what_to_do] = &row[..] else { anyhow::bail!("other columns: {row:?}") };
        ensure!(!when.is_empty() && !what_to_do.is_empty(), "{code} is not explained");
        let acts = ["caller: ", "user: ", "operator: "];
        ensure!(acts.iter().any(|who| what_to_do.starts_with(who)), "{code}: who acts? {what_to_do}");
        let new = explained.insert((code.trim_matches('`').to_owned(), status.parse()?));
        ensure!(new, "{code} is explained twice");
    }
    same(("shared/src/error/code.rs", &statuses(&codes()?)), ("docs/reference/errors.md", &explained))
}

// NAME: described: the API description names every error, each with its status
#[tokio::test]
async fn named() -> Result<()> {
    let (document, codes) = (Document::read()?, codes()?);
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let known: BTreeSet<String> = codes.keys().cloned().collect();
    let listed = names(&document.root["components"]["schemas"]["Code"]["enum"]);
    same(("shared/src/error/code.rs", &known), ("the Code of docs/openapi.yaml", &listed))?;

    // Preflights, and what no HTTP client sends, are described in words; the webhook and what operators order are no part of the API.
    let elsewhere = ["malformed_request", "origin_forbidden", "webhook_secret_refused", "user_not_found"];
    let mut answered = BTreeSet::from(elsewhere.map(str::to_owned));
    for operation in document.operations() {
        for response in operation.responses()? {
            let Some((status, of_response)) = response.problem() else {
                ensure!(response.status < 400, "{}: {} is no problem", operation.id, response.status);
                continue;
            };
            ensure!(*status == response.status, "{}: {status} under {}", operation.id, response.status);
            for code in of_response {
                let code = code.as_str().context("a code that is no text")?;
                let (expected, _) = codes.get(code).with_context(|| format!("{code} is no code"))?;
                ensure!(*expected == response.status, "{}: {code} under {}", operation.id, response.status);
                answered.insert(code.to_owned());
            }
        }
    }
    same(("shared/src/error/code.rs", &known), ("the answers of docs/openapi.yaml", &answered))
}

// NAME: described: what the pages say of an error is what it says itself
#[tokio::test]
async fn told() -> Result<()> {
    let codes = codes()?;
    let mut told = 0;
    for page in [
        "docs/reference/api.md",
        "docs/reference/configuration.md",
        "docs/guides/deploy.md",
        "docs/reference/errors.md",
        "docs/openapi.yaml",
    ] {
        let page_text = text(page)?;
        // "502 `supabase_key_refused`" in a sentence.
        for (before, quoted) in page_text.split('`').step_by(2).zip(markdown::quoted(&page_text)) {
            let status = before.trim_end().rsplit(' ').next().and_then(|word| word.parse::<u16>().ok());
            if let (Some(status), Some((expected, _))) = (status, codes.get(quoted)) {
                ensure!(status == *expected, "{page} says {status} of {quoted}, which is {expected}");
                told += 1;
            }
        }
        for block in markdown::blocks(&page_text, "json").into_iter().chain(answers(&page_text)) {
            let Ok(problem) = serde_json::from_str::<Value>(&block) else { continue };
            let Some(code) = problem["code"].as_str() else { continue };
            let (status, title) = codes.get(code).with_context(|| format!("{page}: {code} is no code"))?;
            ensure!(problem["status"] == *status && problem["title"] == *title, "{page}: {problem:#}");
            ensure!(problem["type"] == format!("urn:problem-type:{code}"), "{page}: {problem:#}");
            told += 1;
        }
    }
    ensure!(told >= 5, "only {told} errors were found in the pages");
    Ok(())
}

/// The bodies of blocks of HTTP.
fn answers(page: &str) -> impl Iterator<Item = String> {
    let blocks = markdown::blocks(page, "http").into_iter();
    blocks.filter_map(|block| Some(block.split_once("\n\n")?.1.to_owned()))
}
