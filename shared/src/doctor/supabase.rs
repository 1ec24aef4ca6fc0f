//! Checks that Supabase is reachable and accepts our keys, and reads the state of the database.
//!
//! The key set (JWKS) is requested first. It is public, so that an error there is not
//! about one of our keys.

use std::time::Duration;

use reqwest::{Method, Request};
use serde::Deserialize;

use super::{
    code::FaultCode,
    finding::{Check, CheckResult},
    state::{DeploymentState, DeploymentStateCall},
};
use crate::{
    auth::{RETRY_POLICY, count_usable_keys},
    clients::supabase::{Error, Project, RequestFailure, ServiceClient, SupabaseCause, UserClient},
    platform::{
        http_client::{
            Deadline, HttpClient, HttpResponse, TransportError,
            classification::{ClassifiedRejection, supabase::TABLE},
        },
        parse::Timestamp,
    },
};

/// Maximum difference between two clocks. Supabase's own leeway for tokens is as long.
const CLOCKS_APART: Duration = Duration::from_secs(30);

/// Checks that Supabase is reachable, and returns how many of its keys we verify tokens with.
pub(super) async fn reached(
    http: &HttpClient,
    project: &Project,
    deadline: Deadline,
) -> Result<usize, CheckResult> {
    let fault = |code| CheckResult::fault(Check::Supabase, code);
    let answer = get(http, project, "/auth/v1/.well-known/jwks.json", deadline).await;
    let cause = match answer {
        Ok(answer) => match answer.accepted(&TABLE, false) {
            Ok(body) => return count_usable_keys(body).ok_or_else(|| fault(FaultCode::NotSupabase)),
            // The request carries no key.
            Err(ClassifiedRejection {
                cause: SupabaseCause::KeyRejected | SupabaseCause::BadAnswer,
                status,
                ..
            }) => {
                return Err(
                    fault(FaultCode::NotSupabase).detail(format!("it answers {status} for the key set"))
                );
            }
            Err(rejection) => rejection.cause,
        },
        Err(TransportError::TooLarge) => return Err(fault(FaultCode::NotSupabase)),
        Err(TransportError::Unreachable(_) | TransportError::Broken(_)) => {
            return Err(fault(FaultCode::SupabaseUnreachable));
        }
        Err(TransportError::TimedOut) => SupabaseCause::TimedOut,
    };
    Err(fault(code(cause)))
}

/// Checks that there is a key or a secret to verify tokens with.
pub(super) fn keys(usable: usize, has_legacy_secret: bool) -> CheckResult {
    match usable {
        0 if !has_legacy_secret => CheckResult::fault(Check::Jwks, FaultCode::JwksEmpty),
        0 => CheckResult::ok(Check::Jwks).detail("tokens are verified with SUPABASE_JWT_SECRET"),
        _ => CheckResult::ok(Check::Jwks),
    }
}

/// Checks that users' tokens have the expected issuer, which Supabase
/// publishes as an OpenID provider.
pub(super) async fn issuer(
    http: &HttpClient,
    project: &Project,
    expected: &str,
    deadline: Deadline,
) -> CheckResult {
    #[derive(Deserialize)]
    struct Discovery {
        issuer: String,
    }
    let answer = get(http, project, "/auth/v1/.well-known/openid-configuration", deadline).await;
    let accepted = answer.as_ref().ok().and_then(|answer| answer.accepted(&TABLE, false).ok());
    match accepted.and_then(|body| serde_json::from_slice::<Discovery>(body).ok()) {
        Some(Discovery { issuer }) if issuer == expected => CheckResult::ok(Check::Issuer),
        Some(Discovery { issuer }) => CheckResult::fault(Check::Issuer, FaultCode::IssuerDiffers)
            .detail(format!("the project names {issuer:?}, and expected is {expected:?}")),
        None => CheckResult::skipped(Check::Issuer, "the project does not say whom its tokens are from"),
    }
}

/// Checks that Supabase accepts the publishable key. The key alone may read no table, and Supabase
/// reports that only for a key that it knows.
pub(super) async fn publishable_key(user_client: &UserClient, deadline: Deadline) -> CheckResult {
    let check = Check::PublishableKey;
    match user_client.check_key(deadline).await.map_err(|error| error.cause()) {
        Ok(()) | Err(SupabaseCause::SchemaMismatch | SupabaseCause::GrantMissing) => CheckResult::ok(check),
        Err(SupabaseCause::KeyRejected) => CheckResult::fault(check, FaultCode::PublishableKeyRejected),
        Err(cause) => CheckResult::fault(check, code(cause)),
    }
}

