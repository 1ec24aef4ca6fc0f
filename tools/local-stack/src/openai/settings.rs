//! The initial state of the fake.

use std::fmt;

/// The initial keys and workflows of a [`FakeOpenAi`](super::FakeOpenAi).
#[derive(Debug, Clone, Default)]
pub struct Settings {
    pub api_keys: Vec<ApiKey>,
    pub workflows: Vec<Workflow>,
}

#[derive(Clone)]
pub struct ApiKey {
    pub key: String,
    /// The project of the key. `None` if every request must name one in `OpenAI-Project`.
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
    /// The only project that can use it.
    pub project: String,
    /// The published versions. A session without a version runs the last one.
    pub versions: Vec<String>,
}
