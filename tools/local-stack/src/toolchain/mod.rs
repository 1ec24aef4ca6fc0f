//! Pinned tools from PyPI and npm, each installed once into its own folder.
//!
//! The functions do not need them. OpenAI's SDK verifies the OpenAI fake, OpenAI's ChatKit server
//! verifies the chat, cargo-lambda and SAM build and serve the deployment, MCP's SDKs run other
//! agent servers, moto plays AWS, AWS's CLI runs the documentation's commands, and Schemathesis fuzzes
//! the API.

mod command;
mod install;
mod installed;
mod node;
mod python;
mod web_page;

use std::fmt;
use std::path::Path;

pub use command::command;
pub use installed::Installed;
pub use node::{EXAMPLE_PAGE, InstalledPackages, MCP_NPM, NodePackages, WEB, node};
pub use python::Layout;
pub use web_page::build as build_web_page;

/// A tool with pinned dependencies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tool {
    /// Its name, and the prefix of its folder.
    pub name: &'static str,
    /// A requirements file with `==` pins.
    pub requirements: &'static str,
    /// The oldest Python that the pins support.
    pub python: (u32, u32),
    /// Environment variables of its programs.
    pub environment: &'static [(&'static str, &'static str)],
}

pub const OPENAI: Tool = Tool {
    name: "openai",
    requirements: include_str!("../../pinned/openai.txt"),
    python: (3, 11),
    environment: &[],
};

/// OpenAI's ChatKit server and its Agents SDK.
pub const OPENAI_CHATKIT: Tool = Tool {
    name: "openai-chatkit",
    requirements: include_str!("../../pinned/openai-chatkit.txt"),
    python: (3, 11),
    // The Agents SDK sends traces to OpenAI by default.
    environment: &[("OPENAI_AGENTS_DISABLE_TRACING", "1")],
};

pub const CARGO_LAMBDA: Tool = Tool {
    name: "cargo-lambda",
    requirements: include_str!("../../pinned/cargo-lambda.txt"),
    python: (3, 9),
    environment: &[],
};

/// `sam`, the program. Its packages also run the fake of AWS.
pub const AWS_SAM_CLI: Tool = Tool {
    name: "aws-sam-cli",
    requirements: include_str!("../../pinned/aws-sam-cli.txt"),
    python: (3, 11),
    // SAM sends usage data to AWS by default.
    environment: &[("SAM_CLI_TELEMETRY", "0")],
};

/// `aws`, the program, for the commands of the documentation.
pub const AWS_CLI: Tool = Tool {
    name: "awscli",
    requirements: include_str!("../../pinned/awscli.txt"),
    python: (3, 10),
    environment: &[],
};

/// MCP's Python SDK from the time when 2025-06-18 was the newest revision.
pub const MCP_2025: Tool = Tool {
    name: "mcp-1",
    requirements: include_str!("../../pinned/mcp-1.txt"),
    python: (3, 11),
    environment: &[],
};

/// MCP's current Python SDK.
pub const MCP_2026: Tool = Tool {
    name: "mcp-2",
    requirements: include_str!("../../pinned/mcp-2.txt"),
    python: (3, 11),
    environment: &[],
};

/// moto, which plays AWS.
pub const MOTO: Tool = Tool {
    name: "moto",
    requirements: include_str!("../../pinned/moto.txt"),
    python: (3, 10),
    // The region of the local functions does not exist.
    environment: &[("MOTO_ALLOW_NONEXISTENT_REGION", "true")],
};

pub const NODE: Tool = Tool {
    name: "node",
    requirements: include_str!("../../pinned/node.txt"),
    python: (3, 9),
    environment: &[],
};

/// Schemathesis, which generates requests from the OpenAPI document.
pub const SCHEMATHESIS: Tool = Tool {
    name: "schemathesis",
    requirements: include_str!("../../pinned/schemathesis.txt"),
    python: (3, 11),
    environment: &[],
};

/// Why a tool cannot be installed.
#[derive(Debug)]
pub enum ToolError {
    /// The machine has no suitable Python. The text names the packages to install.
    NoPython(String),
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
    /// Installs the tool if necessary. This takes up to a minute; another process that needs the
    /// same tool waits.
    pub fn install(&self) -> Result<Installed, ToolError> {
        install::install(self)
    }

    /// Like [`Tool::install`], into another cache with a given layout.
    pub fn install_in(&self, cache: &Path, layout: Layout) -> Result<Installed, ToolError> {
        install::install_in(cache, self, Some(layout))
    }

    /// [`Tool::install`] for async callers.
    pub async fn install_async(self) -> Result<Installed, ToolError> {
        let installing = tokio::task::spawn_blocking(move || self.install());
        installing.await.map_err(|e| ToolError::Failed(e.into()))?
    }
}