/// Checks the secret key, and returns the state of the database or why it cannot be read.
pub(super) async fn state(
    service_client: &ServiceClient,
    deadline: Deadline,
) -> (CheckResult, Result<DeploymentState, CheckResult>) {
    let check = Check::SecretKey;
    let taken = CheckResult::ok(check);
    let unsaid = |code| Err(CheckResult::fault(Check::Migrations, code));
    let error = match service_client.rpc(&DeploymentStateCall {}, deadline).await {
        Ok(state) => return (taken, Ok(state)),
        Err(error) => error,
    };
    match error.cause() {
        SupabaseCause::SchemaMismatch => (taken, unsaid(FaultCode::DeploymentStateMissing)),
        SupabaseCause::GrantMissing => (taken, unsaid(FaultCode::DeploymentStateForbidden)),
        // A response that we cannot parse: the function is of another version.
        SupabaseCause::BadAnswer if is_success(&error) => (taken, unsaid(FaultCode::SupabaseBadAnswer)),
        SupabaseCause::KeyRejected => {
            (CheckResult::fault(check, FaultCode::SecretKeyRejected), Err(waits_for_key()))
        }
        cause => (CheckResult::fault(check, code(cause)), Err(waits_for_key())),
    }
}

fn is_success(error: &Error) -> bool {
    matches!(error, Error::Failed(RequestFailure { status: Some(200), .. }))
}

/// Compares the database's clock, read a moment ago, with ours.
pub(super) fn clock(database: Timestamp, ours: Timestamp) -> CheckResult {
    let apart = database.duration_since(ours).unsigned_abs();
    if apart <= CLOCKS_APART {
        return CheckResult::ok(Check::Clock);
    }
    CheckResult::fault(Check::Clock, FaultCode::ClockDiffers)
        .detail(format!("they are {} seconds apart", apart.as_secs()))
}

/// Returns whether a legacy key names another project than Supabase's own URL does.
pub(super) fn other_project(project: &Project, named: Option<&str>) -> bool {
    let host = project.url.host_str().unwrap_or_default();
    let reference = host.strip_suffix(".supabase.co");
    reference.zip(named).is_some_and(|(reference, named)| reference != named)
}

fn waits_for_key() -> CheckResult {
    CheckResult::blocked_by(Check::Migrations, Check::SecretKey)
}

/// Returns the fault code for an error that is not about a key or a function.
fn code(cause: SupabaseCause) -> FaultCode {
    match cause {
        SupabaseCause::TimedOut | SupabaseCause::StatementTimeout => FaultCode::SupabaseTimedOut,
        SupabaseCause::Paused => FaultCode::SupabasePaused,
        SupabaseCause::Overloaded => FaultCode::SupabaseOverloaded,
        SupabaseCause::ReadOnly => FaultCode::SupabaseReadOnly,
        SupabaseCause::Blocked => FaultCode::SupabaseRequestBlocked,
        SupabaseCause::ClockSkew
        | SupabaseCause::ServiceTokenRefused
        | SupabaseCause::Conflict
        | SupabaseCause::Unavailable => FaultCode::SupabaseUnavailable,
        _ => FaultCode::SupabaseBadAnswer,
    }
}

async fn get(
    http: &HttpClient,
    project: &Project,
    path: &str,
    deadline: Deadline,
) -> Result<HttpResponse, TransportError> {
    let mut url = project.url.clone();
    url.set_path(&format!("{}{path}", url.path().trim_end_matches('/')));
    http.send(Request::new(Method::GET, url), RETRY_POLICY, deadline).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::CheckStatus;

    #[test]
    fn clock_difference_above_30_seconds_is_a_fault() {
        let at = |second: i64| Timestamp::from_second(1_795_341_600 + second).unwrap();
        assert_eq!(clock(at(0), at(30)).status, CheckStatus::Ok);
        assert_eq!(clock(at(31), at(0)).code, Some(FaultCode::ClockDiffers));
        assert_eq!(clock(at(0), at(31)).code, Some(FaultCode::ClockDiffers));
    }

    #[test]
    fn legacy_key_of_another_project_is_detected() {
        let project = |url: &str| Project { url: url.parse().unwrap() };
        assert!(other_project(&project("https://abc.supabase.co"), Some("xyz")));
        assert!(!other_project(&project("https://abc.supabase.co"), Some("abc")));
        assert!(!other_project(&project("https://abc.supabase.co"), None));
        assert!(!other_project(&project("https://db.example.com"), Some("xyz")), "a domain of one's own");
    }

    #[test]
    fn project_without_usable_keys_needs_the_jwt_secret() {
        assert_eq!(keys(0, false).code, Some(FaultCode::JwksEmpty));
        assert!(keys(0, true).code.is_none() && keys(1, false).code.is_none());
    }
}
