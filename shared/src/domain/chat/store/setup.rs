//! The settings and tools of a model for an answer, without the history of the thread.

use serde::Deserialize;
use serde_json::Value;

use crate::clients::model::ReasoningEffort;

/// The settings of a session's model, and what it may call.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelSetup {
    pub settings: ModelSettings,
    /// Tools of the agent's server.
    pub tools: Vec<OfferedTool>,
    /// Agents to which the session may be handed over.
    pub agents: Vec<OtherAgent>,
}

/// The model of a session, as its agent was registered when the session was opened or handed over.
#[derive(Clone, Debug, Deserialize)]
pub struct ModelSettings {
    pub model: String,
    pub instructions: String,
    pub reasoning_effort: Option<ReasoningEffort>,
    pub max_input_tokens: u32,
    pub max_output_tokens: u32,
    pub max_turn_seconds: u32,
    pub max_tool_calls: u32,
    /// Names of the built-in tools that the model may call.
    pub built_in_tools: Vec<String>,
    pub client_tools: Vec<OfferedTool>,
}

/// A tool as it is described to models.
#[derive(Clone, Debug, Deserialize)]
pub struct OfferedTool {
    pub name: String,
    pub description: String,
    pub input_schema: Value,
}

/// Another agent that the user may open.
#[derive(Clone, Debug, Deserialize)]
pub struct OtherAgent {
    pub id: String,
    pub display_name: String,
    pub description: String,
}

/// The agent to which a call has handed a running answer over.
#[derive(Debug, Deserialize)]
pub struct NextAgent {
    pub display_name: String,
    /// A note for its model, as an item of the thread.
    note: Option<Value>,
    /// `None` for a hosted agent: it does not answer here.
    settings: Option<ModelSettings>,
    tools: Vec<OfferedTool>,
    agents: Vec<OtherAgent>,
}

impl NextAgent {
    /// Returns the note and the setup of the model that continues the answer. `None` for a hosted
    /// agent.
    pub fn into_setup(self) -> Option<(Option<Value>, ModelSetup)> {
        let Self { note, settings, tools, agents, display_name: _ } = self;
        Some((note, ModelSetup { settings: settings?, tools, agents }))
    }
}
