//! What an answer that is no success means: a table a system, read from the top; the first row that fits decides.
//!
//! A status alone does not say whose fault something is: a gateway, a firewall and PostgREST all answer 401, and PostgREST answers
//! 405 where its database is read-only. So it counts who wrote the answer, told by its body, and the code in it. Nobody outside
//! [`upstream`](super) sees an answer's status: [`Answer::accepted`] is the only way to its body.

pub mod openai;
// The page has the agents' table too, which only the orchestrator's build knows.
pub mod supabase;

use std::{ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use serde_json::Value;

use super::{HttpResponse, retry_after};
use crate::error::ErrorCode;

/// Who wrote an answer, told by its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// PostgREST: `{"code", "message", "details", "hint"}` with a code of its own, of PostgreSQL or of our functions.
    /// Source: <https://docs.postgrest.org/en/stable/references/errors.html>
    PostgRest,
    /// OpenAI: `{"error": {"message", "type", "param", "code"}}`.
    /// Source: <https://platform.openai.com/docs/guides/error-codes>
    OpenAi,
    /// Another JSON object with a message: Supabase's gateway and its auth server.
    Gateway,
    /// Anything else: the HTML of a network in between, a firewall's page, an empty body.
    Other,
}

/// Whether what was asked for may have been done all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was not.
    No,
    /// Nobody knows.
    Unknown,
}

/// Who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responsible {
    /// Who called us, as the code says.
    Caller,
    /// Who runs the deployment.
    Operator,
    /// The other system, by itself.
    System,
}

/// What follows from a cause.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// Whether the same request may succeed a moment later.
    pub passes: bool,
    /// Whether it may have been done.
    pub done: Done,
    /// Who acts.
    pub acts: Responsible,
    /// What our caller is told; none where the answer itself has the code.
    pub code: Option<ErrorCode>,
}

/// What a system's answers mean.
#[derive(Debug)]
pub struct Table<C: 'static> {
    pub(crate) rows: &'static [Row<C>],
    /// What no row fits.
    pub(crate) rest: C,
}

/// Answers that mean the same.
#[derive(Clone, Debug)]
pub struct Row<C: 'static> {
    pub(crate) speaker: Speaker,
    /// Any of these; all where there is none.
    pub(crate) statuses: &'static [RangeInclusive<u16>],
    /// Any of these, where a `*` at the end stands for any rest; all where there is none.
    pub(crate) codes: &'static [&'static str],
    /// What the message contains, in lower case.
    pub(crate) says: &'static str,
    /// Whether a user's own token went with the request; none where that does not matter.
    pub(crate) as_user: Option<bool>,
    pub(crate) cause: C,
}

/// An answer that is no success.
#[derive(Clone, Debug)]
pub struct Rejection<C> {
    /// What it means.
    pub cause: C,
    /// Its HTTP status.
    pub status: u16,
    /// The code in it: PostgREST's, PostgreSQL's, OpenAI's. Empty where there is none that looks like one.
    pub code: String,
    /// The message in it. It may quote the request.
    pub message: Option<String>,
    /// PostgREST's details.
    pub details: Option<String>,
    /// How long it asks to wait.
    pub retry_after: Option<Duration>,
}

impl<C: Copy> Row<C> {
    const fn new(speaker: Speaker, cause: C) -> Self {
        Self { speaker, statuses: &[], codes: &[], says: "", as_user: None, cause }
    }

    const fn status(self, statuses: &'static [RangeInclusive<u16>]) -> Self {
        Self { statuses, ..self }
    }

    const fn code(self, codes: &'static [&'static str]) -> Self {
        Self { codes, ..self }
    }

    const fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    const fn asked_with_token(self, as_user: bool) -> Self {
        Self { as_user: Some(as_user), ..self }
    }

    fn matches(&self, said: &ErrorBody, status: u16, as_user: bool) -> bool {
        let is_code = |pattern: &&str| match pattern.strip_suffix('*') {
            Some(beginning) => said.code.starts_with(beginning),
            None => said.code == **pattern,
        };
        let says = || said.message.as_deref().unwrap_or_default().to_lowercase().contains(self.says);
        self.speaker == said.speaker
            && (self.statuses.is_empty() || self.statuses.iter().any(|range| range.contains(&status)))
            && (self.codes.is_empty() || self.codes.iter().any(is_code))
            && self.as_user.is_none_or(|wanted| wanted == as_user)
            && (self.says.is_empty() || says())
    }
}

