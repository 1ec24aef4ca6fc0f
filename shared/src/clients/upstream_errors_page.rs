//! Generates docs/reference/upstream-errors.md from the classification tables.
//! `UPDATE_DOCS=1 cargo test -p shared --features mcp` writes the page; without the variable
//! the same test compares it.

use std::fmt::Write;

use crate::clients::mcp::{CallError, ErrorResponse, Reason};

use crate::platform::http_client::classification::{
    Done, Meaning, Responsible, Row, Speaker, openai, supabase,
};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/reference/upstream-errors.md");

const INTRODUCTION: &str = "# Errors of other systems

How an answer of Supabase, OpenAI or an agent's server is classified, and what a caller is told then. `cargo test` writes this page's
tables from the source (`shared/src/platform/http_client/classification/`) and plays each row to the functions.

Each table is read from the top; the first row that fits decides. An answer is sorted by who wrote it, which its body tells, and not by
its status alone:

- *PostgREST*: a JSON object whose `code` is PostgREST's (`PGRST…`) or PostgreSQL's (five characters).
- *OpenAI*: `{\"error\": {\"message\", \"code\"}}`.
- *gateway*: any other JSON object with a message: Supabase's gateway and its auth server.
- *other*: anything else. The HTML of Cloudflare or of a firewall, an empty body.

*Passes* means that the same request may succeed a moment later: it is repeated up to three times where a repeat is safe, then answered
503. *Done* says whether what was asked for may have been done. Reads change nothing and every RPC of ours may be called again, so for
Supabase a repeat is always safe; OpenAI is asked for a second session only where the first was not made.
";

#[test]
fn upstream_errors_page_matches_classification_tables() -> std::io::Result<()> {
    let page = page();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        return std::fs::write(PAGE, page);
    }
    let written = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert!(
        written == page,
        "docs/reference/upstream-errors.md is of another version: UPDATE_DOCS=1 cargo test -p shared --features mcp"
    );
    Ok(())
}

/// A row that one above it hides would never apply.
#[test]
fn classification_rows_are_not_hidden_by_earlier_rows() {
    fn assert_no_hidden_row<C: Copy + std::fmt::Debug>(rows: &[Row<C>]) {
        for (index, row) in rows.iter().enumerate() {
            let by = rows[..index].iter().find(|above| {
                above.speaker == row.speaker
                    && above.says.is_empty()
                    && above.statuses.is_empty()
                    && above.as_user.is_none()
                    && (above.codes.is_empty() || row.codes.iter().all(|code| above.codes.contains(code)))
            });
            assert!(by.is_none() || row.codes.is_empty() && !row.statuses.is_empty(), "{row:?} by {by:?}");
        }
    }
    assert_no_hidden_row(supabase::TABLE.rows);
    assert_no_hidden_row(openai::TABLE.rows);
}

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    let headings = "| who answers | status | code | message has | asked with | cause | passes | done | who acts | we answer |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    page.push_str("\n## Supabase\n\n");
    page.push_str(headings);
    table_rows(&mut page, supabase::TABLE.rows, |cause| (cause.meaning(), format!("{cause:?}")));
    rest_row(&mut page, &supabase::TABLE.rest, |cause| (cause.meaning(), format!("{cause:?}")));
    failure_rows(
        &mut page,
        &[supabase::Cause::Unavailable, supabase::Cause::TimedOut, supabase::Cause::BadAnswer]
            .map(|cause| cause.meaning()),
    );
    page.push_str(
        "\nA key set (JWKS) is asked for without a key, so nothing of it is a key's fault: 401 and 403 count as `supabase_bad_answer`.\n",
    );
    page.push_str("\n## OpenAI\n\n");
    page.push_str(headings);
    table_rows(&mut page, openai::TABLE.rows, |cause| (cause.meaning(), format!("{cause:?}")));
    rest_row(&mut page, &openai::TABLE.rest, |cause| (cause.meaning(), format!("{cause:?}")));
    failure_rows(
        &mut page,
        &[openai::Cause::Interrupted, openai::Cause::TimedOut, openai::Cause::BadAnswer]
            .map(|cause| cause.meaning()),
    );
    page.push_str(
        "\n`NotFound` on opening a session is `chatkit_workflow_not_found`; on cancelling or deleting it is success, and a thread that is not\n\
         found is left out. `x-should-retry` from OpenAI stands above the table.\n",
    );
    page.push_str(AGENTS);
    let sent = [
        ("no connection", CallError::NotSent(Reason::Unreachable)),
        ("TLS that is not sound", CallError::NotSent(Reason::Untrusted)),
        ("no answer to the handshake in time", CallError::NotSent(Reason::TimedOut)),
        ("nothing that is MCP", CallError::NotSent(Reason::Nonsense)),
        ("only revisions that we do not speak", CallError::NotSent(Reason::Incompatible)),
        ("a session that it forgets again", CallError::NotSent(Reason::SessionLost)),
        ("no credential of that name is configured", CallError::NotSent(Reason::CredentialMissing)),
        ("the call's answer not in time", CallError::Unknown(Reason::TimedOut)),
        ("the connection breaks during the call", CallError::Unknown(Reason::ConnectionLost)),
        ("the call's answer is no MCP", CallError::Unknown(Reason::Nonsense)),
        ("the call's answer is larger than 4 MiB", CallError::Unknown(Reason::TooLarge)),
    ];
    for (what, error) in sent {
        agent_row(&mut page, what, &error);
    }
    let statuses =
        [302, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504, 522].map(|status| (status, None));
    for (status, rpc) in statuses.into_iter().chain([(200, Some(-32602)), (200, Some(-32603))]) {
        for called in [false, true] {
            let answered = ErrorResponse { status, rpc, retry_after: None, called };
            let error = rpc.map_or_else(String::new, |rpc| format!(" with the JSON-RPC error {rpc}"));
            let to = if called { "the call" } else { "the handshake" };
            agent_row(&mut page, &format!("{status}{error} to {to}"), &CallError::Answered(answered));
        }
    }
    page
}

