//! The stand-in as its users see it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::browser::{Browser, Said, SayError};
use super::fault::Fault;
use super::faults::FaultId;
use super::handler::Shared;
use super::items::Item;
use super::operation::Operation;
use super::request_log::Call;
use super::server;
use super::sessions::SessionSnapshot;
use super::settings::{ApiKey, Settings, Workflow};
use super::state::State;
use super::threads::ThreadStatus;
use crate::http::{Breakpoint, Meter};

/// A running stand-in. Dropping it closes its port and every connection at once.
#[derive(Debug)]
pub struct FakeOpenAi {
    address: SocketAddr,
    shared: Arc<Shared>,
    browser: Browser,
    /// Dropped with the rest, which is what the connections wait for.
    _stop: watch::Sender<()>,
    server: JoinHandle<()>,
    meter: Meter,
}

impl FakeOpenAi {
    /// Starts one on a free port of the loopback interface.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let listener = server::listen().await.context("the ChatKit stand-in finds no free port")?;
        let address = listener.local_addr().context("the ChatKit stand-in has no address")?;
        let shared = Arc::new(Shared::new(State { known: settings, ..State::default() }));
        let (stop, stopped) = watch::channel(());
        let meter = Meter::default();
        let server = tokio::spawn(server::serve(listener, shared.clone(), meter.clone(), stopped));
        let browser = Browser::new(&format!("http://{address}"));
        Ok(Self { address, shared, browser, _stop: stop, server, meter })
    }

    /// What takes the place of `https://api.openai.com/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// How long it had each request, as seen from outside.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Steps on this wire before and after the work of each request.
    pub fn step_on(&self, breakpoint: &Breakpoint) {
        self.shared.lock().breakpoint = breakpoint.clone();
    }

    /// Publishes one more workflow; one with the same id and project is replaced.
    pub fn add_workflow(&self, workflow: Workflow) {
        let known = &mut self.shared.lock().known.workflows;
        known.retain(|w| (&w.id, &w.project) != (&workflow.id, &workflow.project));
        known.push(workflow);
    }

    /// Lets one more key in.
    pub fn add_api_key(&self, key: ApiKey) {
        self.shared.lock().known.api_keys.push(key);
    }

    /// Locks a key out from now on, as when it was revoked.
    pub fn revoke_api_key(&self, key: &str) {
        self.shared.lock().known.api_keys.retain(|k| k.key != key);
    }

    /// Orders a fault; what it answers names it.
    pub fn fault(&self, fault: Fault) -> FaultId {
        self.shared.lock().faults.add(fault)
    }

    /// How many requests a fault has hit.
    pub fn hits(&self, fault: FaultId) -> u32 {
        self.shared.lock().faults.hits(fault)
    }

    /// Ends one fault.
    pub fn clear(&self, fault: FaultId) {
        self.shared.lock().faults.clear(Some(fault));
    }

    /// Ends every fault.
    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear(None);
    }

    /// Every request so far, in order of arrival.
    pub fn requests(&self) -> Vec<Call> {
        self.shared.lock().ledger.clone()
    }

    /// The requests for one operation, in order of arrival.
    pub fn calls(&self, operation: Operation) -> Vec<Call> {
        self.requests().into_iter().filter(|call| call.operation == Some(operation)).collect()
    }

    /// Forgets the requests so far.
    pub fn clear_ledger(&self) {
        self.shared.lock().ledger.clear();
    }

    /// Every session so far, oldest first, as it stands now.
    pub fn sessions(&self) -> Vec<SessionSnapshot> {
        let state = self.shared.lock();
        state.sessions.snapshot(state.clock.seconds())
    }

    /// Ends a session's time now; `false` if there is no such session.
    pub fn expire(&self, session_id: &str) -> bool {
        let mut state = self.shared.lock();
        let now = state.clock.seconds();
        let session = state.sessions.any_mut(session_id);
        session.map(|session| session.expires_at = session.expires_at.min(now)).is_some()
    }

    /// How far the stand-in's clock is ahead of the system's.
    pub fn set_clock_offset(&self, offset: Duration) {
        self.shared.lock().clock.offset = offset;
    }

    /// Puts a thread of a user into a project and answers its id.
    pub fn put_thread_in(&self, project: &str, user: &str, title: Option<&str>, items: Vec<Item>) -> String {
        let mut state = self.shared.lock();
        let now = state.clock.seconds();
        let thread = state.threads.open(project, user, title.map(str::to_owned), now);
        items.into_iter().for_each(|item| drop(thread.put(item, now)));
        thread.id.clone()
    }

    /// As [`FakeOpenAi::put_thread_in`], in the project of the first workflow.
    pub fn put_thread(&self, user: &str, title: Option<&str>, items: Vec<Item>) -> anyhow::Result<String> {
        let first = self.shared.lock().known.workflows.first().map(|w| w.project.clone());
        let project = first.context("a thread belongs to a project, and no workflow names one")?;
        Ok(self.put_thread_in(&project, user, title, items))
    }

    /// The ids of a user's threads, in every project, oldest first.
    pub fn threads_of(&self, user: &str) -> Vec<String> {
        self.shared.lock().threads.of_user(user)
    }

    /// Puts an item at the end of a thread and answers its id; `None` if there is no such thread.
    pub fn put_item(&self, thread_id: &str, item: Item) -> Option<String> {
        let mut state = self.shared.lock();
        let now = state.clock.seconds();
        state.threads.any_mut(thread_id).map(|thread| thread.put(item, now))
    }

    /// Sets a thread's status; `false` if there is no such thread.
    pub fn set_thread_status(&self, thread_id: &str, status: ThreadStatus) -> bool {
        let mut state = self.shared.lock();
        state.threads.any_mut(thread_id).map(|thread| thread.status = status).is_some()
    }

    /// Says something as a browser would: over HTTP, with nothing but the client secret.
    pub async fn say(
        &self,
        client_secret: &str,
        thread_id: Option<&str>,
        text: &str,
    ) -> Result<Said, SayError> {
        self.browser.say(client_secret, thread_id, text).await
    }
}

impl Drop for FakeOpenAi {
    fn drop(&mut self) {
        self.server.abort();
    }
}
