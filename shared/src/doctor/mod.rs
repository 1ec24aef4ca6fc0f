//! The doctor: looks a deployment over from the inside, with the configuration that the functions have, and says of everything that
//! is wrong what it likely comes from and what to do about it.
//!
//! What depends on something that is at fault is skipped, so that one mistake is told of once. Nothing is changed anywhere, but for
//! sessions of a second at OpenAI that are cancelled at once.

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
mod webhook;

use std::time::Duration;

use futures_util::join;

pub use code::Code;
pub use finding::{Check, Finding, Report, Status};

use crate::{
    clients::{
        mcp,
        openai::ChatKit,
        supabase::{Project, Reader, Writer, legacy_project},
    },
    platform::{
        config::{self, Mistake},
        http_client::{Deadline, Http},
        parse::Timestamp,
        sealing::Sealer,
    },
    runtime::Setup,
};
use manifest::Manifest;
use state::State;

/// The longest that one question may take, whoever is asked.
const LONGEST: Duration = Duration::from_secs(10);

/// Before something is asked again that was answered with a fault.
const PAUSE: Duration = Duration::from_secs(1);

/// With less than this left, nothing new is begun.
const LEAST: Duration = Duration::from_secs(3);

/// Looks a deployment over.
pub struct Doctor {
    mistakes: Vec<Mistake>,
    http: Http,
    project: Option<Project>,
    reader: Option<Reader>,
    writer: Option<Writer>,
    /// The projects that legacy keys name.
    publishable_of: Option<String>,
    secret_of: Option<String>,
    has_legacy_secret: bool,
    issuer: Option<String>,
    chatkit: Option<Option<ChatKit>>,
    sealed: Option<Option<(ChatKit, Sealer)>>,
    agents: Option<mcp::Client>,
}

impl Doctor {
    /// Reads what all functions read. Mistakes keep it from nothing: they are its first findings.
    pub fn new(setup: &mut Setup) -> Self {
        let (reader, writer) = (setup.reader(), setup.writer());
        let (chatkit, sealed) = (setup.chatkit(), setup.sealed_chatkit());
        let agents = setup.agents();
        let _ = (setup.webhook_secret(), setup.verifier(), setup.cors(), setup.decision_rules());
        let (environment, http, project) = setup.parts();
        let mut of = |name| environment.optional(name, |key| Ok(legacy_project(key))).flatten().flatten();
        let (publishable_of, secret_of) = (of("SUPABASE_PUBLISHABLE_KEY"), of("SUPABASE_SECRET_KEY"));
        let issuer = environment.optional("SUPABASE_JWT_ISSUER", config::non_empty).flatten();
        let has_legacy_secret = environment.is_set("SUPABASE_JWT_SECRET");
        let mut mistakes: Vec<Mistake> = Vec::new();
        for mistake in environment.take_mistakes() {
            // Several rooms may have read the same variable.
            if !mistakes.contains(&mistake) {
                mistakes.push(mistake);
            }
        }
        Self {
            mistakes,
            http: http.clone(),
            issuer: issuer.or_else(|| project.map(|project| project.join("/auth/v1"))),
            project: project.cloned(),
            reader,
            writer,
            publishable_of,
            secret_of,
            has_legacy_secret,
            chatkit,
            sealed,
            agents,
        }
    }

    /// The mistakes of the configuration, as a function that does not start would name them.
    pub fn mistakes(&self) -> Option<config::Mistakes> {
        (!self.mistakes.is_empty()).then(|| config::Mistakes(self.mistakes.clone()))
    }

    /// Looks at everything, at the same time where one thing does not depend on another.
    pub async fn examine(&self, deadline: Deadline) -> Report {
        let mut findings = configuration::examine(&self.mistakes);
        let ((of_supabase, state), chatkit) = join!(self.supabase(deadline), self.chatkit(deadline));
        let (workflows, servers) = join!(
            self.workflows(state.as_ref(), &chatkit, deadline),
            self.agent_servers(state.as_ref(), deadline)
        );
        findings.extend(of_supabase);
        findings.push(chatkit);
        findings.extend(workflows);
        findings.extend(self.sealing_keys(state.as_ref()));
        findings.extend(servers);
        findings.push(approvers::examine(state.as_ref()));
        findings.sort_by_key(|finding| finding.check as u8);
        Report::of(findings)
    }