/// What an answer's body says of itself.
struct ErrorBody {
    speaker: Speaker,
    code: String,
    message: Option<String>,
    details: Option<String>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let (error, code) = (&body["error"], body["code"].as_str().unwrap_or_default());
        let (speaker, code, message) = match () {
            () if is_postgrest_code(code) => (Speaker::PostgRest, code, text(&body["message"])),
            () if error["message"].is_string() => {
                (Speaker::OpenAi, error["code"].as_str().unwrap_or_default(), text(&error["message"]))
            }
            () => match [&body["message"], &body["msg"], error].into_iter().find_map(text) {
                Some(message) => (Speaker::Gateway, "", Some(message)),
                None => (Speaker::Other, "", None),
            },
        };
        Self { speaker, code: sanitize_code(code, 60).to_owned(), message, details: text(&body["details"]) }
    }
}

/// A SQLSTATE, or PostgREST's own `PGRST` with three digits.
fn is_postgrest_code(code: &str) -> bool {
    let is_plain = code.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    is_plain && (code.len() == 5 || (code.len() == 8 && code.starts_with("PGRST")))
}

/// A code such as `23505`, `PGRST116` or our own `session_ended`. What does not look like one may quote the request, with its
/// key, and codes are logged.
pub(crate) fn sanitize_code(code: &str, longest: usize) -> &str {
    let is_plain = code.len() <= longest && code.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if is_plain { code } else { "" }
}

impl HttpResponse {
    /// The body of a success, or what the answer means by its system's table. `as_user` says whether a user's own token went
    /// with the request.
    ///
    /// # Errors
    /// What is no success.
    pub fn accepted<C: Copy>(&self, table: &Table<C>, as_user: bool) -> Result<&Bytes, Rejection<C>> {
        if self.status.is_success() {
            return Ok(&self.body);
        }
        let (status, said) = (self.status.as_u16(), ErrorBody::read(&self.body));
        let row = table.rows.iter().find(|row| row.matches(&said, status, as_user));
        Err(Rejection {
            cause: row.map_or(table.rest, |row| row.cause),
            status,
            code: said.code,
            message: said.message,
            details: said.details,
            retry_after: retry_after(&self.headers),
        })
    }

    /// What it means by its system's table, where it is no success.
    pub fn cause<C: Copy>(&self, table: &Table<C>, as_user: bool) -> Option<C> {
        self.accepted(table, as_user).err().map(|rejection| rejection.cause)
    }

    /// The other system's id of the call, for its support.
    pub fn request_id(&self) -> Option<String> {
        let id = self.headers.get("x-request-id")?.to_str().ok()?;
        Some(id.chars().take(100).collect())
    }

    /// An answer as it might come.
    #[cfg(test)]
    pub(crate) fn for_test(status: u16, body: impl Into<Bytes>) -> Self {
        let status = reqwest::StatusCode::from_u16(status).unwrap();
        Self { status, headers: reqwest::header::HeaderMap::new(), body: body.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wrote_an_answer_is_told_by_its_body() {
        for (body, speaker, code) in [
            (r#"{"code":"PGRST303","message":"JWT expired","details":null}"#, Speaker::PostgRest, "PGRST303"),
            (r#"{"code":"57014","message":"canceling statement"}"#, Speaker::PostgRest, "57014"),
            (r#"{"code":"PT409","message":"session_ended"}"#, Speaker::PostgRest, "PT409"),
            (
                r#"{"error":{"message":"No","type":"x","code":"rate_limit_exceeded"}}"#,
                Speaker::OpenAi,
                "rate_limit_exceeded",
            ),
            (r#"{"error":{"message":"No","type":"x","code":null}}"#, Speaker::OpenAi, ""),
            (r#"{"message":"Invalid API key","hint":"Double check"}"#, Speaker::Gateway, ""),
            (r#"{"code":429,"error_code":"over_request_rate_limit","msg":"Too many"}"#, Speaker::Gateway, ""),
            (r#"{"error":"requested path is invalid"}"#, Speaker::Gateway, ""),
            (r#"{"code":"no such key: sb_secret_x","message":"x"}"#, Speaker::Gateway, ""),
            ("<html>520</html>", Speaker::Other, ""),
            ("", Speaker::Other, ""),
            ("[]", Speaker::Other, ""),
            ("null", Speaker::Other, ""),
        ] {
            let said = ErrorBody::read(body.as_bytes());
            assert_eq!((said.speaker, said.code.as_str()), (speaker, code), "{body}");
        }
    }
}
