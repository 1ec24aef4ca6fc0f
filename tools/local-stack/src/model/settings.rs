//! The initial state of the fake.

use std::fmt;

use axum::http::StatusCode;
use uuid::Uuid;

/// The id of the model in the default settings.
pub const MODEL: &str = "gpt-6-luna";

/// Every value of `reasoning.effort`.
pub(super) const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];

/// The keys and models of a [`FakeModel`](super::FakeModel).
#[derive(Clone)]
pub struct Settings {
    /// The accepted bearer token.
    pub api_key: String,
    pub models: Vec<Model>,
    /// Of a request that names an unknown model. OpenAI returns 404, and 400 for some accounts.
    pub unknown_model_status: StatusCode,
    /// Reports a streamed request that exceeds the context with an event instead of a 400.
    pub reports_overflow_in_stream: bool,
}

impl Default for Settings {
    /// A random key and one reasoning model.
    fn default() -> Self {
        Self {
            api_key: format!("sk-proj-{}", Uuid::new_v4().simple()),
            models: vec![Model::reasoning(MODEL)],
            unknown_model_status: StatusCode::NOT_FOUND,
            reports_overflow_in_stream: false,
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("models", &self.models).finish_non_exhaustive()
    }
}

/// A model and its abilities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    pub id: String,
    /// The most tokens of an input.
    pub context_tokens: u64,
    /// The supported values of `reasoning.effort`; empty for a model without reasoning.
    pub efforts: Vec<&'static str>,
}

impl Model {
    /// A model that supports every reasoning effort.
    pub fn reasoning(id: &str) -> Self {
        Self { id: id.to_owned(), context_tokens: 400_000, efforts: EFFORTS.to_vec() }
    }

    /// A model without reasoning.
    pub fn plain(id: &str) -> Self {
        Self { efforts: Vec::new(), ..Self::reasoning(id) }
    }

    pub fn context_tokens(mut self, tokens: u64) -> Self {
        self.context_tokens = tokens;
        self
    }

    pub(super) fn reasons(&self) -> bool {
        !self.efforts.is_empty()
    }
}
