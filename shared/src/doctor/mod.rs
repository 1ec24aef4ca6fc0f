//! Doctor: checks a deployment from the inside, with the configuration that the functions have.
//! Each fault is reported with its likely cause and the remedy.
//!
//! A check that depends on something with a fault is skipped, so that each fault is reported once.
//! The doctor changes nothing, except that it creates sessions at OpenAI that live for a second
//! and are cancelled at once.

mod agents;
mod approvers;
mod chatkit;
mod code;
mod configuration;
mod finding;
mod manifest;
mod migrations;
mod schema;
mod sealing;
mod state;
mod supabase;
mod tools;
mod webhook;

use std::time::Duration;

use futures_util::join;

pub use code::FaultCode;
pub use finding::{Check, CheckResult, CheckStatus, DoctorReport};

use crate::{
    clients::{
        mcp,
        openai::ChatKit,
        supabase::{Project, ServiceClient, UserClient, legacy_project},
    },
    platform::{
        config::{self, ConfigError, Reported},
        http_client::{Deadline, HttpClient},
        parse::Timestamp,
        sealing::Sealer,
        secret_store::Rotating,
    },
    runtime::Dependencies,
};
use manifest::Manifest;
use state::DeploymentState;

/// Timeout of one request, to any system.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// Delay before a check that found a fault is repeated.
const PAUSE: Duration = Duration::from_secs(1);

/// Minimum remaining time to begin another check.
const MIN_TIME_LEFT: Duration = Duration::from_secs(3);

/// Runs the checks of a deployment.
pub struct Doctor {
    mistakes: Vec<ConfigError>,
    http: HttpClient,
    project: Option<Project>,
    user_client: Option<UserClient>,
    service_client: Option<ServiceClient>,
    /// Projects that the legacy keys name.
    publishable_of: Option<String>,
    secret_of: Option<String>,
    has_legacy_secret: bool,
    issuer: Option<String>,
    chatkit: Result<Option<ChatKit>, Reported>,
    sealer: Result<Option<Rotating<Sealer>>, Reported>,
    agents: Option<mcp::Client>,
    has_chat: bool,
}

impl Doctor {
    /// Reads the variables that all functions read. Errors do not stop the doctor:
    /// they are its first results.
    pub fn new(dependencies: &mut Dependencies) -> Self {
        let user_client = dependencies.user_client().ok();
        let service_client = dependencies.service_client().ok();
        let chatkit = dependencies.chatkit();
        let sealer = dependencies.sealer();
        let agents = dependencies.agent_client().ok();
        // Only the chat of self-hosted agents needs the model's variables.
        let has_chat = !matches!(dependencies.chat_server(), Ok(None));
        if has_chat {
            let _ = dependencies.model_client();
        }
        let _ = (
            dependencies.webhook_secrets(),
            dependencies.verifier(),
            dependencies.cors(),
            dependencies.decision_rules(),
        );
        let (environment, http, project) = dependencies.as_parts();
        let publishable_of = environment.optional("SUPABASE_PUBLISHABLE_KEY", |key| Ok(legacy_project(key)));
        let publishable_of = publishable_of.ok().flatten().flatten();
        let secret_of = environment.optional_secret("SUPABASE_SECRET_KEY", |key| Ok(legacy_project(key)));
        let secret_of = secret_of.ok().flatten().and_then(|project| project.current().as_ref().clone());
        let issuer = environment.optional("SUPABASE_JWT_ISSUER", config::any_string).ok().flatten();
        let has_legacy_secret = environment.is_set("SUPABASE_JWT_SECRET");
        let mut mistakes: Vec<ConfigError> = Vec::new();
        for mistake in environment.take_errors() {
            // Several modules may have read the same variable.
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        }
        Self {
            mistakes,
            http: http.clone(),
            issuer: issuer.or_else(|| project.map(|project| project.join("/auth/v1"))),
            project: project.cloned(),
            user_client,
            service_client,
            publishable_of,
            secret_of,
            has_legacy_secret,
            chatkit,
            sealer,
            agents,
            has_chat,
        }
    }

