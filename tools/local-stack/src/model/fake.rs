//! The fake's interface for tests.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::fault::{Fault, FaultId};
use super::handler::Shared;
use super::quirk::Quirk;
use super::request_log::{Progress, RecordedRequest};
use super::script::Script;
use super::settings::{Model, Settings};
use super::state::State;
use crate::http::{LatencyRecorder, fake_server};

/// A running fake of the Responses API. Dropping it closes its port and every connection.
#[derive(Debug)]
pub struct FakeModel {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Dropped with the rest; the connections wait for this.
    _stop: watch::Sender<()>,
    server: JoinHandle<()>,
    latency: LatencyRecorder,
}

impl FakeModel {
    /// Starts a fake on a free port of the loopback interface.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let listener = fake_server::listen().await.context("the fake of the model found no free port")?;
        let address = listener.local_addr().context("the fake of the model has no address")?;
        let shared = Arc::new(Shared::new(State::new(settings)));
        let (stop, stopped) = watch::channel(());
        let latency = LatencyRecorder::default();
        let server = tokio::spawn(fake_server::serve(listener, shared.clone(), latency.clone(), stopped));
        Ok(Self { address, shared, _stop: stop, server, latency })
    }

    /// Replaces `https://api.openai.com/v1`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The accepted bearer token.
    pub fn api_key(&self) -> String {
        self.shared.lock().settings.api_key.clone()
    }

    /// Accepts only this key from now on, as if the other was revoked.
    pub fn replace_api_key(&self, key: &str) {
        self.shared.lock().settings.api_key = key.to_owned();
    }

    /// Adds a model. It replaces one with the same id.
    pub fn add_model(&self, model: Model) {
        let models = &mut self.shared.lock().settings.models;
        models.retain(|other| other.id != model.id);
        models.push(model);
    }

    /// Appends a script. The first one whose condition fits a valid request answers it, once.
    pub fn script(&self, script: Script) {
        self.shared.lock().scripts.push_back(script);
    }

    /// Number of scripts that have not been used.
    pub fn scripts_left(&self) -> usize {
        self.shared.lock().scripts.len()
    }

    /// Sets the answer to requests without a script. By default it repeats the last user message.
    pub fn set_default_answer(&self, rule: impl Fn(&Value) -> Script + Send + Sync + 'static) {
        self.shared.lock().rule = Arc::new(rule);
    }

    /// Replaces the differences from OpenAI.
    pub fn set_quirks(&self, quirks: impl IntoIterator<Item = Quirk>) {
        self.shared.lock().quirks = quirks.into_iter().collect();
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

    pub fn clear_requests(&self) {
        self.shared.lock().request_log.clear();
    }

    /// Number of responses that have not ended.
    pub fn running(&self) -> usize {
        let state = self.shared.lock();
        state.request_log.iter().filter(|request| request.progress == Progress::Running).count()
    }

    /// Duration of each request, measured at the sockets.
    pub fn latency(&self) -> &LatencyRecorder {
        &self.latency
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}
