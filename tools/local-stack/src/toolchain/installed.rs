//! A tool that is there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, iter};

use super::python::{Layout, Python};

/// A tool in its folder. How to run it depends on how it was installed, so commands are made here.
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

    /// The folder that holds it; of use to those who look for more than its programs.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its programs are.
    pub fn programs(&self) -> PathBuf {
        self.folder.join("bin")
    }

    /// One of its programs.
    pub fn program(&self, name: &str) -> Command {
        self.with_packages(Command::new(self.programs().join(name)))
    }

    /// A Python that sees its packages and no others that a user installed.
    pub fn python(&self) -> Command {
        let executable = match self.python.layout {
            Layout::Venv => self.programs().join("python"),
            Layout::Target => self.python.executable.clone(),
        };
        let mut command = self.with_packages(Command::new(executable));
        command.arg("-s");
        command
    }

    /// Has `command` find the programs of this tool before all others. Those it was given before stay in sight.
    pub fn on_path(&self, command: &mut Command) {
        let given = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value);
        let given = given.map(OsStr::to_owned).or_else(|| env::var_os("PATH")).unwrap_or_default();
        let folders = iter::once(self.programs()).chain(env::split_paths(&given));
        // A folder whose name holds a colon cannot be on a path.
        if let Ok(path) = env::join_paths(folders) {
            command.env("PATH", path);
        }
    }

    fn with_packages(&self, mut command: Command) -> Command {
        if self.python.layout == Layout::Target {
            command.env("PYTHONPATH", &self.folder);
        }
        // cargo-lambda asks the first Python on the path for Zig.
        self.on_path(&mut command);
        command.envs(self.environment.iter().copied());
        command
    }
}