    /// Returns the errors of the configuration, as a function that fails to start reports them.
    pub fn mistakes(&self) -> Option<config::ConfigErrors> {
        (!self.mistakes.is_empty()).then(|| config::ConfigErrors(self.mistakes.clone()))
    }

    /// Runs all checks, concurrently where one does not depend on another.
    pub async fn run(&self, deadline: Deadline) -> DoctorReport {
        let ((of_supabase, state), chatkit) = join!(self.supabase(deadline), self.chatkit(deadline));
        let (workflows, servers) = join!(
            self.workflows(state.as_ref(), &chatkit, deadline),
            self.agent_servers(state.as_ref(), deadline)
        );
        let self_hosted = state.as_ref().map(|state| &state.self_hosted_agents);
        let mut findings = configuration::check(&self.mistakes, self_hosted.filter(|_| !self.has_chat));
        findings.extend(of_supabase);
        findings.push(chatkit);
        findings.extend(workflows);
        findings.extend(self.sealing_keys(state.as_ref()));
        findings.extend(servers);
        findings.push(approvers::check(state.as_ref()));
        findings.sort_by_key(|finding| finding.check as u8);
        DoctorReport::from_results(findings)
    }

    /// Runs the checks of Supabase, and returns the state that the database reports.
    async fn supabase(&self, deadline: Deadline) -> (Vec<CheckResult>, Option<DeploymentState>) {
        const BEHIND_IT: [Check; 8] = [
            Check::PublishableKey,
            Check::SecretKey,
            Check::Jwks,
            Check::Issuer,
            Check::Clock,
            Check::Migrations,
            Check::Schema,
            Check::Webhook,
        ];
        let waiting = |first: CheckResult, reason: Check| {
            let waiting = BEHIND_IT.iter().map(|check| CheckResult::blocked_by(*check, reason));
            (std::iter::once(first).chain(waiting).collect(), None)
        };
        let Some(project) = &self.project else {
            let unread = CheckResult::blocked_by(Check::Supabase, Check::Configuration);
            return waiting(unread, Check::Configuration);
        };
        let reach = || supabase::reached(&self.http, project, deadline.capped(CHECK_TIMEOUT));
        let usable = match confirmed(reach, Result::is_err, deadline).await {
            Ok(usable) => usable,
            Err(fault) => return waiting(fault, Check::Supabase),
        };
        let issuer = self.issuer.as_deref().unwrap_or_default();
        let (publishable_key, (secret_key, state), issuer) = join!(
            self.publishable_key(project, deadline),
            self.secret_key(project, deadline),
            supabase::issuer(&self.http, project, issuer, deadline.capped(CHECK_TIMEOUT)),
        );
        let keys = supabase::keys(usable, self.has_legacy_secret);
        let mut findings = vec![CheckResult::ok(Check::Supabase), publishable_key, secret_key, keys, issuer];
        let state = match state {
            Ok(state) => state,
            Err(unsaid) => {
                let because = if unsaid.is_fault() { Check::Migrations } else { Check::SecretKey };
                findings.push(unsaid);
                findings.extend(
                    [Check::Clock, Check::Schema, Check::Webhook]
                        .map(|check| CheckResult::blocked_by(check, because)),
                );
                return (findings, None);
            }
        };
        if state.read_only {
            findings[0] = CheckResult::fault(Check::Supabase, FaultCode::SupabaseReadOnly);
        }
        findings.push(supabase::clock(state.now, Timestamp::now()));
        findings.extend(schema(&state));
        findings.push(webhook::check(&state));
        (findings, Some(state))
    }

    async fn publishable_key(&self, project: &Project, deadline: Deadline) -> CheckResult {
        let check = Check::PublishableKey;
        match &self.user_client {
            None => CheckResult::blocked_by(check, Check::Configuration),
            Some(_) if supabase::other_project(project, self.publishable_of.as_deref()) => {
                CheckResult::fault(check, FaultCode::KeyOfOtherProject)
            }
            Some(user_client) => {
                let ask = || supabase::publishable_key(user_client, deadline.capped(CHECK_TIMEOUT));
                confirmed(ask, CheckResult::is_fault, deadline).await
            }
        }
    }

