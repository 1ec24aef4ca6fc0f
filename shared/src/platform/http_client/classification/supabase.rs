//! Classification of responses from Supabase: PostgREST, the gateway in front of it, the auth
//! server, and the networks in between. Sources:
//! <https://docs.postgrest.org/en/stable/references/errors.html>,
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>,
//! <https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-5xx-errors/>

use super::{CauseTable, Done, Meaning, Responsible, Row, Speaker};
use crate::{
    error::ErrorCode,
    platform::http_client::{RetryDecision, TransportError},
};

/// SupabaseCause of a failed request to Supabase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SupabaseCause {
    /// One of our SQL functions rejected the request.
    Refused,
    /// The user's token expired between our check and PostgREST's.
    TokenExpired,
    /// PostgREST does not accept the user's token.
    TokenRefused,
    /// The clocks of Supabase's servers differ: a token that one server has just issued is
    /// not valid yet for another.
    ClockSkew,
    /// PostgREST does not accept the token that the gateway derived from our key.
    ServiceTokenRefused,
    /// The gateway does not accept our key.
    KeyRejected,
    /// The database role lacks a grant.
    GrantMissing,
    /// PostgREST does not know the function, table or column.
    SchemaMismatch,
    /// The database does not accept writes.
    ReadOnly,
    /// The project is paused or restricted.
    Paused,
    /// All connections are in use, or there are too many requests.
    Overloaded,
    /// Two transactions conflicted with each other.
    Conflict,
    /// The database cancelled the statement after its timeout.
    StatementTimeout,
    /// A firewall rejected the request.
    Blocked,
    /// Supabase could not be reached or reported an outage.
    Unavailable,
    TimedOut,
    /// Anything else: a defect of ours or of the deployment.
    BadAnswer,
}

use Speaker::{Gateway, Other, PostgRest};
use SupabaseCause::*;

/// The first row that matches determines the cause.
pub const TABLE: CauseTable<SupabaseCause> = CauseTable { rows: ROWS, rest: BadAnswer };

const ROWS: &[Row<SupabaseCause>] = &[
    Row::new(PostgRest, Refused).code(&["PT*"]),
    Row::new(PostgRest, ClockSkew).code(&["PGRST303"]).says("future"),
    Row::new(PostgRest, ClockSkew).code(&["PGRST303"]).says("not yet valid"),
    Row::new(PostgRest, TokenExpired).code(&["PGRST303"]).says("expired").asked_with_token(true),
    Row::new(PostgRest, TokenRefused).code(&["PGRST301", "PGRST302", "PGRST303"]).asked_with_token(true),
    Row::new(PostgRest, ServiceTokenRefused)
        .code(&["PGRST301", "PGRST302", "PGRST303"])
        .asked_with_token(false),
    Row::new(PostgRest, GrantMissing).code(&["42501"]),
    Row::new(PostgRest, StatementTimeout).code(&["57014"]),
    Row::new(PostgRest, Conflict).code(&["40001", "40P01", "55P03"]),
    Row::new(PostgRest, ReadOnly).code(&["25006", "53100"]),
    Row::new(PostgRest, Overloaded).code(&["PGRST003", "53*"]),
    Row::new(PostgRest, Unavailable)
        .code(&["PGRST000", "PGRST001", "PGRST002", "57P*", "08*", "58*", "XX000"]),
    Row::new(PostgRest, SchemaMismatch).code(&[
        "PGRST106", "PGRST200", "PGRST201", "PGRST202", "PGRST203", "PGRST204", "PGRST205", "3F000", "42703",
        "42704", "42725", "42883", "42P01",
    ]),
    Row::new(Gateway, KeyRejected).status(&[401..=401, 403..=403]),
    Row::new(Gateway, Paused).status(&[402..=402, 540..=540]),
    Row::new(Gateway, Overloaded).status(&[429..=429]),
    Row::new(Gateway, Unavailable).status(&[408..=408, 500..=599]),
    Row::new(Other, Blocked).status(&[401..=401, 403..=403, 406..=406, 451..=451]),
    Row::new(Other, Paused).status(&[402..=402, 540..=540]),
    Row::new(Other, Overloaded).status(&[429..=429]),
    Row::new(Other, Unavailable).status(&[408..=408, 500..=599]),
];

impl SupabaseCause {
    /// Returns the consequences of a cause. Reads change nothing, and each of our SQL functions may
    /// be called again, so every transient cause is retried.
    pub const fn meaning(self) -> Meaning {
        let (is_transient, done, responsible, code) = match self {
            Refused => (false, Done::No, Responsible::Caller, None),
            TokenExpired => (false, Done::No, Responsible::Caller, Some(ErrorCode::ExpiredToken)),
            TokenRefused => (false, Done::No, Responsible::Caller, Some(ErrorCode::InvalidToken)),
            ClockSkew | ServiceTokenRefused | Conflict => {
                (true, Done::No, Responsible::System, Some(ErrorCode::SupabaseUnavailable))
            }
            KeyRejected | GrantMissing => {
                (false, Done::No, Responsible::Operator, Some(ErrorCode::SupabaseKeyRejected))
            }
            SchemaMismatch => {
                (true, Done::No, Responsible::Operator, Some(ErrorCode::SupabaseSchemaMismatch))
            }
            ReadOnly => (false, Done::No, Responsible::Operator, Some(ErrorCode::SupabaseReadOnly)),
            Paused => (false, Done::No, Responsible::Operator, Some(ErrorCode::SupabasePaused)),
            Overloaded => (true, Done::No, Responsible::Operator, Some(ErrorCode::SupabaseOverloaded)),
            StatementTimeout => (false, Done::No, Responsible::Operator, Some(ErrorCode::SupabaseTimeout)),
            Blocked => (false, Done::No, Responsible::Operator, Some(ErrorCode::SupabaseRequestBlocked)),
            Unavailable => (true, Done::Unknown, Responsible::System, Some(ErrorCode::SupabaseUnavailable)),
            TimedOut => (true, Done::Unknown, Responsible::System, Some(ErrorCode::SupabaseTimeout)),
            BadAnswer => (false, Done::Unknown, Responsible::Operator, Some(ErrorCode::SupabaseBadAnswer)),
        };
        Meaning { is_transient, done, responsible, code }
    }

