//! Error codes in the documentation, compared with `shared/src/error/code.rs`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use shared::error::ErrorCode;

use crate::support::generated_docs::check_generated;
use crate::support::markdown;
use crate::support::openapi_document::Document;
use crate::support::project_files::{ensure_same, read_text};

const PAGE: &str = "docs/reference/errors.md";

/// The column `details` is written by hand, and kept.
#[tokio::test]
async fn table_of_error_codes_is_generated() -> Result<()> {
    let page = read_text(PAGE)?;
    let written = markdown::table(&page, "code").into_iter();
    let mut details: BTreeMap<String, String> =
        written.filter_map(|row| Some((row.first()?.clone(), row.get(4)?.clone()))).collect();
    let mut rows = vec![["code", "status", "title", "what to do", "details"].map(str::to_owned).to_vec()];
    for code in ErrorCode::ALL {
        let name = format!("`{}`", code.as_str());
        let details = details.remove(&name).unwrap_or_default();
        let (title, advice) = (markdown::escape(code.title()), markdown::escape(code.advice()));
        rows.push(vec![name, code.status().to_string(), title, advice, details]);
    }
    check_generated(PAGE, "error codes", &markdown::render_table(&rows))
}

#[tokio::test]
async fn openapi_lists_every_code_under_its_status() -> Result<()> {
    let (document, codes) = (Document::read()?, codes());
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let defined: BTreeSet<String> = codes.keys().cloned().collect();
    let listed = names(&document.root["components"]["schemas"]["Code"]["enum"]);
    ensure_same(("shared/src/error/code.rs", &defined), ("the schema Code of docs/openapi.yaml", &listed))?;

    // The document does not list preflights, requests that HTTP clients cannot send, the webhook,
    // the chat of self-hosted agents and the operators' functions.
    let undocumented = [
        "malformed_request",
        "origin_forbidden",
        "webhook_secret_refused",
        "route_events_not_started",
        "client_secret_rejected",
        "user_not_found",
    ];
    let mut documented = BTreeSet::from(undocumented.map(str::to_owned));
    // The model is asked after the stream has begun, so its errors are only in logs and runs.
    documented.extend(defined.iter().filter(|code| code.starts_with("model_")).cloned());
    for operation in document.operations() {
        for response in operation.responses()? {
            let Some((status, response_codes)) = response.problem() else {
                ensure!(
                    response.status < 400,
                    "{}: the body of {} is not a problem",
                    operation.id,
                    response.status
                );
                continue;
            };
            ensure!(
                *status == response.status,
                "{}: the schema of {} allows the status {status}",
                operation.id,
                response.status
            );
            for code in response_codes {
                let code = code.as_str().context("a code is not a string")?;
                let (expected, _) = codes.get(code).with_context(|| format!("{code} is not defined"))?;
                ensure!(
                    *expected == response.status,
                    "{}: {code} is listed under {}, not {expected}",
                    operation.id,
                    response.status
                );
                documented.insert(code.to_owned());
            }
        }
    }
    ensure_same(("shared/src/error/code.rs", &defined), ("the responses of docs/openapi.yaml", &documented))
}

#[tokio::test]
async fn error_examples_have_status_and_title_of_their_code() -> Result<()> {
    let codes = codes();
    let mut count = 0;
    for page in [
        "docs/reference/api.md",
        "docs/reference/configuration.md",
        "docs/guides/deploy.md",
        "docs/reference/errors.md",
        "docs/openapi.yaml",
    ] {
        let page_text = read_text(page)?;
        // A sentence contains, for example, "502 `supabase_key_refused`".
        for (before, quoted) in page_text.split('`').step_by(2).zip(markdown::code_spans(&page_text)) {
            let status = before.trim_end().rsplit(' ').next().and_then(|word| word.parse::<u16>().ok());
            if let (Some(status), Some((expected, _))) = (status, codes.get(quoted)) {
                ensure!(status == *expected, "{page}: {quoted} has the status {status}, not {expected}");
                count += 1;
            }
        }
        for block in markdown::blocks(&page_text, "json").into_iter().chain(http_bodies(&page_text)) {
            let Ok(problem) = serde_json::from_str::<Value>(&block) else { continue };
            let Some(code) = problem["code"].as_str() else { continue };
            let (status, title) =
                codes.get(code).with_context(|| format!("{page}: {code} is not defined"))?;
            ensure!(problem["status"] == *status, "{page}: expected the status {status} in {problem:#}");
            ensure!(problem["title"] == *title, "{page}: expected the title {title:?} in {problem:#}");
            ensure!(
                problem["type"] == format!("urn:problem-type:{code}"),
                "{page}: wrong type in {problem:#}"
            );
            count += 1;
        }
    }
    ensure!(count >= 5, "expected at least five errors in the pages, found {count}");
    Ok(())
}

/// Status and title of each code.
type Codes = BTreeMap<String, (u16, String)>;

/// The codes that the functions return.
fn codes() -> Codes {
    let code = |code: &ErrorCode| (code.as_str().to_owned(), (code.status(), code.title().to_owned()));
    ErrorCode::ALL.iter().map(code).collect()
}

/// The bodies of the code blocks in the language `http`.
fn http_bodies(page: &str) -> impl Iterator<Item = String> {
    let blocks = markdown::blocks(page, "http").into_iter();
    blocks.filter_map(|block| Some(block.split_once("\n\n")?.1.to_owned()))
}
