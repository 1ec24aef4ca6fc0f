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

This page lists how the functions classify responses of Supabase, OpenAI and agent servers, and what
they return to their own callers. The tables are generated from
`shared/src/platform/http_client/classification/`, and a test sends each row to the functions.

The first matching row of a table applies. The column *response from* depends on the body of the
response, not on its status:

- *PostgREST*: a JSON object whose `code` is from PostgREST (`PGRST…`) or PostgreSQL (five
  characters).
- *OpenAI*: `{\"error\": {\"message\", \"code\"}}`.
- *gateway*: any other JSON object with a message, from Supabase's gateway or its auth server.
- *other*: anything else, for example an empty body, or HTML from Cloudflare or a firewall.

A *transient* error may not occur again a moment later. The request is then repeated up to three
times if a repeat is safe; after that the functions return 503. The column *executed* states whether
the request may have been executed. Reads change nothing, and every RPC can be repeated, so a repeat
is always safe at Supabase. A second session is requested from OpenAI only if the first was not
created.
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
    let headings = "| response from | status | code | message contains | credential | cause | transient | executed | action by | our response |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n";
    page.push_str("\n## Supabase\n\n");
    page.push_str(headings);
    table_rows(&mut page, supabase::TABLE.rows, |cause| (cause.meaning(), format!("{cause:?}")));
    rest_row(&mut page, &supabase::TABLE.rest, |cause| (cause.meaning(), format!("{cause:?}")));
    failure_rows(
        &mut page,
        &[
            supabase::SupabaseCause::Unavailable,
            supabase::SupabaseCause::TimedOut,
            supabase::SupabaseCause::BadAnswer,
        ]
        .map(|cause| cause.meaning()),
    );
    page.push_str(
        "\nThe key set (JWKS) is requested without a key, so 401 and 403 in response to that request are\n\
         `supabase_bad_answer`.\n",
    );
    page.push_str("\n## OpenAI\n\n");
    page.push_str(headings);
    table_rows(&mut page, openai::TABLE.rows, |cause| (cause.meaning(), format!("{cause:?}")));
    rest_row(&mut page, &openai::TABLE.rest, |cause| (cause.meaning(), format!("{cause:?}")));
    failure_rows(
        &mut page,
        &[openai::OpenAiCause::Interrupted, openai::OpenAiCause::TimedOut, openai::OpenAiCause::BadAnswer]
            .map(|cause| cause.meaning()),
    );
    page.push_str(
        "\n`NotFound` is `chatkit_workflow_not_found` when a session is created, and a success when something is\n\
         cancelled or deleted. Threads that are not found are left out. The header `x-should-retry` from OpenAI\n\
         has precedence over the table.\n",
    );
    page.push_str(AGENTS);
    let sent = [
        ("no connection", CallError::NotSent(Reason::Unreachable)),
        ("no TLS, or an invalid certificate", CallError::NotSent(Reason::Untrusted)),
        ("no response to the handshake in time", CallError::NotSent(Reason::TimedOut)),
        ("a response to the handshake that is not MCP", CallError::NotSent(Reason::NotMcp)),
        ("only unsupported revisions of MCP", CallError::NotSent(Reason::Incompatible)),
        ("a session that the server does not recognise afterwards", CallError::NotSent(Reason::SessionLost)),
        ("none: the credential is not configured", CallError::NotSent(Reason::CredentialMissing)),
        ("no response to the call in time", CallError::Unknown(Reason::TimedOut)),
        ("the connection is lost during the call", CallError::Unknown(Reason::ConnectionLost)),
        ("a response to the call that is not MCP", CallError::Unknown(Reason::NotMcp)),
        ("a response to the call of more than 4 MiB", CallError::Unknown(Reason::TooLarge)),
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

This table covers errors of agent servers outside of a tool's result. A call that may have been
executed is repeated with its key if the tool is `idempotent`. Otherwise the delivery becomes
`unknown`, and an escalation asks a person. A transient error of a call that was not executed is
retried, up to the server's `max_attempts`. After any other error the delivery becomes `dead`. The
probe of the newest revision falls back to `initialize` before any row applies
([Write an agent](../guides/write-an-agent.md)).

| response of the server | error | transient | executed |
| --- | --- | --- | --- |
";

fn agent_row(page: &mut String, what: &str, error: &CallError) {
    let yes = |is, yes, no| if is { yes } else { no };
    let transient = yes(error.is_retryable(), "yes", "no");
    let done = yes(error.outcome_is_unknown(), "perhaps", "no");
    let _ = writeln!(page, "| {what} | `{}` | {transient} | {done} |", error.code());
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
    write_row(page, &["any", "any", "any", "any", "any", &cause], &meaning);
}

/// Appends the rows for requests without a usable response.
fn failure_rows(page: &mut String, [broken, timed_out, too_large]: &[Meaning; 3]) {
    for (what, meaning) in [
        ("no response: the connection failed", broken),
        ("no response in time", timed_out),
        ("any, with more than 4 MiB", too_large),
    ] {
        write_row(page, &[what, "", "", "", "any", ""], meaning);
    }
}

fn write_row(page: &mut String, cells: &[&str], meaning: &Meaning) {
    let (transient, done) = (
        if meaning.is_transient { "yes" } else { "no" },
        if meaning.done == Done::No { "no" } else { "perhaps" },
    );
    let action_by = match meaning.responsible {
        Responsible::Caller => "caller",
        Responsible::Operator => "operator",
        Responsible::System => "none",
    };
    let code = meaning.code.map_or_else(
        || "the code in the message".to_owned(),
        |code| format!("{} `{}`", code.status(), code.as_str()),
    );
    let _ = writeln!(page, "| {} | {transient} | {done} | {action_by} | {code} |", cells.join(" | "));
}

fn join_or_any(list: impl Iterator<Item = String>) -> String {
    let list = list.collect::<Vec<_>>().join(", ");
    if list.is_empty() { "any".to_owned() } else { list }
}
