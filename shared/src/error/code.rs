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
    MalformedRequest = 400 "malformed_request" "The request cannot be read", "Send it as RFC 9110 and RFC 3986 have it.";
    MalformedBody = 400 "malformed_body" "The body is not JSON", "Send one JSON document in UTF-8.";
    MalformedId = 400 "malformed_id" "The id in the path is not a UUID", "Use the id as the API gave it.";
    MalformedCursor = 400 "malformed_cursor" "The cursor is not one of ours", "Pass nextCursor of the page before, unchanged.";
    InvalidIdempotencyKey = 400 "invalid_idempotency_key" "The Idempotency-Key is not a key", "Send 1 to 255 visible ASCII characters, a random UUID say.";
    MissingToken = 401 "missing_token" "No access token", "Send the user's Supabase access token: Authorization: Bearer <token>.";
    InvalidToken = 401 "invalid_token" "The access token is not valid here", "Sign in again and send the new access token of this Supabase project.";
    ExpiredToken = 401 "expired_token" "The access token has expired", "Refresh the Supabase session and send the new access token.";
    WebhookSecretRefused = 401 "webhook_secret_refused" "The webhook's secret is not right", "Send X-Webhook-Secret with the value of DATABASE_WEBHOOK_SECRET.";
    AnonymousUser = 403 "anonymous_user" "Anonymous users have no organisation", "Sign in with an account of the organisation.";
    NoOrganisation = 403 "no_organisation" "The user belongs to no organisation", "An administrator sets app_metadata.org_id of the user; sign in again afterwards.";
    NotAMember = 403 "not_a_member" "The user is not a member of this organisation any more", "Sign in again; if it stays so, ask an administrator of the organisation.";
    OwnRequest = 403 "own_request" "This is not the user's own to decide", "Somebody else of the organisation decides: an owner, an admin or an approver.";
    AuthorMayNotDecide = 403 "author_may_not_decide" "The author of a call does not approve it", "Another owner, admin or approver of the organisation decides.";
    RequesterMustConfirm = 403 "requester_must_confirm" "Only the requester confirms this call", "The session's user approves it; an approver may reject it.";
    OauthClientForbidden = 403 "oauth_client_forbidden" "A third-party application may not decide", "Decide in the organisation's own application, signed in there.";
    StepUpRequired = 403 "step_up_required" "Deciding requires a second factor", "Verify a second factor with Supabase (aal2), and send the new access token.";
    RowPolicyRefused = 403 "row_policy_refused" "The project's row policies do not let the user read such a session", "Meet what the project demands, a second factor say, and send the new access token.";
    AgentForbidden = 403 "agent_forbidden" "This agent is not open to the user's role", "Choose one of GET /chatkit/agents.";
    ScopeForbidden = 403 "scope_forbidden" "Only approvers see the whole organisation's sessions", "Leave out the scope parameter to see your own.";
    MetricsForbidden = 403 "metrics_forbidden" "Only approvers see the organisation's metrics", "An owner, an admin or an approver of the organisation asks for them.";
    OriginForbidden = 403 "origin_forbidden" "This origin may not call the API from a browser", "Add it to CORS_ALLOWED_ORIGINS.";
    RouteNotFound = 404 "route_not_found" "There is nothing at this path", "See the API description for the paths.";
    SessionNotFound = 404 "session_not_found" "No such session", "Check the id. Only its user, and for reading the organisation's approvers, can use a session.";
    EscalationNotFound = 404 "escalation_not_found" "No such escalation", "Check the id. Only its session's user and the organisation's approvers can use an escalation.";
    UserNotFound = 404 "user_not_found" "Nothing is known of this user", "Check orgId and userId: there is nothing to erase under them.";
    MethodNotAllowed = 405 "method_not_allowed" "The method is not allowed here", "Use one of the methods in the Allow header.";
    SessionEnded = 409 "session_ended" "The session has ended", "It never goes on. Open a new one: POST /chatkit/sessions with an agentId, without a sessionId, under a new Idempotency-Key.";
    StillRunning = 409 "still_running" "The same request is still running", "Send it again, unchanged, after Retry-After.";
    EventConflict = 409 "event_conflict" "An event with this id says something else already", "Use a new id for a new event; repeat an event only unchanged.";
    AgentChanged = 409 "agent_changed" "The session is with another agent than expected", "Read the session, and decide again.";
    SubjectChanged = 409 "subject_changed" "The decision is on something else than the escalation asks", "Read the escalation, look at what it asks, and send its subjectHash.";
    EscalationResolved = 409 "escalation_resolved" "The escalation is decided already", "See decision for what stands; it cannot be changed.";
    EscalationClosed = 409 "escalation_closed" "The escalation is closed", "Nothing is left to decide: its time was over, or it was withdrawn, with its session say.";
    TooManyEdits = 409 "too_many_edits" "The call was edited too often in a row", "Approve it as it is, or reject it.";
    NoOtherApprover = 409 "no_other_approver" "Nobody else could approve the written call", "Add an approver to the organisation, or approve or reject the call as it is.";
    TooManyEscalations = 409 "too_many_escalations" "Too many escalations are open", "Decide or withdraw some first: a session's pages have at most 20 open, a user's 100.";
    TooManySessions = 409 "too_many_sessions" "The user has too many active sessions", "Cancel sessions that are no longer needed, or resume one.";
    TooManyThreads = 409 "too_many_threads" "The session links as many threads as it may", "Open a new session for further threads; a session links 100 at most.";
    SessionIdTaken = 409 "session_id_taken" "The session's id is taken", "Send the request again.";
    ErasureRunning = 409 "erasure_running" "The user's data is being erased", "Send it again when the erasure is finished; the operator knows.";
    BodyTooLarge = 413 "body_too_large" "The body is too large", "Send at most 256 KiB.";
    UnsupportedMediaType = 415 "unsupported_media_type" "The body is not declared as JSON", "Send Content-Type: application/json.";
    UnsupportedContentEncoding = 415 "unsupported_content_encoding" "The body is compressed", "Send it as it is, without Content-Encoding.";
    InvalidRequest = 422 "invalid_request" "The request is well-formed but wrong", "Correct what errors names.";
    IdempotencyKeyReused = 422 "idempotency_key_reused" "The Idempotency-Key stands for another request", "Use a new key for a new request; repeat a request only unchanged.";
    AgentUnavailable = 422 "agent_unavailable" "The organisation has no such agent", "Choose one of GET /chatkit/agents.";
    SessionMismatch = 422 "session_mismatch" "The session has another agent or other metadata", "Leave agentId and metadata out; a handover event changes the agent.";
    DecisionNotOffered = 422 "decision_not_offered" "The escalation does not offer this decision", "Choose one of its decisions.";
    AnswerRequired = 422 "answer_required" "This decision needs an answer", "Send an answer with edit and with respond.";
    InvalidAnswer = 422 "invalid_answer" "The answer is not what the escalation asks for", "Send what its answerSchema describes; where there is errors, it names each mistake.";
    AnswerNotChecked = 422 "answer_not_checked" "An event's answer is not checked against a schema", "Send the decision to POST /chatkit/escalations/{id}/decision.";
    PolicyForbids = 422 "policy_forbids" "The tool's policy does not allow these inputs", "Send other inputs, or reject.";
    TooManyFigures = 422 "too_many_figures" "There would be more figures than fit an answer", "Ask for a shorter window, for days instead of hours, or without groups.";
    RateLimited = 429 "rate_limited" "Too many requests", "Send it again after Retry-After.";
    Internal = 500 "internal_error" "Something went wrong on our side", "Try again; if it stays so, report the requestId.";
    ChatkitKeyRefused = 502 "chatkit_key_refused" "OpenAI refused the API key", "The operator checks OPENAI_CHATKIT_SECRET.";
    ChatkitProjectRefused = 502 "chatkit_project_refused" "OpenAI refused the project", "The operator checks OPENAI_CHATKIT_PROJECT and the key's permissions.";
    ChatkitWorkflowNotFound = 502 "chatkit_workflow_not_found" "OpenAI does not know the agent's workflow in this project", "The operator checks the agent's workflow id, and that the key belongs to the workflow's project.";
    ChatkitAgentRefused = 502 "chatkit_agent_refused" "OpenAI did not take the agent's settings", "The operator checks the agent's workflow id and version in the registry.";
    ChatkitRequestBlocked = 502 "chatkit_request_blocked" "A firewall or a region rule refused the request to OpenAI", "The operator checks the network between the function and OpenAI, and the project's address rules.";
    ChatkitQuotaExhausted = 502 "chatkit_quota_exhausted" "OpenAI's credit or budget is used up", "The operator adds credit or raises the project's budget at OpenAI.";
    ChatkitBadAnswer = 502 "chatkit_bad_answer" "OpenAI's answer made no sense", "Try again; if it stays so, report the requestId.";
    SupabaseKeyRefused = 502 "supabase_key_refused" "Supabase refused our key or lacks a grant", "The operator checks the Supabase keys, and that all migrations are applied.";
    SupabaseRequestBlocked = 502 "supabase_request_blocked" "A firewall refused the request to Supabase", "Try other words; the operator checks the firewall in front of Supabase.";
    SupabaseBadAnswer = 502 "supabase_bad_answer" "Supabase's answer made no sense", "Try again; if it stays so, report the requestId.";
    ChatkitUnavailable = 503 "chatkit_unavailable" "OpenAI is unavailable", "Try again after Retry-After. Reading, events and cancelling go on.";
    ChatkitRateLimited = 503 "chatkit_rate_limited" "OpenAI's quota is used up for the moment", "Try again after Retry-After.";
    SupabaseUnavailable = 503 "supabase_unavailable" "Supabase is unavailable", "Try again after Retry-After. Nothing was done by halves.";
    SupabaseOverloaded = 503 "supabase_overloaded" "Supabase is overloaded", "Try again after Retry-After. Nothing was done.";
    SupabaseReadOnly = 503 "supabase_read_only" "Supabase's database takes no writes", "Try again after Retry-After; the operator frees disk space. Reading goes on.";
    SupabasePaused = 503 "supabase_paused" "The Supabase project is paused or restricted", "The operator resumes the project, or lifts its restriction.";
    SupabaseSchemaMismatch = 503 "supabase_schema_mismatch" "The functions and the migrations are of different versions", "Try again after Retry-After; the operator applies the migrations.";
    ChatkitTimeout = 504 "chatkit_timeout" "OpenAI did not answer in time", "Try again.";
    SupabaseTimeout = 504 "supabase_timeout" "Supabase did not answer in time", "Try again: every request may be repeated.";
    DeadlineExceeded = 504 "deadline_exceeded" "The answer took too long", "Try again.";
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
