//! Classification of responses from the model's server, and of errors in its streams.
//! Source: <https://platform.openai.com/docs/guides/error-codes>
//!
//! The server may be OpenAI, Azure, vLLM, Ollama or a proxy. All of them return OpenAI's form of an
//! error, and not all of them return its codes.

use super::{CauseTable, Done, Meaning, Responsible, Row, Speaker};
use crate::{
    error::ErrorCode,
    platform::http_client::{RetryDecision, TransportError},
};

/// Cause of a response of the model that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelCause {
    /// The API key is wrong or revoked, or may not use the model.
    KeyRejected,
    /// A firewall, or a rule on addresses or regions, rejected the request.
    Blocked,
    /// The server does not have the agent's model.
    ModelNotFound,
    /// The server does not have the Responses API at this address.
    EndpointNotFound,
    /// The server does not accept the agent's settings.
    SettingsRejected,
    /// The input is longer than the model accepts.
    InputTooLong,
    /// The server does not accept the text of the conversation.
    PromptRejected,
    RateLimited,
    /// The account's credit or budget is used up.
    QuotaExhausted,
    /// The server reported an outage or could not be reached.
    Unavailable,
    /// The stream ended without an event that ends a response.
    Cut,
    TimedOut,
    /// The response is not an event stream.
    NotEventStream,
    /// An event, or the stream, is larger than allowed.
    TooLarge,
    /// The response is invalid or unexpected.
    BadAnswer,
}

use ModelCause::*;
use Speaker::{Gateway, OpenAi, Other};

/// The first row that matches determines the cause.
pub const TABLE: CauseTable<ModelCause> = CauseTable { rows: ROWS, rest: BadAnswer };

const ROWS: &[Row<ModelCause>] = &[
    Row::new(OpenAi, Blocked).code(&["unsupported_country_region_territory", "ip_not_authorized"]),
    Row::new(OpenAi, QuotaExhausted).code(QUOTA_CODES),
    Row::new(OpenAi, InputTooLong).code(LENGTH_CODES),
    Row::new(OpenAi, PromptRejected).code(PROMPT_CODES),
    Row::new(OpenAi, ModelNotFound).code(MODEL_CODES),
    // vLLM does not send a code.
    Row::new(OpenAi, InputTooLong).status(&[400..=400]).says("maximum context length"),
    Row::new(OpenAi, InputTooLong).status(&[413..=413]),
    Row::new(OpenAi, KeyRejected).status(&[401..=401, 403..=403]),
    Row::new(OpenAi, ModelNotFound).status(&[404..=404]).says("model"),
    Row::new(OpenAi, EndpointNotFound).status(&[404..=405]),
    Row::new(OpenAi, RateLimited).status(&[429..=429]),
    Row::new(OpenAi, Unavailable).status(&[408..=409, 500..=599]),
    Row::new(OpenAi, SettingsRejected).status(&[400..=400, 422..=422]),
    Row::new(Gateway, QuotaExhausted).status(&[402..=402]),
    Row::new(Gateway, InputTooLong).status(&[400..=400]).says("maximum context length"),
    Row::new(Gateway, InputTooLong).status(&[413..=413]),
    Row::new(Gateway, KeyRejected).status(&[401..=401]),
    Row::new(Gateway, Blocked).status(&[403..=403, 451..=451]),
    Row::new(Gateway, ModelNotFound).status(&[404..=404]).says("model"),
    Row::new(Gateway, EndpointNotFound).status(&[404..=405]),
    Row::new(Gateway, RateLimited).status(&[429..=429]),
    Row::new(Gateway, Unavailable).status(&[408..=408, 500..=599]),
    Row::new(Gateway, SettingsRejected).status(&[400..=400, 422..=422]),
    Row::new(Other, KeyRejected).status(&[401..=401]),
    Row::new(Other, Blocked).status(&[403..=403, 406..=406, 451..=451]),
    Row::new(Other, EndpointNotFound).status(&[404..=405]),
    Row::new(Other, InputTooLong).status(&[413..=413]),
    Row::new(Other, RateLimited).status(&[429..=429]),
    Row::new(Other, Unavailable).status(&[408..=408, 500..=599]),
];

const QUOTA_CODES: &[&str] =
    &["insufficient_quota", "billing_not_active", "billing_hard_limit_reached", "insufficient_credits"];
const LENGTH_CODES: &[&str] = &["context_length_exceeded", "string_above_max_length"];
/// Azure rejects a prompt by its content filter.
const PROMPT_CODES: &[&str] = &["invalid_prompt", "content_filter", "content_policy_violation"];
const MODEL_CODES: &[&str] = &["model_not_found", "DeploymentNotFound"];

