//! Classification of upstream errors: what a response other than a success means. Each system has a
//! table, and the first row that matches determines the cause.
//!
//! The status alone does not show what failed: a gateway, a firewall and PostgREST all
//! answer 401, and PostgREST answers 405 if its database is read-only. So rows also match
//! the author of a response, which its body shows, and the error code in the body. Code
//! outside [`http_client`](super) cannot read a status: [`HttpResponse::accepted`] is the
//! only access to a body.

#[cfg(feature = "aws")]
pub mod aws;
pub mod model;
pub mod openai;
pub mod supabase;

use std::{ops::RangeInclusive, time::Duration};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::{HttpResponse, retry_after};
use crate::error::ErrorCode;

/// Author of a response, recognised by its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaker {
    /// PostgREST: `{"code", "message", "details", "hint"}`. The code is PostgREST's, PostgreSQL's
    /// or one of our SQL functions'.
    /// Source: <https://docs.postgrest.org/en/stable/references/errors.html>
    PostgRest,
    /// OpenAI: `{"error": {"message", "type", "param", "code"}}`.
    /// Source: <https://platform.openai.com/docs/guides/error-codes>
    OpenAi,
    /// Another JSON object with a message: from Supabase's gateway or its auth server.
    Gateway,
    /// Anything else: HTML from a network in between, a firewall's page, an empty body.
    Other,
}

/// Whether the request may have been executed despite the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    No,
    Unknown,
}

/// Party that can resolve the problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responsible {
    /// The caller of the API, by following the error code.
    Caller,
    /// The operator of the deployment.
    Operator,
    /// The other system, without intervention.
    System,
}

/// The reaction of the functions to a cause.
#[derive(Clone, Copy, Debug)]
pub struct Meaning {
    /// Whether the same request may succeed a moment later.
    pub is_transient: bool,
    /// Whether the request may have been executed.
    pub done: Done,
    pub responsible: Responsible,
    /// Code that the caller receives. `None` if the response itself contains the code.
    pub code: Option<ErrorCode>,
}

/// Classification table of one system.
#[derive(Debug)]
pub struct CauseTable<C: 'static> {
    pub(crate) rows: &'static [Row<C>],
    /// Cause of a response that no row matches.
    pub(crate) rest: C,
}

/// Pattern of responses that have the same cause.
#[derive(Clone, Debug)]
pub struct Row<C: 'static> {
    pub(crate) speaker: Speaker,
    /// Any of these statuses matches; an empty list matches all.
    pub(crate) statuses: &'static [RangeInclusive<u16>],
    /// Any of these codes matches, and `*` at the end matches any suffix;
    /// an empty list matches all.
    pub(crate) codes: &'static [&'static str],
    /// Text that the message must contain, in lower case.
    pub(crate) says: &'static str,
    /// Whether the request must have carried a user's token; `None` if it does not matter.
    pub(crate) as_user: Option<bool>,
    pub(crate) cause: C,
}

/// A response other than a success, with its cause.
#[derive(Clone, Debug)]
pub struct ClassifiedRejection<C> {
    pub cause: C,
    pub status: u16,
    /// Code of PostgREST, PostgreSQL or OpenAI. Empty if the response has none
    /// that looks like a code.
    pub code: String,
    /// Message of the response. It may quote the request.
    pub message: Option<String>,
    pub details: Option<String>,
    /// Hint of PostgREST.
    pub hint: Option<String>,
    /// The wait that the response requests.
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

/// Fields of an error response's body.
struct ErrorBody {
    speaker: Speaker,
    code: String,
    message: Option<String>,
    details: Option<String>,
    hint: Option<String>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let error = &body["error"];
        let code = body["code"].as_str().unwrap_or_default();
        let (speaker, code, message) = if is_postgrest_code(code) {
            (Speaker::PostgRest, code, text(&body["message"]))
        } else if error["message"].is_string() {
            (Speaker::OpenAi, error["code"].as_str().unwrap_or_default(), text(&error["message"]))
        } else if let Some(message) = [&body["message"], &body["msg"], error].into_iter().find_map(text) {
            (Speaker::Gateway, "", Some(message))
        } else {
            (Speaker::Other, "", None)
        };
        let code = sanitize_code(code, 60).to_owned();
        Self { speaker, code, message, details: text(&body["details"]), hint: text(&body["hint"]) }
    }
}

/// Returns whether this is a SQLSTATE, or PostgREST's `PGRST` with three digits.
fn is_postgrest_code(code: &str) -> bool {
    let is_plain = code.chars().all(|c| c.is_ascii_digit() || c.is_ascii_uppercase());
    is_plain && (code.len() == 5 || (code.len() == 8 && code.starts_with("PGRST")))
}

/// Returns a code such as `23505`, `PGRST116` or `session_ended` unchanged, and an empty text
/// instead of anything else. Codes are logged, and other text may quote the request with its key.
pub(crate) fn sanitize_code(code: &str, longest: usize) -> &str {
    let is_plain = code.len() <= longest && code.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    if is_plain { code } else { "" }
}

/// Returns the other system's id of a request, from the headers of its response.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    Some(id.chars().take(100).collect())
}

impl HttpResponse {
    /// Returns the body of a success. `as_user` is whether the request carried a user's token.
    ///
    /// # Errors
    /// Returns the cause of any other response by the table of its system.
    pub fn accepted<C: Copy>(
        &self,
        table: &CauseTable<C>,
        as_user: bool,
    ) -> Result<&Bytes, ClassifiedRejection<C>> {
        if self.status.is_success() {
            return Ok(&self.body);
        }
        let status = self.status.as_u16();
        let said = ErrorBody::read(&self.body);
        let row = table.rows.iter().find(|row| row.matches(&said, status, as_user));
        Err(ClassifiedRejection {
            cause: row.map_or(table.rest, |row| row.cause),
            status,
            code: said.code,
            message: said.message,
            details: said.details,
            hint: said.hint,
            retry_after: retry_after(&self.headers),
        })
    }

    /// Returns the cause by the table of the system, or `None` for a success.
    pub fn cause<C: Copy>(&self, table: &CauseTable<C>, as_user: bool) -> Option<C> {
        self.accepted(table, as_user).err().map(|rejection| rejection.cause)
    }

    /// Returns the other system's id of the request, for its support.
    pub fn request_id(&self) -> Option<String> {
        request_id(&self.headers)
    }

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
    fn error_body_identifies_the_author_of_a_response() {
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
            let parsed = ErrorBody::read(body.as_bytes());
            assert_eq!((parsed.speaker, parsed.code.as_str()), (speaker, code), "{body}");
        }
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
                assert!(
                    by.is_none() || row.codes.is_empty() && !row.statuses.is_empty(),
                    "{row:?} by {by:?}"
                );
            }
        }
        assert_no_hidden_row(supabase::TABLE.rows);
        assert_no_hidden_row(openai::TABLE.rows);
        assert_no_hidden_row(model::TABLE.rows);
    }
}