    async fn secret_key(
        &self,
        project: &Project,
        deadline: Deadline,
    ) -> (CheckResult, Result<DeploymentState, CheckResult>) {
        let check = Check::SecretKey;
        let unsaid = || Err(CheckResult::blocked_by(Check::Migrations, check));
        match &self.service_client {
            None => (CheckResult::blocked_by(check, Check::Configuration), unsaid()),
            Some(_) if supabase::other_project(project, self.secret_of.as_deref()) => {
                (CheckResult::fault(check, FaultCode::KeyOfOtherProject), unsaid())
            }
            Some(service_client) => {
                let ask = || supabase::state(service_client, deadline.capped(CHECK_TIMEOUT));
                confirmed(ask, |(_, state)| state.is_err(), deadline).await
            }
        }
    }

    async fn chatkit(&self, deadline: Deadline) -> CheckResult {
        match &self.chatkit {
            Err(_) => CheckResult::blocked_by(Check::Chatkit, Check::Configuration),
            Ok(None) => CheckResult::skipped(
                Check::Chatkit,
                "OPENAI_CHATKIT_SECRET is not set: sessions are opened without ChatKit",
            ),
            Ok(Some(chatkit)) => {
                let ask = || chatkit::key(chatkit, deadline.capped(CHECK_TIMEOUT));
                confirmed(ask, CheckResult::is_fault, deadline).await
            }
        }
    }

    async fn workflows(
        &self,
        state: Option<&DeploymentState>,
        key: &CheckResult,
        deadline: Deadline,
    ) -> Vec<CheckResult> {
        let check = Check::Workflow;
        match (&self.chatkit, state) {
            (Ok(Some(chatkit)), Some(state)) if key.status == CheckStatus::Ok => {
                chatkit::workflows(chatkit, state, deadline).await
            }
            (_, Some(_)) => vec![CheckResult::blocked_by(check, Check::Chatkit)],
            (_, None) => vec![CheckResult::blocked_by(check, Check::Migrations)],
        }
    }

    fn sealing_keys(&self, state: Option<&DeploymentState>) -> Vec<CheckResult> {
        let check = Check::SealingKeys;
        match (&self.sealer, state) {
            (Err(_), _) => vec![CheckResult::blocked_by(check, Check::Configuration)],
            (Ok(None), _) => vec![CheckResult::blocked_by(check, Check::Chatkit)],
            (_, None) => vec![CheckResult::blocked_by(check, Check::Migrations)],
            (Ok(Some(sealer)), Some(state)) => sealing::check(&sealer.current(), state),
        }
    }

    async fn agent_servers(&self, state: Option<&DeploymentState>, deadline: Deadline) -> Vec<CheckResult> {
        let check = Check::AgentServer;
        match (&self.agents, state) {
            (None, _) => vec![CheckResult::blocked_by(check, Check::Configuration)],
            (_, None) => vec![CheckResult::blocked_by(check, Check::Migrations)],
            (Some(client), Some(state)) => agents::check(client, state, deadline).await,
        }
    }
}

/// Repeats a check once if it found a fault, so that a problem that passes within
/// a second is not reported.
async fn confirmed<T, Asked: Future<Output = T>>(
    ask: impl Fn() -> Asked,
    is_fault: impl Fn(&T) -> bool,
    deadline: Deadline,
) -> T {
    let first = ask().await;
    if !is_fault(&first) || deadline.remaining() < PAUSE + MIN_TIME_LEFT {
        return first;
    }
    tokio::time::sleep(PAUSE).await;
    ask().await
}

/// Checks the migrations, and the schema unless some of them are missing.
fn schema(state: &DeploymentState) -> Vec<CheckResult> {
    let Some(manifest) = Manifest::read() else {
        let why = "the manifest of this version cannot be read";
        return [Check::Migrations, Check::Schema].map(|check| CheckResult::skipped(check, why)).into();
    };
    let mut findings = migrations::check(&manifest, state);
    if findings.iter().any(CheckResult::is_fault) {
        findings.push(CheckResult::blocked_by(Check::Schema, Check::Migrations));
    } else {
        findings.extend(schema::check(&manifest, state));
    }
    findings
}
