use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, iter};

use super::python::{Layout, Python};

/// An installed tool. Its layout determines how its programs are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    folder: PathBuf,
    python: Python,
    environment: &'static [(&'static str, &'static str)],
}

impl Installed {
    pub(super) fn new(
        folder: PathBuf,
        python: Python,
        environment: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { folder, python, environment }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of its programs.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    pub fn program(&self, name: &str) -> Command {
        self.with_packages(Command::new(self.programs().join(name)))
    }

    /// Returns a Python that sees the tool's packages but no user packages.
    pub fn python(&self) -> Command {
        let executable = match self.python.layout {
            Layout::Venv => self.programs().join("python"),
            Layout::Target => self.python.executable.clone(),
        };
        let mut command = self.with_packages(Command::new(executable));
        command.arg("-s");
        command
    }

    /// Adds the tool's programs to the front of the command's PATH.
    pub fn on_path(&self, command: &mut Command) {
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let path = path.map(OsStr::to_owned).or_else(|| env::var_os("PATH")).unwrap_or_default();
        let folders = iter::once(self.programs()).chain(env::split_paths(&path));
        // A folder whose name contains a colon cannot be on the PATH.
        if let Ok(path) = env::join_paths(folders) {
            command.env("PATH", path);
        }
    }

    fn with_packages(&self, mut command: Command) -> Command {
        if self.python.layout == Layout::Target {
            command.env("PYTHONPATH", &self.folder);
        }
        // cargo-lambda looks for Zig with the first Python on the PATH.
        self.on_path(&mut command);
        command.envs(self.environment.iter().copied());
        command
    }
}
