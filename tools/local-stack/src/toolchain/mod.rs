//! Tools from PyPI and npm, pinned, each in a folder of its own that is made once and kept.
//!
//! Nothing here is needed to build or run the functions: OpenAI's SDK is the judge of the ChatKit stand-in,
//! cargo-lambda and SAM serve and build what is deployed, MCP's SDKs serve agents that are not ours, Schemathesis asks what nobody
//! thought of asking.

mod command;
mod install;
mod installed;
mod node;
mod python;

use std::fmt;
use std::path::Path;

pub use command::command;
pub use installed::Installed;
pub use node::{InstalledPackages, MCP_NPM, NodePackages, node};
pub use python::Layout;

/// A tool and everything it needs, pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// What people call it; part of its folder's name.
    pub name: &'static str,
    /// What pip is to install: a requirements file with `==` pins.
    pub requirements: &'static str,
    /// The oldest Python that the pins run on.
    pub python: (u32, u32),
    /// Variables that its programs are given.
    pub environment: &'static [(&'static str, &'static str)],
}

/// OpenAI's SDK.
pub const OPENAI: Tool = Tool {
    name: "openai",
    requirements: include_str!("../../pinned/openai.txt"),
    python: (3, 11),
    environment: &[],
};

/// `cargo-lambda`, the program.
pub const CARGO_LAMBDA: Tool = Tool {
    name: "cargo-lambda",
    requirements: include_str!("../../pinned/cargo-lambda.txt"),
    python: (3, 9),
    environment: &[],
};

/// `sam`, the program.
pub const AWS_SAM_CLI: Tool = Tool {
    name: "aws-sam-cli",
    requirements: include_str!("../../pinned/aws-sam-cli.txt"),
    python: (3, 11),
    // It would report to AWS what is done with it.
    environment: &[("SAM_CLI_TELEMETRY", "0")],
};

/// MCP's own Python SDK, when 2025-06-18 was the newest revision.
pub const MCP_2025: Tool = Tool {
    name: "mcp-1",
    requirements: include_str!("../../pinned/mcp-1.txt"),
    python: (3, 11),
    environment: &[],
};

/// MCP's own Python SDK, now.
pub const MCP_2026: Tool = Tool {
    name: "mcp-2",
    requirements: include_str!("../../pinned/mcp-2.txt"),
    python: (3, 11),
    environment: &[],
};

/// Node.js and npm.
pub const NODE: Tool = Tool {
    name: "node",
    requirements: include_str!("../../pinned/node.txt"),
    python: (3, 9),
    environment: &[],
};

/// Schemathesis: requests without end, made up from the API's description.
pub const SCHEMATHESIS: Tool = Tool {
    name: "schemathesis",
    requirements: include_str!("../../pinned/schemathesis.txt"),
    python: (3, 11),
    environment: &[],
};

/// Why a tool is not there.
#[derive(Debug)]
pub enum ToolError {
    /// This machine has no Python that could run it; the text says what to install.
    NoPython(String),
    /// It should have been possible.
    Failed(anyhow::Error),
}

impl fmt::Display for ToolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPython(what) => f.write_str(what),
            Self::Failed(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for ToolError {}

impl From<anyhow::Error> for ToolError {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

impl Tool {
    /// The tool, installed first where it is not there yet. That takes up to a minute; another process that wants
    /// the same waits meanwhile.
    pub fn install(&self) -> Result<Installed, ToolError> {
        install::install(self)
    }

    /// [`Tool::install`] into another cache, and laid out as said.
    pub fn install_in(&self, cache: &Path, layout: Layout) -> Result<Installed, ToolError> {
        install::install_in(cache, self, Some(layout))
    }

    /// [`Tool::install`] for async callers.
    pub async fn ready(self) -> Result<Installed, ToolError> {
        let installing = tokio::task::spawn_blocking(move || self.install());
        installing.await.map_err(|e| ToolError::Failed(e.into()))?
    }
}