    /// Everything about Supabase, and what it says.
    async fn supabase(&self, deadline: Deadline) -> (Vec<Finding>, Option<State>) {
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
        let waiting = |first: Finding, reason: Check| {
            let waiting = BEHIND_IT.iter().map(|check| Finding::waits_for(*check, reason));
            (std::iter::once(first).chain(waiting).collect(), None)
        };
        let Some(project) = &self.project else {
            let unread = Finding::waits_for(Check::Supabase, Check::Configuration);
            return waiting(unread, Check::Configuration);
        };
        let reach = || supabase::reached(&self.http, project, deadline.within(LONGEST));
        let usable = match confirmed(reach, Result::is_err, deadline).await {
            Ok(usable) => usable,
            Err(fault) => return waiting(fault, Check::Supabase),
        };
        let issuer = self.issuer.as_deref().unwrap_or_default();
        let (publishable_key, (secret_key, state), issuer) = join!(
            self.publishable_key(project, deadline),
            self.secret_key(project, deadline),
            supabase::issuer(&self.http, project, issuer, deadline.within(LONGEST)),
        );
        let keys = supabase::keys(usable, self.has_legacy_secret);
        let mut findings = vec![Finding::ok(Check::Supabase), publishable_key, secret_key, keys, issuer];
        let state = match state {
            Ok(state) => state,
            Err(unsaid) => {
                let because = if unsaid.is_fault() { Check::Migrations } else { Check::SecretKey };
                findings.push(unsaid);
                findings.extend(
                    [Check::Clock, Check::Schema, Check::Webhook]
                        .map(|check| Finding::waits_for(check, because)),
                );
                return (findings, None);
            }
        };
        if state.read_only {
            findings[0] = Finding::fault(Check::Supabase, Code::SupabaseReadOnly);
        }
        findings.push(supabase::clock(state.now, Timestamp::now()));
        findings.extend(schema(&state));
        findings.push(webhook::examine(&state));
        (findings, Some(state))
    }

    async fn publishable_key(&self, project: &Project, deadline: Deadline) -> Finding {
        let check = Check::PublishableKey;
        match &self.reader {
            None => Finding::waits_for(check, Check::Configuration),
            Some(_) if supabase::other_project(project, self.publishable_of.as_deref()) => {
                Finding::fault(check, Code::KeyOfOtherProject)
            }
            Some(reader) => {
                let ask = || supabase::publishable_key(reader, deadline.within(LONGEST));
                confirmed(ask, Finding::is_fault, deadline).await
            }
        }
    }

    async fn secret_key(&self, project: &Project, deadline: Deadline) -> (Finding, Result<State, Finding>) {
        let check = Check::SecretKey;
        let unsaid = || Err(Finding::waits_for(Check::Migrations, check));
        match &self.writer {
            None => (Finding::waits_for(check, Check::Configuration), unsaid()),
            Some(_) if supabase::other_project(project, self.secret_of.as_deref()) => {
                (Finding::fault(check, Code::KeyOfOtherProject), unsaid())
            }
            Some(writer) => {
                let ask = || supabase::state(writer, deadline.within(LONGEST));
                confirmed(ask, |(_, state)| state.is_err(), deadline).await
            }
        }
    }

    async fn chatkit(&self, deadline: Deadline) -> Finding {
        match &self.chatkit {
            None => Finding::waits_for(Check::Chatkit, Check::Configuration),
            Some(None) => Finding::skipped(
                Check::Chatkit,
                "OPENAI_CHATKIT_SECRET is not set: sessions are opened without ChatKit",
            ),
            Some(Some(chatkit)) => {
                let ask = || chatkit::key(chatkit, deadline.within(LONGEST));
                confirmed(ask, Finding::is_fault, deadline).await
            }
        }
    }

    async fn workflows(&self, state: Option<&State>, key: &Finding, deadline: Deadline) -> Vec<Finding> {
        let check = Check::Workflow;
        match (&self.chatkit, state) {
            (Some(Some(chatkit)), Some(state)) if key.status == Status::Ok => {
                chatkit::workflows(chatkit, state, deadline).await
            }
            (_, Some(_)) => vec![Finding::waits_for(check, Check::Chatkit)],
            (_, None) => vec![Finding::waits_for(check, Check::Migrations)],
        }
    }

    fn sealing_keys(&self, state: Option<&State>) -> Vec<Finding> {
        let check = Check::SealingKeys;
        match (&self.sealed, state) {
            (None, _) => vec![Finding::waits_for(check, Check::Configuration)],
            (Some(None), _) => vec![Finding::waits_for(check, Check::Chatkit)],
            (_, None) => vec![Finding::waits_for(check, Check::Migrations)],
            (Some(Some((_, sealer))), Some(state)) => sealing::examine(sealer, state),
        }
    }

    async fn agent_servers(&self, state: Option<&State>, deadline: Deadline) -> Vec<Finding> {
        let check = Check::AgentServer;
        match (&self.agents, state) {
            (None, _) => vec![Finding::waits_for(check, Check::Configuration)],
            (_, None) => vec![Finding::waits_for(check, Check::Migrations)],
            (Some(client), Some(state)) => agents::examine(client, state, deadline).await,
        }
    }
}

/// Asks once more where an answer is a fault: what passes within a second is nobody's.
async fn confirmed<T, Asked: Future<Output = T>>(
    ask: impl Fn() -> Asked,
    is_fault: impl Fn(&T) -> bool,
    deadline: Deadline,
) -> T {
    let first = ask().await;
    if !is_fault(&first) || deadline.remaining() < PAUSE + LEAST {
        return first;
    }
    tokio::time::sleep(PAUSE).await;
    ask().await
}

/// The migrations, and what they make; which is not looked at while some are missing.
fn schema(state: &State) -> Vec<Finding> {
    let Some(manifest) = Manifest::read() else {
        let why = "the manifest of this version cannot be read";
        return [Check::Migrations, Check::Schema].map(|check| Finding::skipped(check, why)).into();
    };
    let mut findings = migrations::examine(&manifest, state);
    if findings.iter().any(Finding::is_fault) {
        findings.push(Finding::waits_for(Check::Schema, Check::Migrations));
    } else {
        findings.extend(schema::examine(&manifest, state));
    }
    findings
}