const AGENTS: &str = "
## Agents

What a server says outside a tool's result. A call that may have been done is made again under its key where the tool is `idempotent`;
otherwise the delivery is `unknown` and a person is asked. What passes and was not done is tried again, up to the server's `max_attempts`;
the rest is `dead`. The probe of the newest revision falls back to `initialize` before any of this counts ([Write an agent](../guides/write-an-agent.md)).

| the server answers | error | passes | done |
| --- | --- | --- | --- |
";

fn agent_row(page: &mut String, what: &str, error: &CallError) {
    let yes = |is, yes, no| if is { yes } else { no };
    let passes = yes(error.is_retryable(), "yes", "no");
    let done = yes(error.outcome_is_unknown(), "perhaps", "no");
    let _ = writeln!(page, "| {what} | `{}` | {passes} | {done} |", error.code());
}

fn table_rows<C: Copy>(page: &mut String, rows: &[Row<C>], meaning: impl Fn(C) -> (Meaning, String)) {
    for row in rows {
        let statuses = row.statuses.iter().map(|range| match (range.start(), range.end()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}–{last}"),
        });
        let codes = row.codes.iter().map(|code| format!("`{code}`"));
        let credential = match row.as_user {
            None => "any",
            Some(true) => "user's token",
            Some(false) => "our key",
        };
        let says = if row.says.is_empty() { "any".to_owned() } else { format!("\"{}\"", row.says) };
        let (meaning, cause) = meaning(row.cause);
        let speaker = match row.speaker {
            Speaker::PostgRest => "PostgREST",
            Speaker::OpenAi => "OpenAI",
            Speaker::Gateway => "gateway",
            Speaker::Other => "other",
        };
        let cells = [speaker, &join_or_any(statuses), &join_or_any(codes), &says, credential, &cause];
        write_row(page, &cells, &meaning);
    }
}

fn rest_row<C: Copy>(page: &mut String, cause: &C, meaning: impl Fn(C) -> (Meaning, String)) {
    let (meaning, cause) = meaning(*cause);
    write_row(page, &["anyone", "any", "any", "any", "any", &cause], &meaning);
}

/// Appends the rows for requests without a usable response.
fn failure_rows(page: &mut String, [broken, timed_out, too_large]: &[Meaning; 3]) {
    for (what, meaning) in [
        ("nobody: no connection, or it broke", broken),
        ("nobody in time", timed_out),
        ("anyone, with more than 4 MiB", too_large),
    ] {
        write_row(page, &[what, "", "", "", "any", ""], meaning);
    }
}

fn write_row(page: &mut String, cells: &[&str], meaning: &Meaning) {
    let (passes, done) =
        (if meaning.passes { "yes" } else { "no" }, if meaning.done == Done::No { "no" } else { "perhaps" });
    let acts = match meaning.acts {
        Responsible::Caller => "caller",
        Responsible::Operator => "operator",
        Responsible::System => "it passes by itself",
    };
    let code = meaning.code.map_or_else(
        || "the code in the message".to_owned(),
        |code| format!("{} `{}`", code.status(), code.as_str()),
    );
    let _ = writeln!(page, "| {} | {passes} | {done} | {acts} | {code} |", cells.join(" | "));
}

fn join_or_any(list: impl Iterator<Item = String>) -> String {
    let list = list.collect::<Vec<_>>().join(", ");
    if list.is_empty() { "any".to_owned() } else { list }
}
