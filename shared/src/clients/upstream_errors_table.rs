//! The rows of the tables in docs/reference/upstream-errors.md. Each table begins with its header.

use crate::clients::mcp::{CallError, ErrorResponse, Reason};
use crate::platform::http_client::classification::{
    Done, Meaning, Responsible, Row, Speaker,
    model::{self, ModelCause},
    openai::{self, OpenAiCause},
    supabase::{self, SupabaseCause},
};

type Rows = Vec<Vec<String>>;

const COLUMNS: [&str; 10] = [
    "response from",
    "status",
    "code",
    "message contains",
    "credential",
    "cause",
    "transient",
    "executed",
    "action by",
    "our response",
];

pub fn supabase() -> Rows {
    let cause = |cause: SupabaseCause| (cause.meaning(), format!("{cause:?}"));
    let mut rows = vec![to_row(&COLUMNS)];
    rows.extend(supabase::TABLE.rows.iter().map(|row| classified_row(row, cause)));
    rows.push(rest_row(supabase::TABLE.rest, cause));
    rows.extend(failure_rows(
        [SupabaseCause::Unavailable, SupabaseCause::TimedOut, SupabaseCause::BadAnswer]
            .map(SupabaseCause::meaning),
    ));
    rows
}

pub fn openai() -> Rows {
    let cause = |cause: OpenAiCause| (cause.meaning(), format!("{cause:?}"));
    let mut rows = vec![to_row(&COLUMNS)];
    rows.extend(openai::TABLE.rows.iter().map(|row| classified_row(row, cause)));
    rows.push(rest_row(openai::TABLE.rest, cause));
    rows.extend(failure_rows(
        [OpenAiCause::Interrupted, OpenAiCause::TimedOut, OpenAiCause::BadAnswer].map(OpenAiCause::meaning),
    ));
    rows
}

pub fn model() -> Rows {
    let cause = |cause: ModelCause| (cause.meaning(), format!("{cause:?}"));
    let mut rows = vec![to_row(&COLUMNS)];
    rows.extend(model::TABLE.rows.iter().map(|row| classified_row(row, cause)));
    rows.push(rest_row(model::TABLE.rest, cause));
    rows.extend(failure_rows(
        [ModelCause::Cut, ModelCause::TimedOut, ModelCause::TooLarge].map(ModelCause::meaning),
    ));
    rows
}

pub fn agents() -> Rows {
    let mut rows = vec![to_row(&["response of the server", "error", "transient", "executed"])];
    let sent = [
        ("no connection", CallError::NotSent(Reason::Unreachable)),
        ("no TLS, or an invalid certificate", CallError::NotSent(Reason::Untrusted)),
        ("no response to the handshake in time", CallError::NotSent(Reason::TimedOut)),
        ("a response to the handshake that is not MCP", CallError::NotSent(Reason::NotMcp)),
        ("only unsupported revisions of MCP", CallError::NotSent(Reason::Incompatible)),
        ("a session that the server does not recognise afterwards", CallError::NotSent(Reason::SessionLost)),
        ("none: the credential is not configured", CallError::NotSent(Reason::CredentialMissing)),
        (
            "none: the secret with the credential cannot be fetched",
            CallError::NotSent(Reason::CredentialUnavailable),
        ),
        ("no response to the call in time", CallError::Unknown(Reason::TimedOut)),
        ("the connection is lost during the call", CallError::Unknown(Reason::ConnectionLost)),
        ("a response to the call that is not MCP", CallError::Unknown(Reason::NotMcp)),
        ("a response to the call of more than 4 MiB", CallError::Unknown(Reason::TooLarge)),
    ];
    for (what, error) in sent {
        rows.push(agent_row(what, &error));
    }
    let statuses =
        [302, 400, 401, 403, 404, 408, 422, 429, 500, 502, 503, 504, 522].map(|status| (status, None));
    for (status, rpc) in statuses.into_iter().chain([(200, Some(-32602)), (200, Some(-32603))]) {
        for called in [false, true] {
            let answered = ErrorResponse { status, rpc, retry_after: None, called };
            let error = rpc.map_or_else(String::new, |rpc| format!(" with the JSON-RPC error {rpc}"));
            let to = if called { "the call" } else { "the handshake" };
            rows.push(agent_row(&format!("{status}{error} to {to}"), &CallError::Answered(answered)));
        }
    }
    rows
}

fn agent_row(what: &str, error: &CallError) -> Vec<String> {
    let transient = if error.is_retryable() { "yes" } else { "no" };
    let done = if error.outcome_is_unknown() { "perhaps" } else { "no" };
    to_row(&[what, &format!("`{}`", error.code()), transient, done])
}

fn classified_row<C: Copy>(row: &Row<C>, meaning: impl Fn(C) -> (Meaning, String)) -> Vec<String> {
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
    with_meaning(&cells, &meaning)
}

fn rest_row<C: Copy>(cause: C, meaning: impl Fn(C) -> (Meaning, String)) -> Vec<String> {
    let (meaning, cause) = meaning(cause);
    with_meaning(&["any", "any", "any", "any", "any", &cause], &meaning)
}

/// The rows for requests without a usable response.
fn failure_rows([broken, timed_out, too_large]: [Meaning; 3]) -> Rows {
    [
        ("no response: the connection failed", broken),
        ("no response in time", timed_out),
        ("any, with more than 4 MiB", too_large),
    ]
    .map(|(what, meaning)| with_meaning(&[what, "", "", "", "any", ""], &meaning))
    .to_vec()
}

fn with_meaning(cells: &[&str], meaning: &Meaning) -> Vec<String> {
    let transient = if meaning.is_transient { "yes" } else { "no" };
    let done = if meaning.done == Done::No { "no" } else { "perhaps" };
    let action_by = match meaning.responsible {
        Responsible::Caller => "caller",
        Responsible::Operator => "operator",
        Responsible::System => "none",
    };
    let code = meaning.code.map_or_else(
        || "the code in the message".to_owned(),
        |code| format!("{} `{}`", code.status(), code.as_str()),
    );
    let mut row = to_row(cells);
    row.extend(to_row(&[transient, done, action_by, &code]));
    row
}

fn to_row(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

fn join_or_any(list: impl Iterator<Item = String>) -> String {
    let list = list.collect::<Vec<_>>().join(", ");
    if list.is_empty() { "any".to_owned() } else { list }
}
