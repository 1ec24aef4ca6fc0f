//! The fake's state, and the work of each operation.

use super::auth;
use super::clock::Clock;
use super::create::NewSession;
use super::faults::Faults;
use super::operation::Operation;
use super::post_message;
use super::request::Request;
use super::request_log::RecordedRequest;
use super::response::{ApiError, Outcome};
use super::sessions::Sessions;
use super::settings::Settings;
use super::threads::Threads;
use crate::http::Breakpoint;

/// Behind one lock, so that each request is atomic.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) sessions: Sessions,
    pub(super) threads: Threads,
    pub(super) faults: Faults,
    pub(super) request_log: Vec<RecordedRequest>,
    pub(super) breakpoint: Breakpoint,
}

impl State {
    pub(super) fn execute(&mut self, request: &Request) -> Outcome {
        let (operation, id) = Operation::at(&request.method, &request.path)?;
        let project = match operation {
            // A browser does not have an API key.
            Operation::PostMessage => String::new(),
            _ => auth::authenticate(&self.settings, request)?,
        };
        let now = self.clock.seconds();
        match operation {
            Operation::CreateSession => self.create(&project, request, now),
            Operation::ListThreads => self.threads.list(&project, &request.page(true)?),
            Operation::ListItems => self.threads.items(&project, &id, &request.page(false)?),
            Operation::CancelSession => {
                request.require_no_body_or_query().and_then(|()| self.sessions.cancel(&project, &id, now))
            }
            Operation::RetrieveThread => {
                request.require_no_body_or_query().and_then(|()| self.threads.retrieve(&project, &id))
            }
            Operation::DeleteThread => {
                request.require_no_body_or_query().and_then(|()| self.threads.delete(&project, &id))
            }
            Operation::PostMessage => post_message::post_message(self, request),
        }
    }

    fn create(&mut self, project: &str, request: &Request, now: u64) -> Outcome {
        request.require_no_query()?;
        let config = NewSession::parse(&request.json()?)?;
        let is_known =
            self.settings.workflows.iter().any(|w| w.id == config.workflow && w.project == project);
        if !is_known {
            return Err(ApiError::not_found("Workflow", &config.workflow));
        }
        Ok(self.sessions.open(project, config, now))
    }

    /// Updates a recorded request, unless it was cleared meanwhile.
    pub(super) fn update_call(&mut self, request_id: &str, what: impl FnOnce(&mut RecordedRequest)) {
        if let Some(call) = self.request_log.iter_mut().rev().find(|call| call.request_id == request_id) {
            what(call);
        }
    }

    /// Returns the user of a request, as far as it can be found without validation.
    pub(super) fn user_of(&self, request: &Request) -> Option<String> {
        let (operation, id) = Operation::at(&request.method, &request.path).ok()?;
        match operation {
            Operation::CreateSession => {
                let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
                body.get("user")?.as_str().map(str::to_owned)
            }
            Operation::CancelSession => self.sessions.get(&id).map(|s| s.config.user.clone()),
            Operation::PostMessage => {
                self.sessions.with_secret(request.bearer()?).map(|s| s.config.user.clone())
            }
            Operation::ListThreads => {
                request.query.iter().find(|(name, _)| name == "user").map(|(_, user)| user.clone())
            }
            Operation::RetrieveThread | Operation::DeleteThread | Operation::ListItems => {
                self.threads.get(&id).map(|t| t.user.clone())
            }
        }
    }
}
