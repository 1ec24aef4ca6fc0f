//! Error codes of the API, each with its HTTP status, title and advice.

/// Declares the codes in one table, so that no code can lack a part.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $status:literal $code:literal $title:literal, $advice:literal;)*) => {
        /// A stable error code, on which programs may depend. [`ErrorCode::as_str`] is the member
        /// `code` of the problem details.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode { $(#[doc = concat!($title, ". ", $advice)] $variant,)* }

        impl ErrorCode {
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str { match self { $(Self::$variant => $code,)* } }

            pub const fn status(self) -> u16 { match self { $(Self::$variant => $status,)* } }

            /// Describes the condition, with the same text for every occurrence.
            pub const fn title(self) -> &'static str { match self { $(Self::$variant => $title,)* } }

            /// Instructs the caller or the operator how to resolve the error.
            pub const fn advice(self) -> &'static str { match self { $(Self::$variant => $advice,)* } }
        }
    };
}

codes! {
    MalformedRequest = 400 "malformed_request" "The request cannot be read", "Send a request that follows RFC 9110 and RFC 3986.";
    MalformedBody = 400 "malformed_body" "The body is not JSON", "Send one JSON document in UTF-8.";
    MalformedId = 400 "malformed_id" "The id in the path is not a UUID", "Use the id as the API gave it.";
    MalformedCursor = 400 "malformed_cursor" "Invalid cursor", "Pass a cursor unchanged, as an earlier response contains it.";
    InvalidIdempotencyKey = 400 "invalid_idempotency_key" "Invalid Idempotency-Key", "Send 1 to 255 visible ASCII characters, for example a random UUID.";
    MissingToken = 401 "missing_token" "No access token", "Send the user's Supabase access token: Authorization: Bearer <token>.";
    MissingClientSecret = 401 "missing_client_secret" "No client secret", "Send the client secret of the session: Authorization: Bearer <secret>.";
    InvalidToken = 401 "invalid_token" "The access token is not valid here", "Sign in again and send the new access token of this Supabase project.";
    ExpiredToken = 401 "expired_token" "The access token has expired", "Refresh the Supabase session and send the new access token.";
    ClientSecretRejected = 401 "client_secret_rejected" "The client secret is not valid", "Request another one: POST /chatkit/sessions with the sessionId, the purpose refresh and rejected: true.";
    WebhookSecretRefused = 401 "webhook_secret_refused" "Invalid webhook secret", "Send X-Webhook-Secret with the value of DATABASE_WEBHOOK_SECRET.";
    AnonymousUser = 403 "anonymous_user" "Anonymous users have no organisation", "Sign in with an account of the organisation.";
    NoOrganisation = 403 "no_organisation" "The user belongs to no organisation", "Ask an administrator to set app_metadata.org_id of the user, then sign in again.";
    NotAMember = 403 "not_a_member" "The user is no longer a member of this organisation", "Sign in again. If the error persists, ask an administrator of the organisation.";
    OwnRequest = 403 "own_request" "Users may not decide their own requests", "Ask another owner, admin or approver of the organisation to decide.";
    AuthorMayNotDecide = 403 "author_may_not_decide" "The author of a call may not approve it", "Ask another owner, admin or approver of the organisation to decide.";
    RequesterMustConfirm = 403 "requester_must_confirm" "Only the requester may confirm this call", "Ask the session's user to approve it. An approver may reject it.";
    OauthClientForbidden = 403 "oauth_client_forbidden" "A third-party application may not decide", "Decide in the organisation's own application, signed in there.";
    StepUpRequired = 403 "step_up_required" "Deciding requires a second factor", "Verify a second factor with Supabase (aal2), and send the new access token.";
    RowPolicyRefused = 403 "row_policy_refused" "The project's row policies do not allow the user to read this session", "Meet the project's conditions, for example a second factor, and send the new access token.";
    AgentForbidden = 403 "agent_forbidden" "The user may not use this agent", "Choose one of GET /chatkit/agents.";
    ScopeForbidden = 403 "scope_forbidden" "Only approvers may list the whole organisation's sessions", "Leave out the scope parameter to list your own.";
    MetricsForbidden = 403 "metrics_forbidden" "Only approvers may read the organisation's metrics", "Ask an owner, an admin or an approver of the organisation.";
    OriginForbidden = 403 "origin_forbidden" "This origin may not call the API from a browser", "Add it to CORS_ALLOWED_ORIGINS.";
    RouteNotFound = 404 "route_not_found" "Unknown path", "See the API description for the paths.";
    SessionNotFound = 404 "session_not_found" "Session not found", "Check the id. A session can be used by its user, and read by the organisation's approvers.";
    ThreadNotFound = 404 "thread_not_found" "Thread not found", "Check the id. A thread can be used by its user, in a session with the thread's agent.";
    ItemNotFound = 404 "item_not_found" "Item not found", "Check the id. The item may have been replaced by another answer.";
    EscalationNotFound = 404 "escalation_not_found" "Escalation not found", "Check the id. An escalation can be used by its session's user and the organisation's approvers.";
    UserNotFound = 404 "user_not_found" "User not found", "Check orgId and userId. There is nothing to erase for them.";
    MethodNotAllowed = 405 "method_not_allowed" "The method is not allowed here", "Use one of the methods in the Allow header.";
    SessionEnded = 409 "session_ended" "The session has ended", "Open a new one: POST /chatkit/sessions with an agentId, without a sessionId, and with a new Idempotency-Key.";
    StillRunning = 409 "still_running" "The same request is still running", "Send it again unchanged after Retry-After.";
    EventConflict = 409 "event_conflict" "A different event already has this id", "Use a new id for a new event. Repeat an event only unchanged.";
    AgentChanged = 409 "agent_changed" "The session is with a different agent than expected", "Read the session and decide again.";
    ProviderChanged = 409 "provider_changed" "The session's agent has moved to another provider", "Open a new session: POST /chatkit/sessions with an agentId, without a sessionId.";
    SubjectChanged = 409 "subject_changed" "The decision is not about the escalation's current subject", "Read the escalation, check its subject, and send its subjectHash.";
    EscalationResolved = 409 "escalation_resolved" "The escalation is already decided", "See decision. It cannot be changed.";
    EscalationClosed = 409 "escalation_closed" "The escalation is closed", "There is nothing to decide: it expired or was withdrawn, for example because its session ended.";
    EscalationClaimed = 409 "escalation_claimed" "Another person has claimed the escalation", "See claim. Wait until it ends, or ask the person to release it.";
    TooManyEdits = 409 "too_many_edits" "Too many edits in a row", "Approve it as it is, or reject it.";
    NoOtherApprover = 409 "no_other_approver" "No other approver can approve the edited call", "Add an approver to the organisation, or approve or reject the call as it is.";
    TooManyEscalations = 409 "too_many_escalations" "Too many escalations are open", "Decide or withdraw some first. At most 20 may be open in a session and 100 for a user.";
    TooManySessions = 409 "too_many_sessions" "The user has too many active sessions", "Cancel sessions that are no longer needed, or resume one.";
    TooManyThreads = 409 "too_many_threads" "Too many threads in the session", "Open a new session for more threads. A session has at most 100.";
    SessionIdTaken = 409 "session_id_taken" "The session id is already in use", "Send the request again.";
    ErasureRunning = 409 "erasure_running" "The user's data is being erased", "Send it again when the erasure is finished. Ask the operator for its state.";
    BodyTooLarge = 413 "body_too_large" "The body is too large", "Send at most 256 KiB.";
    UnsupportedMediaType = 415 "unsupported_media_type" "The body is not declared as JSON", "Send Content-Type: application/json.";
    UnsupportedContentEncoding = 415 "unsupported_content_encoding" "The body is compressed", "Send it uncompressed, without Content-Encoding.";
    InvalidRequest = 422 "invalid_request" "The request is well-formed but invalid", "Correct the fields that errors lists.";
    ChatRequestUnsupported = 422 "chat_request_unsupported" "This request of ChatKit is not supported", "Disable the feature in the options of ChatKit.js, for example attachments or dictation.";
    IdempotencyKeyReused = 422 "idempotency_key_reused" "The Idempotency-Key was used for a different request", "Use a new key for a new request. Repeat a request only unchanged.";
    AgentUnavailable = 422 "agent_unavailable" "The organisation has no such agent", "Choose one of GET /chatkit/agents.";
    ChannelUnavailable = 422 "channel_unavailable" "The agent is not available in this channel", "Open a session with the channel web, or choose another agent.";
    SessionMismatch = 422 "session_mismatch" "The session has another agent or other metadata", "Leave out agentId and metadata. A handover event changes the agent.";
    DecisionNotOffered = 422 "decision_not_offered" "The escalation does not offer this decision", "Choose one of its decisions.";
    AnswerRequired = 422 "answer_required" "This decision needs an answer", "Send an answer with edit and with respond.";
    CommentRequired = 422 "comment_required" "This decision needs a comment", "Send a comment with each decision that commentRequired lists.";
    InvalidAnswer = 422 "invalid_answer" "The answer does not match the escalation's schema", "Send an answer that matches answerSchema. If errors is present, it lists each error.";
    AnswerNotChecked = 422 "answer_not_checked" "An event's answer is not checked against a schema", "Send the decision to POST /chatkit/escalations/{id}/decision.";
    PolicyForbids = 422 "policy_forbids" "The tool's policy does not allow these inputs", "Send other inputs, or reject.";
    ModelInputTooLong = 422 "model_input_too_long" "The conversation is too long for the model", "Send a shorter message, or start a new thread.";
    ModelPromptRejected = 422 "model_prompt_rejected" "The model's server does not accept the message", "Send it in other words.";
    TooManyFigures = 422 "too_many_figures" "The result is too large", "Request a shorter window, days instead of hours, or no groups.";
    RateLimited = 429 "rate_limited" "Too many requests", "Send it again after Retry-After.";
    OrgRateLimited = 429 "org_rate_limited" "Too many messages of the organisation", "Send it again after Retry-After. Operator: see the limits of the organisation.";
    TooManyRuns = 429 "too_many_runs" "Too many answers are running for the user", "Stop an answer, or wait until one has ended. Then send it again.";
    OrgTooManyRuns = 429 "org_too_many_runs" "Too many answers are running in the organisation", "Send it again after Retry-After. Operator: see the limits of the organisation.";
    TokensUsedUp = 429 "tokens_used_up" "The user's tokens of the day are used up", "Send it again after Retry-After. Operator: see the limits of the organisation.";
    OrgTokensUsedUp = 429 "org_tokens_used_up" "The organisation's tokens of the day are used up", "Send it again after Retry-After. Operator: see the limits of the organisation.";
    Internal = 500 "internal_error" "Something went wrong on our side", "Try again. If the error persists, report the requestId.";
    ChatkitKeyRejected = 502 "chatkit_key_refused" "OpenAI refused the API key", "Operator: check OPENAI_CHATKIT_SECRET.";
    ChatkitProjectRefused = 502 "chatkit_project_refused" "OpenAI refused the project", "Operator: check OPENAI_CHATKIT_PROJECT and the key's permissions.";
    ChatkitWorkflowNotFound = 502 "chatkit_workflow_not_found" "OpenAI does not know the agent's workflow in this project", "Operator: check the agent's workflow id, and that the key belongs to the workflow's project.";
    ChatkitAgentRefused = 502 "chatkit_agent_refused" "OpenAI rejected the agent's settings", "Operator: check the agent's workflow id and version in the registry.";
    ChatkitRequestBlocked = 502 "chatkit_request_blocked" "A firewall or a region rule blocked the request to OpenAI", "Operator: check the network between the function and OpenAI, and the project's address rules.";
    ChatkitQuotaExhausted = 502 "chatkit_quota_exhausted" "OpenAI's credit or budget is used up", "Operator: add credit or raise the project's budget at OpenAI.";
    ChatkitBadAnswer = 502 "chatkit_bad_answer" "OpenAI returned an invalid response", "Try again. If the error persists, report the requestId.";
    ModelKeyRejected = 502 "model_key_refused" "The model's server rejected the API key", "Operator: check MODEL_API_KEY, and that the key may use the agent's model.";
    ModelRequestBlocked = 502 "model_request_blocked" "A firewall or a region rule blocked the request to the model's server", "Operator: check the network between the function and MODEL_BASE_URL.";
    ModelNotFound = 502 "model_not_found" "The model's server does not have the agent's model", "Operator: check the agent's model in the registry.";
    ModelEndpointNotFound = 502 "model_endpoint_not_found" "The model's server does not have the Responses API", "Operator: check MODEL_BASE_URL, which usually ends with /v1.";
    ModelSettingsRejected = 502 "model_settings_rejected" "The model's server rejected the agent's settings", "Operator: check the agent's reasoning effort and limits in the registry.";
    ModelQuotaExhausted = 502 "model_quota_exhausted" "The credit or budget for the model is used up", "Operator: add credit or raise the budget at the model's provider.";
    ModelBadAnswer = 502 "model_bad_answer" "The model's server returned an invalid response", "Try again. If the error persists, report the requestId.";
    SupabaseKeyRejected = 502 "supabase_key_refused" "Supabase rejected the API key, or a grant is missing", "Operator: check the Supabase keys, and that all migrations are applied.";
    SupabaseRequestBlocked = 502 "supabase_request_blocked" "A firewall blocked the request to Supabase", "Change the text and try again. Operator: check the firewall in front of Supabase.";
    SupabaseBadAnswer = 502 "supabase_bad_answer" "Supabase returned an invalid response", "Try again. If the error persists, report the requestId.";
    ChatkitUnavailable = 503 "chatkit_unavailable" "OpenAI is unavailable", "Try again after Retry-After. Reads, events and cancelling still work.";
    ChatkitRateLimited = 503 "chatkit_rate_limited" "OpenAI's rate limit is exhausted", "Try again after Retry-After.";
    ModelUnavailable = 503 "model_unavailable" "The model is unavailable", "Try again after Retry-After. Reads still work.";
    ModelRateLimited = 503 "model_rate_limited" "The model's rate limit is exhausted", "Try again after Retry-After.";
    SupabaseUnavailable = 503 "supabase_unavailable" "Supabase is unavailable", "Try again after Retry-After. Nothing was done partially.";
    SupabaseOverloaded = 503 "supabase_overloaded" "Supabase is overloaded", "Try again after Retry-After. Nothing was done.";
    SupabaseReadOnly = 503 "supabase_read_only" "Supabase's database is read-only", "Try again after Retry-After. Reads still work. Operator: free disk space.";
    SupabasePaused = 503 "supabase_paused" "The Supabase project is paused or restricted", "Operator: resume the project, or lift its restriction.";
    SupabaseSchemaMismatch = 503 "supabase_schema_mismatch" "The functions and the migrations have different versions", "Try again after Retry-After. Operator: apply the migrations.";
    RouteEventsNotStarted = 503 "route_events_not_started" "route-events could not be started", "Nothing is lost: the schedule starts it. Operator: see the cause in the log.";
    ChatkitTimeout = 504 "chatkit_timeout" "OpenAI did not answer in time", "Try again.";
    ModelTimeout = 504 "model_timeout" "The model did not answer in time", "Try again.";
    SupabaseTimeout = 504 "supabase_timeout" "Supabase did not answer in time", "Try again. Every request may be repeated.";
    DeadlineExceeded = 504 "deadline_exceeded" "The request took too long", "Try again.";
}

impl ErrorCode {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_have_a_status_and_advice() {
        for code in ErrorCode::ALL {
            assert_eq!(ErrorCode::parse(code.as_str()), Some(*code));
            assert!((400..600).contains(&code.status()) && code.advice().ends_with('.'), "{code:?}");
        }
    }
}
