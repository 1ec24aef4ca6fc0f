//! Everything the stand-in knows, and the work that each call does on it.

use super::auth;
use super::clock::Clock;
use super::create::NewSession;
use super::faults::Faults;
use super::operation::Operation;
use super::post_message;
use super::request::Request;
use super::request_log::Call;
use super::response::{Outcome, Refusal};
use super::sessions::Sessions;
use super::settings::Settings;
use super::threads::Threads;
use crate::http::Breakpoint;

/// Behind one lock: a call is one step, as it is for a caller of OpenAI.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) known: Settings,
    pub(super) clock: Clock,
    pub(super) sessions: Sessions,
    pub(super) threads: Threads,
    pub(super) faults: Faults,
    pub(super) ledger: Vec<Call>,
    pub(super) breakpoint: Breakpoint,
}

impl State {
    /// Does what the request asks for, or says why not.
    pub(super) fn work(&mut self, request: &Request) -> Outcome {
        let (operation, id) = Operation::at(&request.method, &request.path)?;
        let project = match operation {
            // A browser has no key.
            Operation::Say => String::new(),
            _ => auth::admit(&self.known, request)?,
        };
        let now = self.clock.seconds();
        match operation {
            Operation::CreateSession => self.create(&project, request, now),
            Operation::ListThreads => self.threads.list(&project, &request.page(true)?),
            Operation::ListItems => self.threads.items(&project, &id, &request.page(false)?),
            Operation::CancelSession => {
                request.bare().and_then(|()| self.sessions.cancel(&project, &id, now))
            }
            Operation::RetrieveThread => request.bare().and_then(|()| self.threads.retrieve(&project, &id)),
            Operation::DeleteThread => request.bare().and_then(|()| self.threads.delete(&project, &id)),
            Operation::Say => post_message::say(self, request),
        }
    }

    fn create(&mut self, project: &str, request: &Request, now: u64) -> Outcome {
        request.no_query()?;
        let wanted = NewSession::parse(&request.json()?)?;
        let known = self.known.workflows.iter().any(|w| w.id == wanted.workflow && w.project == project);
        if !known {
            return Err(Refusal::not_found("Workflow", &wanted.workflow));
        }
        Ok(self.sessions.open(project, wanted, now))
    }

    /// Writes down what became of a call, unless it was forgotten meanwhile.
    pub(super) fn note(&mut self, request_id: &str, what: impl FnOnce(&mut Call)) {
        if let Some(call) = self.ledger.iter_mut().rev().find(|call| call.request_id == request_id) {
            what(call);
        }
    }

    /// The user a request concerns, as far as one can tell before it is checked.
    pub(super) fn user_of(&self, request: &Request) -> Option<String> {
        let (operation, id) = Operation::at(&request.method, &request.path).ok()?;
        match operation {
            Operation::CreateSession => {
                let body: serde_json::Value = serde_json::from_slice(&request.body).ok()?;
                body.get("user")?.as_str().map(str::to_owned)
            }
            Operation::CancelSession => self.sessions.any(&id).map(|s| s.wanted.user.clone()),
            Operation::Say => self.sessions.with_secret(request.bearer()?).map(|s| s.wanted.user.clone()),
            Operation::ListThreads => {
                request.query.iter().find(|(name, _)| name == "user").map(|(_, user)| user.clone())
            }
            Operation::RetrieveThread | Operation::DeleteThread | Operation::ListItems => {
                self.threads.any(&id).map(|t| t.user.clone())
            }
        }
    }
}