    /// Returns whether to retry the request, and whether the key or token was rejected.
    pub const fn retry_decision(self) -> RetryDecision {
        let unauthorized = matches!(self, TokenExpired | TokenRefused | KeyRejected | GrantMissing);
        RetryDecision { retry: self.meaning().is_transient, unauthorized }
    }

    /// Returns the cause for a call without a response.
    pub(crate) const fn from_transport_error(failure: &TransportError) -> Self {
        match failure {
            TransportError::Unreachable(_) | TransportError::Broken(_) => Unavailable,
            TransportError::TimedOut => TimedOut,
            TransportError::TooLarge => BadAnswer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::http_client::HttpResponse;

    /// The responses are taken from public reports.
    #[test]
    fn responses_from_public_reports_have_the_expected_cause() {
        let html = "<!DOCTYPE html><title>supabase.co | 522: Connection timed out</title>";
        for (status, body, as_user, cause) in [
            (
                401,
                r#"{"code":"PGRST303","details":null,"hint":null,"message":"JWT issued at future"}"#,
                false,
                ClockSkew,
            ),
            (
                401,
                r#"{"code":"PGRST303","details":null,"hint":null,"message":"JWT issued at future"}"#,
                true,
                ClockSkew,
            ),
            (
                401,
                r#"{"code":"PGRST303","details":null,"hint":null,"message":"JWT expired"}"#,
                true,
                TokenExpired,
            ),
            (
                401,
                r#"{"code":"PGRST303","details":null,"hint":null,"message":"JWT expired"}"#,
                false,
                ServiceTokenRefused,
            ),
            (
                401,
                r#"{"code":"PGRST301","details":"No suitable key","hint":null,"message":"No suitable key or wrong key type"}"#,
                true,
                TokenRefused,
            ),
            (
                401,
                r#"{"message":"Invalid API key","hint":"Double check your Supabase `anon` or `service_role` API key."}"#,
                false,
                KeyRejected,
            ),
            (
                401,
                r#"{"message":"No API key found in request","hint":"No `apikey` request header or url param was found."}"#,
                true,
                KeyRejected,
            ),
            (
                403,
                r#"{"code":"42501","details":null,"hint":null,"message":"permission denied for function open_session"}"#,
                false,
                GrantMissing,
            ),
            (
                403,
                "<html><head><title>Attention Required! | Cloudflare</title></head></html>",
                false,
                Blocked,
            ),
            (403, "", true, Blocked),
            (
                500,
                r#"{"code":"57014","details":null,"hint":null,"message":"canceling statement due to statement timeout"}"#,
                false,
                StatementTimeout,
            ),
            (
                405,
                r#"{"code":"25006","details":null,"hint":null,"message":"cannot execute INSERT in a read-only transaction"}"#,
                false,
                ReadOnly,
            ),
            (
                500,
                r#"{"code":"40P01","details":"Process 1 waits","hint":null,"message":"deadlock detected"}"#,
                false,
                Conflict,
            ),
            (
                404,
                r#"{"code":"PGRST202","details":null,"hint":null,"message":"Could not find the function public.open_session"}"#,
                false,
                SchemaMismatch,
            ),
            (
                404,
                r#"{"code":"PGRST205","details":null,"hint":null,"message":"Could not find the table 'public.agents' in the schema cache"}"#,
                true,
                SchemaMismatch,
            ),
            (
                504,
                r#"{"code":"PGRST003","details":null,"hint":null,"message":"Timed out acquiring connection from connection pool."}"#,
                false,
                Overloaded,
            ),
            (
                503,
                r#"{"code":"PGRST002","details":null,"hint":null,"message":"Could not query the database for the schema cache. Retrying."}"#,
                false,
                Unavailable,
            ),
            (429, r#"{"message":"API rate limit exceeded"}"#, false, Overloaded),
            (
                402,
                r#"{"message":"Service for this project is restricted due to the following violations: exceed_egress_quota."}"#,
                false,
                Paused,
            ),
            (540, "<html>Project paused</html>", false, Paused),
            (520, html, false, Unavailable),
            (522, html, true, Unavailable),
            (526, html, false, Unavailable),
            (530, "error code: 1016", false, Unavailable),
            (
                502,
                r#"{"message":"An invalid response was received from the upstream server"}"#,
                false,
                Unavailable,
            ),
            (503, r#"{"message":"name resolution failed"}"#, false, Unavailable),
            (404, html, false, BadAnswer),
            (
                400,
                r#"{"code":"22P02","details":null,"hint":null,"message":"invalid input syntax for type uuid"}"#,
                false,
                BadAnswer,
            ),
        ] {
            assert_eq!(
                HttpResponse::for_test(status, body).cause(&TABLE, as_user),
                Some(cause),
                "{status} {body}"
            );
        }
    }
}