impl ModelCause {
    /// Returns the consequences of a cause. A request stores nothing, so a repeat only costs
    /// tokens.
    pub const fn meaning(self) -> Meaning {
        let (is_transient, done, responsible, code) = match self {
            KeyRejected => (false, Done::No, Responsible::Operator, ErrorCode::ModelKeyRejected),
            Blocked => (false, Done::No, Responsible::Operator, ErrorCode::ModelRequestBlocked),
            ModelNotFound => (false, Done::No, Responsible::Operator, ErrorCode::ModelNotFound),
            EndpointNotFound => (false, Done::No, Responsible::Operator, ErrorCode::ModelEndpointNotFound),
            SettingsRejected => (false, Done::No, Responsible::Operator, ErrorCode::ModelSettingsRejected),
            InputTooLong => (false, Done::No, Responsible::Caller, ErrorCode::ModelInputTooLong),
            PromptRejected => (false, Done::No, Responsible::Caller, ErrorCode::ModelPromptRejected),
            RateLimited => (true, Done::No, Responsible::System, ErrorCode::ModelRateLimited),
            QuotaExhausted => (false, Done::No, Responsible::Operator, ErrorCode::ModelQuotaExhausted),
            Unavailable => (true, Done::Unknown, Responsible::System, ErrorCode::ModelUnavailable),
            Cut => (true, Done::Unknown, Responsible::System, ErrorCode::ModelUnavailable),
            TimedOut => (true, Done::Unknown, Responsible::System, ErrorCode::ModelTimeout),
            NotEventStream => (false, Done::Unknown, Responsible::Operator, ErrorCode::ModelBadAnswer),
            TooLarge => (false, Done::Unknown, Responsible::Operator, ErrorCode::ModelBadAnswer),
            BadAnswer => (false, Done::Unknown, Responsible::Operator, ErrorCode::ModelBadAnswer),
        };
        Meaning { is_transient, done, responsible, code: Some(code) }
    }

    /// Returns whether to retry before the stream, and whether the key was rejected.
    pub const fn retry_decision(self) -> RetryDecision {
        RetryDecision { retry: self.meaning().is_transient, unauthorized: matches!(self, KeyRejected) }
    }

    /// Returns the cause for a call without a response.
    pub(crate) const fn from_transport_error(failure: &TransportError) -> Self {
        match failure {
            TransportError::Unreachable(_) => Unavailable,
            TransportError::Broken(_) => Cut,
            TransportError::TimedOut => TimedOut,
            TransportError::TooLarge => TooLarge,
        }
    }

    /// Returns the cause of an error in a stream, or of a failed response, by its code. The codes
    /// of the table have the same cause as before the stream.
    pub fn from_event_code(code: Option<&str>) -> Self {
        let code = code.unwrap_or_default();
        if let Some(row) = ROWS.iter().find(|row| row.codes.contains(&code)) {
            return row.cause;
        }
        if code.starts_with("rate_limit") {
            return RateLimited;
        }
        match code {
            "429" => RateLimited,
            "invalid_api_key" | "authentication_error" => KeyRejected,
            "invalid_request_error" => SettingsRejected,
            // `server_error` of OpenAI, and whatever others call a failure while they answer.
            _ => Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::http_client::HttpResponse;

    #[test]
    fn responses_of_several_servers_have_the_cause_of_the_table() {
        let openai =
            |code: &str, message: &str| format!(r#"{{"error":{{"message":"{message}","code":{code}}}}}"#);
        for (status, body, cause) in [
            (401, openai(r#""invalid_api_key""#, "Incorrect API key"), KeyRejected),
            (401, r#"{"statusCode":401,"message":"Access denied"}"#.to_owned(), KeyRejected),
            (401, String::new(), KeyRejected),
            (403, "<html>Forbidden</html>".to_owned(), Blocked),
            (403, openai(r#""unsupported_country_region_territory""#, "No"), Blocked),
            (404, openai(r#""model_not_found""#, "No"), ModelNotFound),
            (404, openai("null", "The model `x` does not exist"), ModelNotFound),
            (404, openai(r#""DeploymentNotFound""#, "No"), ModelNotFound),
            (404, openai("null", "Invalid URL (POST /v1/responses)"), EndpointNotFound),
            (404, r#"{"detail":"Not Found"}"#.to_owned(), EndpointNotFound),
            (404, "404 page not found".to_owned(), EndpointNotFound),
            (400, openai(r#""context_length_exceeded""#, "Too long"), InputTooLong),
            (400, openai("400", "This model's maximum context length is 4096 tokens."), InputTooLong),
            (413, "<html>413</html>".to_owned(), InputTooLong),
            (400, openai(r#""content_filter""#, "Filtered"), PromptRejected),
            (
                400,
                openai(r#""unsupported_parameter""#, "Unsupported parameter: 'reasoning'"),
                SettingsRejected,
            ),
            (429, openai(r#""rate_limit_exceeded""#, "Slow down"), RateLimited),
            (429, openai(r#""insufficient_quota""#, "You exceeded your current quota"), QuotaExhausted),
            (402, r#"{"message":"Insufficient credits"}"#.to_owned(), QuotaExhausted),
            (429, "slow down".to_owned(), RateLimited),
            (500, openai(r#""server_error""#, "Sorry"), Unavailable),
            (502, "<html>502</html>".to_owned(), Unavailable),
            (503, openai("null", "Overloaded"), Unavailable),
            (302, String::new(), BadAnswer),
        ] {
            let response = HttpResponse::for_test(status, body.clone());
            assert_eq!(response.cause(&TABLE, false), Some(cause), "{status} {body}");
        }
    }

    #[test]
    fn only_passing_conditions_are_retried() {
        let causes = [RateLimited, Unavailable, Cut, TimedOut];
        for row in ROWS {
            assert_eq!(row.cause.retry_decision().retry, causes.contains(&row.cause), "{row:?}");
        }
    }

    #[test]
    fn code_of_a_failed_response_has_the_cause_of_the_same_status() {
        for (code, cause) in [
            (Some("rate_limit_exceeded"), RateLimited),
            (Some("insufficient_quota"), QuotaExhausted),
            (Some("context_length_exceeded"), InputTooLong),
            (Some("invalid_prompt"), PromptRejected),
            (Some("ip_not_authorized"), Blocked),
            (Some("server_error"), Unavailable),
            (Some("something new"), Unavailable),
            (None, Unavailable),
        ] {
            assert_eq!(ModelCause::from_event_code(code), cause, "{code:?}");
        }
    }
}
