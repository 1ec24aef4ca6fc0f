//! The fake's interface for tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::browser::{Browser, PostMessageError, PostedMessage};
use super::fault::Fault;
use super::faults::FaultId;
use super::handler::Shared;
use super::items::Item;
use super::operation::Operation;
use super::request_log::RecordedRequest;
use super::sessions::SessionSnapshot;
use super::settings::{ApiKey, Settings, Workflow};
use super::state::State;
use super::threads::ThreadStatus;
use crate::http::{Breakpoint, LatencyRecorder, fake_server};

/// A running fake of OpenAI. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct FakeOpenAi {
    address: SocketAddr,
    shared: Arc<Shared>,
    browser: Browser,
    /// Dropped with the rest; the connections wait for this.
    _stop: watch::Sender<()>,
    server: JoinHandle<()>,
    latency: LatencyRecorder,
}

impl FakeOpenAi {
    /// Starts a fake on a free port of the loopback interface.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let listener = fake_server::listen().await.context("the OpenAI fake found no free port")?;
        let address = listener.local_addr().context("the OpenAI fake has no address")?;
        let shared = Arc::new(Shared::new(State { settings, ..State::default() }));
        let (stop, stopped) = watch::channel(());
        let latency = LatencyRecorder::default();
        let server = tokio::spawn(fake_server::serve(listener, shared.clone(), latency.clone(), stopped));
        let browser = Browser::new(&format!("http://{address}"));
        Ok(Self { address, shared, browser, _stop: stop, server, latency })
    }

    /// Replaces `https://api.openai.com/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Duration of each request, measured at the sockets.
    pub fn latency(&self) -> &LatencyRecorder {
        &self.latency
    }

    /// Runs a step of this breakpoint before and after the work of each request.
    pub fn set_breakpoint(&self, breakpoint: &Breakpoint) {
        self.shared.lock().breakpoint = breakpoint.clone();
    }

    /// Publishes a workflow. It replaces one with the same id and project.
    pub fn add_workflow(&self, workflow: Workflow) {
        let settings = &mut self.shared.lock().settings.workflows;
        settings.retain(|w| (&w.id, &w.project) != (&workflow.id, &workflow.project));
        settings.push(workflow);
    }

    pub fn add_api_key(&self, key: ApiKey) {
        self.shared.lock().settings.api_keys.push(key);
    }

    /// Accepts only this API key from now on.
    pub fn replace_api_keys(&self, key: ApiKey) {
        self.shared.lock().settings.api_keys = vec![key];
    }

    /// Rejects a key from now on, as if it was revoked.
    pub fn revoke_api_key(&self, key: &str) {
        self.shared.lock().settings.api_keys.retain(|k| k.key != key);
    }

    /// Adds a fault and returns its id.
    pub fn add_fault(&self, fault: Fault) -> FaultId {
        self.shared.lock().faults.add(fault)
    }

    /// Number of requests that a fault has affected.
    pub fn hits(&self, fault: FaultId) -> u32 {
        self.shared.lock().faults.hits(fault)
    }

    pub fn clear(&self, fault: FaultId) {
        self.shared.lock().faults.clear(Some(fault));
    }

    pub fn clear_faults(&self) {
        self.shared.lock().faults.clear(None);
    }

    /// Returns every request, in order of arrival.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.shared.lock().request_log.clone()
    }

    /// Returns the requests of one operation, in order of arrival.
    pub fn calls(&self, operation: Operation) -> Vec<RecordedRequest> {
        self.requests().into_iter().filter(|call| call.operation == Some(operation)).collect()
    }

    pub fn clear_requests(&self) {
        self.shared.lock().request_log.clear();
    }

    /// Returns every session, oldest first, with its current status.
    pub fn sessions(&self) -> Vec<SessionSnapshot> {
        let state = self.shared.lock();
        state.sessions.snapshot(state.clock.seconds())
    }

    /// Expires a session now. Returns `false` if the session does not exist.
    pub fn expire(&self, session_id: &str) -> bool {
        let mut state = self.shared.lock();
        let now = state.clock.seconds();
        let session = state.sessions.get_mut(session_id);
        session.map(|session| session.expires_at = session.expires_at.min(now)).is_some()
    }

    /// Sets how far the fake's clock is ahead of the system's.
    pub fn set_clock_offset(&self, offset: Duration) {
        self.shared.lock().clock.offset = offset;
    }

    /// Creates a thread of a user in a project and returns its id.
    pub fn put_thread_in(&self, project: &str, user: &str, title: Option<&str>, items: Vec<Item>) -> String {
        let mut state = self.shared.lock();
        let now = state.clock.seconds();
        let thread = state.threads.open(project, user, title.map(str::to_owned), now);
        items.into_iter().for_each(|item| drop(thread.put(item, now)));
        thread.id.clone()
    }

    /// Like [`FakeOpenAi::put_thread_in`], in the project of the first workflow.
    pub fn put_thread(&self, user: &str, title: Option<&str>, items: Vec<Item>) -> anyhow::Result<String> {
        let first = self.shared.lock().settings.workflows.first().map(|w| w.project.clone());
        let project = first.context("a thread belongs to a project, and no workflow names one")?;
        Ok(self.put_thread_in(&project, user, title, items))
    }

    /// Returns the ids of a user's threads in every project, oldest first.
    pub fn thread_ids_of_user(&self, user: &str) -> Vec<String> {
        self.shared.lock().threads.ids_of_user(user)
    }

    /// Appends an item to a thread and returns its id, or `None` if the thread does not exist.
    pub fn put_item(&self, thread_id: &str, item: Item) -> Option<String> {
        let mut state = self.shared.lock();
        let now = state.clock.seconds();
        state.threads.get_mut(thread_id).map(|thread| thread.put(item, now))
    }

    /// Sets a thread's status. Returns `false` if the thread does not exist.
    pub fn set_thread_status(&self, thread_id: &str, status: ThreadStatus) -> bool {
        let mut state = self.shared.lock();
        state.threads.get_mut(thread_id).map(|thread| thread.status = status).is_some()
    }

    /// Posts a message as a browser does: over HTTP, with only the client secret.
    pub async fn post_message(
        &self,
        client_secret: &str,
        thread_id: Option<&str>,
        text: &str,
    ) -> Result<PostedMessage, PostMessageError> {
        self.browser.post_message(client_secret, thread_id, text).await
    }
}

impl Drop for FakeOpenAi {
    fn drop(&mut self) {
        self.server.abort();
    }
}
