//! What a stand-in knows from the start.

use std::fmt;

/// What a [`FakeOpenAi`](super::FakeOpenAi) knows when it starts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// The keys that are let in.
    pub api_keys: Vec<ApiKey>,
    /// The workflows that sessions can be opened for.
    pub workflows: Vec<Workflow>,
}

/// A key of OpenAI's API.
#[derive(Clone)]
pub struct ApiKey {
    /// What the caller sends after `Bearer`.
    pub key: String,
    /// The project the key is bound to; `None` for a key that must name one in `OpenAI-Project` at every call.
    pub project: Option<String>,
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("project", &self.project).finish_non_exhaustive()
    }
}

/// A workflow published in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workflow {
    /// `wf_…`
    pub id: String,
    /// The one project that sees it.
    pub project: String,
    /// The versions that can be named; a session that names none runs the last.
    pub versions: Vec<String>,
}
